//! The licences of everything that is linked into the programs. Their texts are shipped with the programs.

use super::binaries::{PROGRAMS, TARGET};
use super::failed;
use super::files::output;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The names of licence files.
const NAMES: [&str; 5] = ["license", "licence", "copying", "copyright", "notice"];
/// What is linked besides crates, and where Debian keeps its licence.
const LIBRARIES: [(&str, &str); 3] = [
    ("musl", "/usr/share/doc/musl-dev/copyright"),
    ("LLVM's libunwind", "/usr/share/doc/libunwind-22-dev/copyright"),
    ("Rust's standard library", "/usr/share/doc/rust-web-src/copyright"),
];

/// All of them: a list, and each text once.
pub(super) fn collect(root: &Path) -> Result<String, String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["metadata", "--locked", "--format-version=1", "--filter-platform", TARGET]);
    let metadata: Value = serde_json::from_slice(&output(&mut cargo)?).map_err(|error| error.to_string())?;
    let linked = linked(&metadata);
    let mut list =
        String::from("Linked into the programs are these crates, each under the licence beside it.\n\n");
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in array(&metadata["packages"]) {
        // The workspace's own crates have the packages' licence.
        if package["source"].is_null() || !linked.contains(word(&package["id"])) {
            continue;
        }
        let name = format!("{} {}", word(&package["name"]), word(&package["version"]));
        // Writing to a string cannot fail.
        let _ = writeln!(list, "  {name}: {}", package["license"].as_str().unwrap_or("see below"));
        let folder = Path::new(word(&package["manifest_path"])).parent().unwrap_or(root);
        for text in licences(folder)? {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    for (name, path) in LIBRARIES {
        match fs::read_to_string(path) {
            Ok(text) => texts.entry(text).or_default().push(name.to_owned()),
            // It did not come from Debian.
            Err(_) => drop(writeln!(list, "  {name}: see where the compiler came from")),
        }
    }
    let mut texts: Vec<_> = texts.into_iter().map(|(text, names)| (names.join(", "), text)).collect();
    texts.sort_unstable();
    for (names, text) in texts {
        let _ = write!(list, "\n\n==== {names}\n\n{}\n", text.trim_end());
    }
    Ok(list)
}

/// The ids of all packages that are linked into the programs.
fn linked(metadata: &Value) -> BTreeSet<&str> {
    let nodes: BTreeMap<&str, &Value> =
        array(&metadata["resolve"]["nodes"]).iter().map(|node| (word(&node["id"]), node)).collect();
    let is_program =
        |package: &&Value| package["source"].is_null() && PROGRAMS.contains(&word(&package["name"]));
    let programs = array(&metadata["packages"]).iter().filter(is_program);
    let mut open: Vec<&str> = programs.map(|package| word(&package["id"])).collect();
    let mut linked = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !linked.insert(id) {
            continue;
        }
        let needs = nodes.get(id).map_or(&[][..], |node| array(&node["deps"]));
        // Not what only builds and tests need.
        let is_linked = |need: &&Value| array(&need["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
        open.extend(needs.iter().filter(is_linked).map(|need| word(&need["pkg"])));
    }
    linked
}

/// The licences that are in a crate's folder.
fn licences(folder: &Path) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed("read", folder))? {
        let path = entry.map_err(failed("read", folder))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        if path.is_file() && NAMES.iter().any(|wanted| name.starts_with(wanted)) {
            let bytes = fs::read(&path).map_err(failed("read", &path))?;
            texts.push(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    Ok(texts)
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
