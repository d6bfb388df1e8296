//! Layout rules: within a folder no files need each other in a circle, and a type's name means one thing in the whole
//! workspace.
//!
//! What a file needs is read from its `use` lines and paths; a name that a folder's `mod.rs` re-exports counts for the
//! file that it comes from. A folder's own `mod.rs` is no part of a circle: it holds together what is below it.

mod sources;

use sources::Sources;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The known circles, each with its reason.
const KNOWN: [(&str, &[&str]); 1] = [
    // A socket words a refusal with the attributes' tables, which stand with the kinds of links; those make links on
    // sockets.
    ("netns-core rtnetlink", &["describe", "link", "socket"]),
];
/// Type names that every crate may have.
const CUSTOMARY: [&str; 3] = ["Error", "Result", "Readme"];
/// The workspace's crates, without those for tests.
const CRATES: [&str; 9] = [
    "benches",
    "netns",
    "netns-cni",
    "netns-core",
    "netns-ebpf",
    "netns-ebpf/packet",
    "netns-ebpf/program",
    "netns-topology",
    "xtask",
];

#[test]
fn no_files_need_each_other_in_a_circle() {
    let mut found = Vec::new();
    let mut files = 0;
    for name in CRATES {
        let sources = Sources::read(&folder(name));
        files += sources.modules();
        for (folder, needs) in sources.needs() {
            let place = format!("{name} {}", folder.join("::"));
            found.extend(circles(&needs).into_iter().map(|circle| (place.trim_end().to_owned(), circle)));
        }
    }
    assert!(files > 300, "only {files} files were read");
    let known: Vec<_> = KNOWN.iter().map(|(place, files)| ((*place).to_owned(), names(files))).collect();
    assert_eq!(found, known, "left: the circles that there are; right: those that are known");
}

#[test]
fn a_types_name_is_unique_in_the_workspace() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in CRATES {
        for (module, types) in Sources::read(&folder(name)).types() {
            for found in types {
                places.entry(found).or_default().push(format!("{name} {}", module.join("::")));
            }
        }
    }
    assert!(places.len() > 300, "only {} types were found", places.len());
    places.retain(|name, places| places.len() > 1 && !CUSTOMARY.contains(&&**name));
    assert!(places.is_empty(), "names of several types: {places:#?}");
}

/// Verifiers before Linux 6.9 take a length that varies only as one file bounds it: see its first lines.
#[test]
fn one_file_of_the_program_copies_out_of_frames() {
    let sources = Sources::read(&folder("netns-ebpf/program"));
    for call in ["bpf_skb_load_bytes", ".load_bytes("] {
        let modules: Vec<String> = sources.that_have(call).map(|module| module.join("::")).collect();
        assert!(modules.iter().all(|module| module == "copy"), "{call} is in {modules:?}");
    }
    assert_eq!(sources.that_have("bpf_skb_load_bytes").count(), 1);
}

#[test]
fn a_circle_is_found() {
    let needs = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("e", "d")];
    let needs = needs.map(|(from, to)| (from.to_owned(), to.to_owned()));
    assert_eq!(circles(&BTreeSet::from(needs)), [names(&["a", "b", "c"])]);
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src")
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

/// The sets of several names in which each needs all others, directly or through others.
fn circles(needs: &BTreeSet<(String, String)>) -> Vec<BTreeSet<String>> {
    let reached = |from: &str| {
        let mut reached = BTreeSet::new();
        let mut open = vec![from.to_owned()];
        while let Some(name) = open.pop() {
            for (_, to) in needs.iter().filter(|(from, _)| *from == name) {
                if reached.insert(to.clone()) {
                    open.push(to.clone());
                }
            }
        }
        reached
    };
    let reached: BTreeMap<&str, BTreeSet<String>> =
        needs.iter().map(|(from, _)| (&**from, reached(from))).collect();
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for (name, others) in reached.iter().filter(|(name, others)| others.contains(**name)) {
        let is_mutual = |other: &&String| reached.get(&***other).is_some_and(|back| back.contains(*name));
        let circle: BTreeSet<String> = others.iter().filter(is_mutual).cloned().collect();
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}
