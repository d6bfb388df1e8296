//! Everything that a host can switch on for its sandboxes besides the guard, all at once: it lets them out under its
//! own addresses, limits where they may send and how much, and counts where that goes.

use crate::lab::POLICY;
use netns_core::nat::{self, Nat, NatOptions};
use netns_core::{ErrorKind, IfName, Namespace, RouteSocket, link};
use std::fs;

/// What else `netns observe` counts.
pub(crate) const COUNTED: &[&str] = &["--scopes", "--verdicts"];
/// More than what is sent here, so that each frame passes the code for limits and none exceeds them.
const LIMIT: &str = "in=10gbit,out=10gbit,in=10mpps,out=10mpps,quota=100gb";
/// The sandboxes' networks, the groups that honest traffic is sent to, and tunnels between sandboxes.
pub(crate) const HONEST: &str = r#"
without = ["tunnels"]
rules = [
    "allow 10.1.0.0/16", "allow fd00:1::/64", "allow fd00:2::/64", "allow fd00:9::/64", "allow fe80::/64",
    "allow 239.0.0.0/8", "allow ff05::/16",
]
"#;

/// Switches all of it on, with an egress policy of these keys. What it counts is switched on by `Observed::start_with`.
pub(crate) fn begin(egress: &str) {
    let host = Namespace::current().unwrap();
    let mut socket = RouteSocket::open_in(&host).unwrap();
    let br0 = link::get(&mut socket, IfName::new("br0").unwrap()).unwrap();
    let subnets = ["10.1.1.0/24", "fd00:1::/64"].map(|subnet| subnet.parse().unwrap());
    let options = NatOptions {
        masquerade: true,
        ..NatOptions::new(br0.index, br0.mac.expect("Ethernet"), subnets.into())
    };
    // It goes with this host.
    match Nat::create(&host, &nat::unused_name(), options) {
        Err(error) if error.kind() == ErrorKind::Unsupported => eprintln!("SKIPPED masquerading: {error}"),
        made => drop(made.unwrap()),
    }
    let ports = fs::read_to_string(POLICY).unwrap();
    let ports = ports.replace("mac = ", &format!("egress = \"web\"\nlimit = \"{LIMIT}\"\nmac = "));
    fs::write(POLICY, format!("[egress.web]\n{egress}\n{ports}")).unwrap();
}
