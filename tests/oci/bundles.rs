//! `examples/oci-runner.rs`, with crun and runc.

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tests::{Machine, busybox_root, in_host, oracle};

#[test]
fn crun() {
    in_host(|host| {
        bundles(&["crun", "--root", "/run/engine/state", "--cgroup-manager=disabled"]);
        host.assert_clean();
    });
}

#[test]
fn runc() {
    in_host(|host| {
        bundles(&["runc", "--root", "/run/engine/state"]);
        host.assert_clean();
    });
}

/// The first container answers one connection with its name; the second pings it, connects to it, looks around and ends
/// with an exit code of its own. Neither is root.
fn bundles(engine: &[&str]) {
    for tool in [engine[0], "ping"] {
        let _ = oracle(tool);
    }
    let machine = Machine::boot();
    let root = busybox_root();
    for name in ["lib", "lib64"] {
        symlink(format!("usr/{name}"), root.join(name)).expect("a link");
    }
    let script = "/usr/bin/ping -c 1 -W 20 10.97.0.2 >/dev/null && echo answered
        until nc 10.97.0.2 80 2>/dev/null; do :; done
        echo $ADDRESS /sys/class/net/*; exit 7";
    let serving = bundle("server", &root, &["nc", "-l", "-p", "80", "-e", "hostname"]);
    let asking = bundle("client", &root, &["sh", "-c", script]);
    let words = engine.join(" ");
    let ran = machine.run(env!("CARGO_BIN_EXE_oci-runner"), &[&words, &path(&serving), &path(&asking)]);
    assert_eq!(ran.code, Some(7), "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines, ["answered", "server", "10.97.0.3 /sys/class/net/eth0 /sys/class/net/lo"], "{ran:?}");
}

fn path(bundle: &Path) -> String {
    bundle.display().to_string()
}

/// A bundle without a network namespace.
fn bundle(name: &str, root: &Path, words: &[&str]) -> PathBuf {
    let folder = Path::new(Machine::FOLDER).join(name);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("config.json"), config(name, root, words).to_string()).expect("a file");
    folder
}

fn config(name: &str, root: &Path, words: &[&str]) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "hostname": name,
        "process": {
            "user": { "uid": 1000, "gid": 1000 },
            "args": words,
            "env": ["PATH=/bin"],
            "cwd": "/",
            // Debian's ping gets a capability from its file, and does not start where it cannot.
            "noNewPrivileges": true,
            "capabilities": { "bounding": ["CAP_NET_RAW"] },
        },
        "root": { "path": root, "readonly": true },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs" },
            { "destination": "/usr", "type": "bind", "source": "/usr", "options": ["bind", "ro"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"] },
        ],
        "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }],
            "sysctl": { "net.ipv4.ip_unprivileged_port_start": "80" },
            "cgroupsPath": format!("/oci/{name}"),
        },
    })
}
