//! The names that engines give their containers, from the files that they keep.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Docker: a folder for each container.
const DOCKER: &str = "/var/lib/docker/containers";
/// containerd: a folder for each of its namespaces, and in it one for each container.
const CONTAINERD: &str = "/run/containerd/io.containerd.runtime.v2.task";
/// podman and CRI-O: a folder for each storage driver, with a folder for each container.
const PODMAN: [&str; 2] = ["/var/lib/containers/storage", "/run/containers/storage"];
/// Lists of containers in those folders.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];
/// A pod's namespace and name, as containerd and CRI-O annotate them.
const PODS: [[&str; 2]; 2] = [
    ["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name"],
    ["io.kubernetes.pod.namespace", "io.kubernetes.pod.name"],
];
/// The name that nerdctl gives.
const NERDCTL: &str = "nerdctl/name";

/// The engine's name for the container with this id, if its files can be read; for a pod, with its namespace.
pub(super) fn name(id: &str) -> Option<String> {
    // What is no id must not name another path.
    if id.is_empty() || id.contains(['/', '.']) {
        return None;
    }
    let name = docker(id).or_else(|| containerd(id)).or_else(|| podman(id))?;
    // Other people's labels end up on a terminal.
    Some(name.replace(char::is_control, "?")).filter(|name| !name.is_empty())
}

fn docker(id: &str) -> Option<String> {
    let container = json(&Path::new(DOCKER).join(id).join("config.v2.json"))?;
    container["Name"].as_str().map(|name| name.trim_start_matches('/').to_owned())
}

fn containerd(id: &str) -> Option<String> {
    folders(Path::new(CONTAINERD)).find_map(|namespace| annotated(&namespace.join(id).join("config.json")))
}

fn podman(id: &str) -> Option<String> {
    let drivers = || PODMAN.iter().flat_map(|storage| folders(Path::new(storage)));
    // CRI-O annotates the bundle; podman's names are only in the lists.
    let pod = drivers().find_map(|driver| annotated(&driver.join(id).join("userdata/config.json")));
    let listed = |driver: PathBuf| {
        LISTS.iter().find_map(|list| {
            let list = json(&driver.join(list))?;
            let container = list.as_array()?.iter().find(|container| container["id"] == id)?;
            container["names"][0].as_str().map(str::to_owned)
        })
    };
    pod.or_else(|| drivers().find_map(listed))
}

/// The name in the annotations of an OCI bundle.
fn annotated(path: &Path) -> Option<String> {
    let bundle = json(path)?;
    let annotation = |key: &str| bundle["annotations"][key].as_str();
    let pod = PODS
        .iter()
        .find_map(|[namespace, name]| Some(format!("{}/{}", annotation(namespace)?, annotation(name)?)));
    pod.or_else(|| annotation(NERDCTL).map(str::to_owned))
}

/// A file's JSON; `None` if it is missing or not readable for us.
fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn folders(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path())
}
