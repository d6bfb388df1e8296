//! A world outside the host.

use crate::ip;
use netns_core::Namespace;

/// Gives the host a provider: a namespace that its default routes lead to, and that has routes back only to the host's
/// own addresses.
///
/// # Panics
/// If a command fails.
#[must_use]
pub fn provider() -> Namespace {
    for command in [
        "netns add provider",
        "link add up0 type veth peer name eth0 netns provider",
        "addr add 192.0.2.1/24 dev up0",
        "addr add 2001:db8::1/64 dev up0 nodad",
        "link set up0 up",
        "-n provider addr add 192.0.2.2/24 dev eth0",
        "-n provider addr add 2001:db8::2/64 dev eth0 nodad",
        "-n provider link set eth0 up",
        "-n provider link set lo up",
        "route add default via 192.0.2.2",
        "-6 route add default via 2001:db8::2",
    ] {
        ip(command);
    }
    Namespace::open("provider").unwrap()
}
