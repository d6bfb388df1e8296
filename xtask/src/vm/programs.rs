//! What is built for a virtual machine: the program, its example, and the test programs.

use super::apt::failed;
use super::architecture::Architecture;
use crate::root;
use netns::Failure;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The list of a folder of programs.
const LIST: &str = "programs.json";
/// What differs most by kernel comes first, and the program that takes longest last: a round that is cut short has the rest.
const FIRST: [&str; 3] = ["netns-ebpf kernel", "tests kernel", "tests budget"];
const LAST: &str = "netns cli";

/// A test program, and its crate's folder, in which it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Tests {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) folder: PathBuf,
}

/// Builds the example that makes sandboxes and pings from each; its program.
pub(super) fn first_ping(architecture: Architecture) -> Result<PathBuf, Failure> {
    let mut command = vec!["build", "--package", "netns-core", "--example", "first_ping"];
    if architecture == Architecture::Amd64 {
        // Elsewhere the standard library would have to be compiled once more.
        command.push("--release");
    }
    executable(architecture, &command)
}

/// The program to try.
pub(super) fn ours(architecture: Architecture) -> Result<PathBuf, Failure> {
    match architecture {
        Architecture::Amd64 => env::current_exe().map_err(failed("find", Path::new("this program"))),
        Architecture::Arm64 => executable(architecture, &["build", "--package", "netns", "--bin", "netns"]),
    }
}

/// Builds one program; where it is.
fn executable(architecture: Architecture, arguments: &[&str]) -> Result<PathBuf, Failure> {
    let built = build(architecture, arguments)?;
    let path = built.iter().rev().find_map(|message| message["executable"].as_str());
    path.map(PathBuf::from)
        .ok_or_else(|| Failure::usage(format!("cargo {} made no program", arguments.join(" "))))
}

/// The programs of tests as they were when they were built.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Built {
    pub(super) tests: Vec<Tests>,
    /// The folder that cargo made them in; the tests look for the command line there.
    pub(super) profile: PathBuf,
    /// Links to all programs in that folder. The virtual machine sees these instead, so that the next build does not affect a
    /// running round.
    pub(super) kept: PathBuf,
    /// Whether the links stay, for further rounds.
    stays: bool,
}

impl Built {
    /// The programs that `folder` has from an earlier round, or else newly built ones, which stay there.
    pub(super) fn find_or_build(
        architecture: Architecture,
        packages: &[String],
        folder: &Path,
    ) -> Result<Self, Failure> {
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
        let folder = fs::canonicalize(folder).map_err(failed("find", folder))?;
        let list = folder.join(LIST);
        if list.exists() {
            let text = fs::read_to_string(&list).map_err(failed("read", &list))?;
            return serde_json::from_str(&text)
                .map_err(|error| Failure::usage(format!("{}: {error}", list.display())));
        }
        let built = Self::build(architecture, packages, folder, true)?;
        let text = serde_json::to_string(&built).map_err(|error| Failure::Kernel(error.to_string()))?;
        fs::write(&list, text).map_err(failed("write", &list))?;
        Ok(built)
    }

    /// Builds the programs of tests of these packages, or, without any, as `cargo test --workspace` does but for the benches,
    /// and links to them in `kept`.
    pub(super) fn build(
        architecture: Architecture,
        packages: &[String],
        kept: PathBuf,
        stays: bool,
    ) -> Result<Self, Failure> {
        let mut command = vec!["test", "--no-run", "--profile", "emulated"];
        if packages.is_empty() {
            // Nothing is measured in an emulator, and what the peers need takes long to compile.
            command.extend(["--workspace", "--exclude", "benches"]);
        }
        command.extend(packages.iter().flat_map(|package| ["--package", package]));
        let messages = build(architecture, &command)?;
        let tests: Vec<Tests> = messages.iter().filter_map(Tests::of).collect();
        let programs: Vec<&Path> =
            messages.iter().filter_map(|message| message["executable"].as_str()).map(Path::new).collect();
        // Tests are in its `deps`.
        let profile = tests.first().and_then(|tests| tests.program.parent()?.parent());
        let profile = profile.ok_or_else(|| Failure::usage("these packages have no tests"))?.to_owned();
        let built = Self { tests, profile, kept, stays };
        programs.into_iter().try_for_each(|program| built.keep(program))?;
        Ok(built)
    }

