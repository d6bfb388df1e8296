//! A virtual machine with ARM's 64-bit processor: programs compiled for it, and a root made of Debian's packages.

use super::apt::{Archive, failed, run};
use super::target;
use crate::cross::require;
use crate::cross::target::Target;
use crate::cross::toolchain::CrossToolchain;
use netns::Failure;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) const QEMU: &str = "qemu-system-aarch64";
pub(super) const MACHINE: &[&str] = &["-machine", "virt", "-accel", "tcg,thread=multi", "-cpu", "cortex-a72"];
/// The machine has one serial line, which is the kernel's console.
pub(super) const REPORT: (&str, &[&str]) = (
    "/dev/hvc0",
    &["-device", "virtio-serial-pci", "-chardev", "stdio,id=report", "-device", "virtconsole,chardev=report"],
);

/// Debian 12: the C library is the one that its cross compiler links.
const RELEASE: &str = "bookworm";
/// What the guest's scripts and the tests call.
const PACKAGES: &[&str] = &[
    "base-files",
    "bash",
    "bpftool",
    "bsdutils",
    "busybox-static",
    "coreutils",
    "dash",
    "diffutils",
    "findutils",
    "grep",
    "hostname",
    "iperf3",
    "iproute2",
    "iputils-ping",
    "kmod",
    "libc-bin",
    "libgcc-s1",
    "mawk",
    "mount",
    "nftables",
    "procps",
    "sed",
    "strace",
    "tcpdump",
    "tmux",
    "util-linux",
];

/// What the packages' own scripts would do, which nobody runs here.
const MERGE_USR: &str = r#"
    set -e
    for name in bin sbin lib; do
      cp -a "$name/." "usr/$name/"
      rm -r "$name"
      ln -s "usr/$name" "$name"
    done
    rm -rf var/run var/lock
    ln -s /run var/run
    ln -s /run/lock var/lock
    ln -s mawk usr/bin/awk
    [ -e usr/bin/sh ] || ln -s dash usr/bin/sh
    echo root:x:0:0:root:/root:/bin/bash >etc/passwd
    echo root:x:0: >etc/group
    mkdir -p usr/lib/modules vm
"#;

/// Unpacks the root, unless it is there.
pub(super) fn root(archive: &Archive, folder: &Path) -> Result<PathBuf, Failure> {
    let root = folder.join("root-arm64");
    if root.is_dir() {
        return Ok(root);
    }
    let fresh = root.with_extension("new");
    archive.unpack_with_dependencies(PACKAGES, RELEASE, &fresh)?;
    run(Command::new("sh").arg("-c").arg(MERGE_USR).current_dir(&fresh))?;
    fs::rename(&fresh, &root).map_err(failed("rename", &fresh))?;
    Ok(root)
}

/// Cargo with this command, compiling for it.
pub(super) fn cargo(command: &str) -> Result<Command, String> {
    const TARGET: &str = "aarch64-unknown-linux-gnu";
    let target_of = Target::find(TARGET).ok_or("the target is not known")?;
    let linking = target_of.run.as_ref().ok_or("the target cannot be linked")?;
    require([linking.linker, linking.library])?;
    let toolchain = CrossToolchain::find(target_of)?;
    let mut cargo = toolchain.linking_cargo(command, target_of, linking, &target().join("cross"))?;
    cargo.args(["--config", "profile.dev.debug=false"]);
    Ok(cargo)
}
