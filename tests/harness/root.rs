//! A root file system of busybox, for containers.

use crate::{Machine, oracle};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// The busybox applets that containers use.
const APPLETS: [&str; 10] = ["sh", "cut", "grep", "hostname", "httpd", "ip", "nc", "ping", "sort", "wget"];

/// The answer of `httpd` to a request for `/`.
const SCRIPT: &str = r#"#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
echo "${NAME:-$(hostname)}"
"#;

/// Serves the value of `NAME`, or else the host's name, at port 80.
pub const SERVE: [&str; 6] = ["httpd", "-f", "-p", "80", "-h", "/www"];

/// Makes the root file system, for a [`Machine`]'s containers.
///
/// # Panics
/// If a file cannot be written. Without busybox the test is skipped: see [`crate::skip`].
#[must_use]
pub fn busybox_root() -> PathBuf {
    let root = Path::new(Machine::FOLDER).join("root");
    for folder in ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "www/cgi-bin"] {
        fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    fs::copy(oracle("busybox").get_program(), root.join("bin/busybox")).expect("a copy");
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet)).expect("a link");
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("a file");
    fs::write(root.join("etc/group"), "root:x:0:\n").expect("a file");
    let script = root.join("www/cgi-bin/index.cgi");
    fs::write(&script, SCRIPT).expect("a file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("rights");
    root
}