    /// Leaves those whose name has one of these words in it, in the order in which they are run.
    pub(super) fn choose(mut self, wanted: &[String]) -> Result<Self, Failure> {
        self.tests.retain(|tests| match wanted {
            [] => !tests.name.ends_with(" scale"),
            wanted => wanted.iter().any(|wanted| tests.name.contains(&**wanted)),
        });
        self.tests.sort_by_key(|tests| turn(&tests.name));
        if self.tests.is_empty() {
            Err(Failure::usage("no program of tests has such a name"))
        } else {
            Ok(self)
        }
    }

    /// Cargo and the linker write a new file, and leave the one that we have a link to.
    fn keep(&self, program: &Path) -> Result<(), Failure> {
        let Ok(name) = program.strip_prefix(&self.profile) else { return Ok(()) };
        let kept = self.kept.join(name);
        if let Some(folder) = kept.parent() {
            fs::create_dir_all(folder).map_err(failed("make", folder))?;
        }
        let _ = fs::remove_file(&kept);
        fs::hard_link(program, &kept).map_err(failed("link", &kept))
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        if !self.stays {
            let _ = fs::remove_dir_all(&self.kept);
        }
    }
}

impl Tests {
    /// The program of tests that a message of cargo's is about.
    fn of(message: &Value) -> Option<Self> {
        let program = PathBuf::from(message["executable"].as_str()?);
        let manifest = Path::new(message["manifest_path"].as_str()?);
        let folder = manifest.parent()?.to_owned();
        let package = folder.file_name()?.to_string_lossy().into_owned();
        let target = &message["target"];
        // A library and its program may have one name.
        let kind = if target["kind"][0] == "bin" { "program " } else { "" };
        let name = format!("{package} {kind}{}", target["name"].as_str()?);
        message["profile"]["test"].as_bool()?.then_some(Self { name, program, folder })
    }
}

/// A program's place among the others.
fn turn(name: &str) -> usize {
    let place = FIRST.iter().position(|first| *first == name);
    place.unwrap_or(FIRST.len() + usize::from(name == LAST))
}

/// Runs cargo; what it made.
fn build(architecture: Architecture, arguments: &[&str]) -> Result<Vec<Value>, Failure> {
    let [verb, rest @ ..] = arguments else { return Ok(Vec::new()) };
    let mut command = architecture.cargo(verb)?;
    command.current_dir(root()).args(rest);
    command.args(["--quiet", "--message-format", "json-render-diagnostics"]);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::usage(format!("run cargo: {error}")))?;
    if !output.status.success() {
        return Err(Failure::usage(format!("cargo {} failed; its words are above", arguments.join(" "))));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::{Built, Tests};
    use std::path::PathBuf;

    fn built(names: &[&str]) -> Built {
        let tests = names.iter().map(|name| Tests {
            name: (*name).to_owned(),
            program: PathBuf::new(),
            folder: PathBuf::new(),
        });
        Built { tests: tests.collect(), profile: PathBuf::new(), kept: PathBuf::new(), stays: true }
    }

    fn names(built: &Built) -> Vec<&str> {
        built.tests.iter().map(|tests| &*tests.name).collect()
    }

    #[test]
    fn what_differs_by_kernel_comes_first_and_the_longest_last() {
        let all = ["netns cli", "netns-core netns_core", "tests kernel", "tests scale", "netns-ebpf kernel"];
        let chosen = built(&all).choose(&[]).expect("some");
        assert_eq!(
            names(&chosen),
            ["netns-ebpf kernel", "tests kernel", "netns-core netns_core", "netns cli"]
        );
        let chosen = built(&all).choose(&["scale".to_owned(), "cli".to_owned()]).expect("two");
        assert_eq!(names(&chosen), ["tests scale", "netns cli"]);
        assert!(built(&all).choose(&["nothing".to_owned()]).is_err());
    }
}
