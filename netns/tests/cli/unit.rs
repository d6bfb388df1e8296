//! The unit for topologies at boot: systemd reads it, and what it says to run does what its comment says.

use crate::topology::edit;
use crate::{Done, finished, state_of_the_host};
use std::fs;
use std::path::Path;
use std::process::Command;
use tests::{in_host, ip, oracle};

const UNIT: &str = include_str!("../../systemd/netns-up@.service");
const FOLDER: &str = "/run/labs";

/// The unit as it is here: this program, and another folder than the machine's.
fn unit() -> String {
    let netns = env!("CARGO_BIN_EXE_netns");
    assert_eq!(UNIT.matches("=netns ").count(), 3);
    UNIT.replace("=netns ", &format!("={netns} ")).replace("/etc/netns-topology", FOLDER)
}

/// Does what the unit says of this key, of the instance `lab`.
fn does(key: &str) -> Done {
    let unit = unit();
    let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).expect("the key");
    let line = line.replace("%i", "lab");
    let mut words = line.split(' ');
    finished(Command::new(words.next().unwrap()).args(words).output().unwrap())
}

#[test]
fn systemd_reads_it_without_a_word() {
    in_host(|_| {
        let file = Path::new("/run/netns-up@.service");
        fs::write(file, unit()).unwrap();
        let mut analyze = oracle("systemd-analyze");
        let verified = analyze.args(["verify", "/run/netns-up@lab.service"]).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && said.is_empty(), "{said}");
        // And it would say something.
        fs::write(file, unit().replace("Type=oneshot", "Tpye=oneshot")).unwrap();
        let mut analyze = oracle("systemd-analyze");
        let verified = analyze.args(["verify", "/run/netns-up@lab.service"]).output().unwrap();
        assert!(String::from_utf8_lossy(&verified.stderr).contains("Tpye"));
    });
}

#[test]
fn it_is_started_reloaded_and_stopped() {
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
        // After a start that failed there is nothing to take down.
        silently("ExecStopPost");
        // What is taken away from the folder is up until it is stopped.
        silently("ExecStart");
        fs::remove_file(&file).unwrap();
        silently("ExecStopPost");
        assert_eq!(ip("netns list"), "");
    });
}
