//! What `docs/engines.md` shows. The other modules run it.

use netns_core::network::{Network, NetworkOptions, Sandbox};
use netns_core::{IfName, Namespace, Result};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

pub(crate) fn network_in_which_anybody_pings() -> Result<Network> {
    Network::create(&NetworkOptions {
        subnet_v4: Some("10.97.0.0/24".parse()?),
        sysctls: vec![("net.ipv4.ping_group_range".into(), "0 2147483647".into())],
        ..NetworkOptions::new(IfName::new("oci")?)
    })
}

pub(crate) fn spawn_in_pid_namespace(sandbox: &Sandbox, words: &[&str]) -> Result<Child> {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"]).args(words);
    sandbox.spawn(command.stdout(Stdio::piped()))
}

pub(crate) fn spawn_with_sys(sandbox: &Sandbox, words: &[&str]) -> Result<Child> {
    let mut command = Command::new("unshare");
    let mount = "mount -t sysfs sysfs /sys && exec \"$@\"";
    command.args(["--mount", "--", "sh", "-c", mount, "sh"]).args(words);
    sandbox.spawn(command.stdout(Stdio::piped()))
}

pub(crate) fn nsenter(namespace: &Namespace, words: &[&str]) -> Result<Command> {
    let mut command = Command::new("nsenter");
    command.args(["--net=/proc/self/fd/0", "--"]).args(words);
    command.stdin(OwnedFd::from(namespace.try_clone()?));
    Ok(command)
}

pub(crate) fn bubblewrap(sandbox: &Sandbox, words: &[&str]) -> Result<Child> {
    let mut command = Command::new("bwrap");
    command.args([
        "--ro-bind",
        "/usr",
        "/usr",
        "--symlink",
        "usr/lib",
        "/lib",
        "--symlink",
        "usr/lib64",
        "/lib64",
    ]);
    command.args(["--proc", "/proc", "--dev", "/dev", "--unshare-all", "--share-net", "--"]).args(words);
    sandbox.spawn(command.stdout(Stdio::piped()))
}
