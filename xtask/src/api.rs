//! `cargo xtask api`: compares the public API of each library, item by item, with the list in the repository.
//!
//! rustdoc writes what is public as JSON, which is unstable: with a stable compiler `RUSTC_BOOTSTRAP` allows it, and
//! cargo-public-api must be the version that reads this compiler's format.

use crate::root;
use clap::Args;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The libraries, and where each one's list is.
const LIBRARIES: &[(&str, &str)] = &[
    ("netns-core", "netns-core/api.txt"),
    ("netns-packet", "netns-ebpf/packet/api.txt"),
    ("netns-ebpf", "netns-ebpf/api.txt"),
    ("netns-topology", "netns-topology/api.txt"),
];

/// Reads the JSON of Rust 1.95 and 1.96, whose format is 57.
const INSTALL: &str = "cargo install --locked cargo-public-api --version 0.52.0";

#[derive(Debug, Args)]
pub(crate) struct ApiArguments {
    /// Rewrite the lists instead of comparing them.
    #[arg(long)]
    update: bool,
}

/// Compares every list, or writes it.
pub(crate) fn api(arguments: &ApiArguments) -> Result<(), String> {
    let root = root();
    let mut changes = String::new();
    for &(library, path) in LIBRARIES {
        let now = list(&root, library)?;
        let path = root.join(path);
        if arguments.update {
            fs::write(&path, now).map_err(|error| format!("write {}: {error}", path.display()))?;
            continue;
        }
        let before =
            fs::read_to_string(&path).map_err(|error| format!("read {}: {error}", path.display()))?;
        changes.extend(differences(&before, &now).into_iter().map(|line| format!("{library}: {line}\n")));
    }
    if changes.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the public API is another one; if that is meant: cargo xtask api --update\n{}",
        changes.trim_end()
    ))
}

/// The public items of a library, one a line.
fn list(root: &Path, library: &str) -> Result<String, String> {
    let target = root.join("target/api");
    let mut rustdoc = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    rustdoc.current_dir(root).args(["rustdoc", "--quiet", "--locked", "--lib", "--package", library]);
    rustdoc.arg("--target-dir").arg(&target).env("RUSTC_BOOTSTRAP", "1");
    rustdoc.args(["--", "-Zunstable-options", "--output-format", "json", "--cap-lints", "allow"]);
    match rustdoc.status() {
        Ok(status) if status.success() => {}
        Ok(status) => {
            return Err(format!("cargo rustdoc failed for {library} ({status}); its words are above"));
        }
        Err(error) => return Err(format!("run cargo: {error}")),
    }
    let json = target.join("doc").join(format!("{}.json", library.replace('-', "_")));
    // Without what every type has: automatic traits, derived ones, blanket ones.
    let mut print = Command::new("cargo-public-api");
    print.args(["public-api", "-sss", "--color", "never", "--rustdoc-json"]).arg(&json);
    let output = print.output().map_err(|error| format!("run cargo-public-api: {error}; {INSTALL}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "cargo-public-api cannot read {}: {}\n{INSTALL}",
            json.display(),
            why.trim_end()
        ));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("cargo-public-api wrote no text: {error}"))
}

/// The lines that one list has and the other has not.
fn differences(before: &str, now: &str) -> Vec<String> {
    let only = |these: &str, those: &str, sign: char| -> Vec<String> {
        let known: Vec<&str> = those.lines().collect();
        these.lines().filter(|line| !known.contains(line)).map(|line| format!("{sign} {line}")).collect()
    };
    [only(before, now, '-'), only(now, before, '+')].concat()
}

#[cfg(test)]
mod tests {
    use super::differences;

    #[test]
    fn what_came_and_what_went_is_named() {
        let before = "pub fn a::one()\npub fn a::two()\n";
        assert_eq!(differences(before, before), Vec::<String>::new());
        let now = "pub fn a::two()\npub fn a::three()\n";
        assert_eq!(differences(before, now), ["- pub fn a::one()", "+ pub fn a::three()"]);
    }
}
