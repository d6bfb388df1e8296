//! Which container a port was made for, from CNI's records: they name a container even before its first process runs.

use super::engine;
use netns_core::record::{RecordFile, RecordedLink};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where libcni, by which engines call plugins, keeps their results.
const RESULTS: &str = "/var/lib/cni/results";
/// Where `netns-cni` keeps its records, one folder per network.
const RECORDS: &str = "/run/netns-cni/networks";
const KIND: &str = "cni";
/// What engines pass on as `CNI_ARGS`.
const POD: &str = "K8S_POD_NAME";
const POD_NAMESPACE: &str = "K8S_POD_NAMESPACE";

/// The containers, by the names of the host's links that were made for them.
#[derive(Debug, Default)]
pub(crate) struct Attachments(HashMap<String, AttachedContainer>);

#[derive(Debug, Clone)]
struct AttachedContainer {
    id: String,
    /// The name that its engine gave it in the request for the attachment.
    name: Option<String>,
}

impl Attachments {
    /// All that are on record now.
    pub(crate) fn read() -> Self {
        let mut attachments = Self::default();
        for path in files(Path::new(RESULTS)) {
            // A file that cannot be read, or is something else, names nobody.
            let _ = attachments.add_result(&path);
        }
        let networks = files(Path::new(RECORDS));
        networks.flat_map(|network| files(&network)).for_each(|path| attachments.add_record(&path));
        attachments
    }

    /// The name of the container that a link was made for.
    pub(crate) fn of(&self, link: &str) -> Option<String> {
        let AttachedContainer { id, name } = self.0.get(link)?;
        Some(engine::name(id).or_else(|| name.clone()).unwrap_or_else(|| super::short(id)))
    }

    fn add_result(&mut self, path: &Path) -> Option<()> {
        let kept: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let id = kept["containerId"].as_str()?.to_owned();
        let argument = |key: &str| {
            let mut arguments = kept["cniArgs"].as_array().into_iter().flatten();
            arguments.find(|argument| argument[0] == key)?[1].as_str()
        };
        let name = argument(POD).map(|pod| match argument(POD_NAMESPACE) {
            Some(namespace) => format!("{namespace}/{pod}"),
            None => pod.to_owned(),
        });
        let container = AttachedContainer { id, name: name.map(|name| name.replace(char::is_control, "?")) };
        for interface in kept["result"]["interfaces"].as_array()? {
            // Interfaces in the container have a sandbox. The bridge is among the others, and is not its own port.
            if let (Some(name), true) =
                (interface["name"].as_str(), interface["sandbox"].as_str().is_none_or(str::is_empty))
            {
                self.0.insert(name.to_owned(), container.clone());
            }
        }
        Some(())
    }

    /// A record's name is CONTAINER:INTERFACE.PLUGIN.
    fn add_record(&mut self, path: &Path) {
        let Some((id, _)) = path.file_name().and_then(|name| name.to_str()?.split_once(':')) else { return };
        let lines = RecordFile::peek(path, KIND).ok().flatten().unwrap_or_default();
        for link in lines.iter().filter_map(RecordedLink::read) {
            let container = AttachedContainer { id: id.to_owned(), name: None };
            self.0.entry(link.name.to_string()).or_insert(container);
        }
    }
}

fn files(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path())
}
