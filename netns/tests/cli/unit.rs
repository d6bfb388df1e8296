//! The systemd units for topologies and observers: systemd accepts them, and their commands do what their comments say.
//! `cargo xtask dist --try` starts them with systemd.

use crate::topology::edit;
use crate::{Done, finished, state_of_the_host};
use std::fs;
use std::path::Path;
use std::process::Command;
use tests::{in_host, ip, oracle};

const UNIT: &str = include_str!("../../systemd/netns-up@.service");
const OBSERVER: &str = include_str!("../../systemd/netns-observe@.service");
const TARGET: &str = include_str!("../../systemd/netns-labs.target");
const FOLDER: &str = "/run/labs";

/// A unit adapted to this test: this program, and another folder than the machine's.
fn here(unit: &str, commands: usize) -> String {
    let netns = env!("CARGO_BIN_EXE_netns");
    assert_eq!(unit.matches("=netns ").count(), commands);
    unit.replace("=netns ", &format!("={netns} ")).replace("/etc/netns-topology", FOLDER)
}

fn unit() -> String {
    here(UNIT, 3)
}

/// Runs the unit's command for this key, for the instance `lab`.
fn does(key: &str) -> Done {
    let unit = unit();
    let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).expect("the key");
    let line = line.replace("%i", "lab");
    let mut words = line.split(' ');
    finished(Command::new(words.next().unwrap()).args(words).output().unwrap())
}

/// What systemd reports about the units in a folder.
fn verified(folder: &Path, units: &[&str]) -> (bool, String) {
    let mut analyze = oracle("systemd-analyze");
    // The man pages are installed with the units.
    let verified =
        analyze.args(["verify", "--man=no"]).args(units.iter().map(|unit| folder.join(unit))).output();
    let verified = verified.unwrap();
    (verified.status.success(), String::from_utf8_lossy(&verified.stderr).into_owned())
}

#[test]
fn systemd_accepts_the_units_without_a_warning() {
    in_host(|_| {
        let folder = Path::new("/run/units");
        fs::create_dir(folder).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write("netns-labs.target", TARGET);
        for (name, text) in [("netns-up@", unit()), ("netns-observe@", here(OBSERVER, 1))] {
            let units = [&format!("{name}lab.service")[..], "netns-labs.target"];
            write(&format!("{name}.service"), &text);
            assert_eq!(verified(folder, &units), (true, String::new()), "{name}");
            // It does report errors.
            write(&format!("{name}.service"), &text.replace("Type=", "Tpye="));
            let (_, said) = verified(folder, &units);
            assert!(said.contains("Tpye"), "{said}");
            write(&format!("{name}.service"), &text);
        }
    });
}

#[test]
fn a_lab_is_started_reloaded_and_stopped() {
    in_host(|_| {
        let file = Path::new(FOLDER).join("lab.toml");
        fs::create_dir(FOLDER).unwrap();
        fs::write(&file, "[bridge.br0]\n[namespace.a]\nrun = ['sleep 1000']\n").unwrap();
        let before = state_of_the_host();
        let silently = |key: &str| {
            let done = does(key);
            assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (Some(0), "", ""), "{key}");
        };
        silently("ExecStart");
        assert_eq!(ip("netns list"), "a\n");
        let pids = ip("netns pids a");
        edit(&file, "[namespace.a]", "[namespace.b]\n[namespace.a]");
        silently("ExecReload");
        assert_eq!(ip("netns list").lines().count(), 2);
        assert_eq!(ip("netns pids a"), pids, "what is the same was not touched");
        silently("ExecStopPost");
        assert_eq!(state_of_the_host(), before);
        // After a failed start there is nothing to take down.
        silently("ExecStopPost");
        // What an edit removed from the folder stays up until it is stopped.
        silently("ExecStart");
        fs::remove_file(&file).unwrap();
        silently("ExecStopPost");
        assert_eq!(ip("netns list"), "");
    });
}
