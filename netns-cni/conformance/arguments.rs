//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

const USAGE: &str =
    "usage: cni-conformance PLUGIN --conf FILE [--path FOLDERS] [--chained] [--only TEXT] [--stop]
  PLUGIN    the plugin's file
  --conf    a JSON object: the plugin's part of a network configuration
  --path    where plugins that it delegates to are, besides its own folder
  --chained the cases of a plugin that comes after others
  --only    only the case of this name, or those whose names contain it
  --stop    not any case after the first that fails";

/// What is to be tested.
#[derive(Debug, Clone)]
pub(crate) struct ConformanceArguments {
    pub(crate) plugin: PathBuf,
    pub(crate) conf: PathBuf,
    pub(crate) path: Option<String>,
    pub(crate) only: Option<String>,
    pub(crate) chained: bool,
    pub(crate) stop: bool,
    /// A case and a version, in the process that runs it: `--inside CASE VERSION`.
    pub(crate) inside: Option<(String, String)>,
}

impl ConformanceArguments {
    pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut texts =
            arguments.map(|text| text.into_string().map_err(|_| "an argument is not UTF-8".to_owned()));
        let (mut plugin, mut conf, mut path, mut only, mut inside) = (None, None, None, None, None);
        let (mut stop, mut chained) = (false, false);
        while let Some(text) = texts.next().transpose()? {
            let mut value = || texts.next().unwrap_or_else(|| Err(USAGE.to_owned()));
            match text.as_str() {
                "--conf" => conf = Some(PathBuf::from(value()?)),
                "--path" => path = Some(value()?),
                "--only" => only = Some(value()?),
                "--stop" => stop = true,
                "--chained" => chained = true,
                "--inside" => inside = Some((value()?, value()?)),
                other if other.starts_with('-') || plugin.is_some() => return Err(USAGE.to_owned()),
                other => plugin = Some(PathBuf::from(other)),
            }
        }
        let (Some(plugin), Some(conf)) = (plugin, conf) else { return Err(USAGE.to_owned()) };
        Ok(Self { plugin, conf, path, only, chained, stop, inside })
    }
}
