//! Which kernel this is. A test of something that older kernels lack says which version has it.

use crate::{ip, ip_json, only, skip};
use std::fs;
use std::path::Path;

/// The kernel's version, as far as tests distinguish kernels: `(6, 8)`.
///
/// # Panics
/// If the kernel does not say it.
#[must_use]
pub fn kernel_version() -> (u32, u32) {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's release");
    let mut numbers = text.split(|character: char| !character.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => panic!("the kernel's release is {text}"),
    }
}

/// Skips the test on a kernel before this version, which is the first that has `what`. On every other kernel the test
/// goes on, and fails if `what` is missing.
///
/// Only inside [`super::in_host`].
///
/// # Panics
/// If the kernel is older and `CI` is set.
pub fn needs_kernel(since: (u32, u32), what: &str) {
    let (major, minor) = kernel_version();
    if (major, minor) < since {
        skip::skip(&format!("{what} missing; needs Linux {}.{}, this is {major}.{minor}", since.0, since.1));
    }
}

/// Skips the test on a kernel that was built without an option, which the probe finds out. It is for what
/// distributions' kernels have and small ones lack, in any version. Such a test is `#[ignore]`d with the name of what
/// it needs, and the round in the virtual machine (`cargo xtask vm-test --full`) includes it.
///
/// Only inside [`super::in_host`].
///
/// # Panics
/// If the probe finds nothing and `CI` is set.
pub fn needs_option(option: &str, what: &str, probe: impl FnOnce() -> bool) {
    if !probe() {
        skip::skip(&format!(
            "{what} missing; this kernel was built without {option}, distributions' have it"
        ));
    }
}

/// Whether there is `/dev/net/tun`. Distributions' kernels have it as a module, which nothing loads on a minimal
/// machine.
#[must_use]
pub fn has_tun() -> bool {
    Path::new("/dev/net/tun").exists()
}

/// Skips the test where there is no `/dev/net/tun`.
///
/// Only inside [`super::in_host`].
///
/// # Panics
/// If it is not there and `CI` is set.
pub fn needs_tun() {
    if !has_tun() {
        skip::skip("/dev/net/tun missing; it comes with the kernel's module: modprobe tun");
    }
}

/// A colon and the words in which the kernel explains a refusal, or nothing before the first version that has them.
#[must_use]
pub fn words_since(since: (u32, u32), words: &str) -> String {
    if kernel_version() >= since { format!(": {words}") } else { String::new() }
}

/// The kernel's words for refused IPv4 addresses, which it has from 6.6 on:
/// <https://lore.kernel.org/netdev/20230818082523.1972307-1-liuhangbin@gmail.com/>.
#[must_use]
pub fn ipv4_words(words: &str) -> String {
    words_since((6, 6), words)
}

/// Whether bridges of this kernel support VLANs (`CONFIG_BRIDGE_VLAN_FILTERING`). They then keep a forwarding entry for
/// every VLAN of a port (VLAN 1 by default), besides the one without a VLAN, whether the bridge filters or not.
///
/// # Panics
/// If the calling thread may not make a bridge.
#[must_use]
pub fn has_vlan_filtering() -> bool {
    let name = "probe-vlan";
    ip(&format!("link add {name} type bridge"));
    let shown = only(&ip_json(&format!("link show dev {name}")));
    ip(&format!("link delete dev {name}"));
    // `vlan_filtering` itself is there on every kernel.
    shown["linkinfo"]["info_data"].get("vlan_default_pvid").is_some()
}

/// The VLANs of the entries that the kernel makes of one forwarding entry without a VLAN, for a port in VLAN 1.
///
/// # Panics
/// As [`has_vlan_filtering`].
#[must_use]
pub fn vlans_of_an_entry() -> Vec<Option<u16>> {
    if has_vlan_filtering() { vec![None, Some(1)] } else { vec![None] }
}
