//! The peer: the same anti-spoofing rules in nftables' bridge family, one rule set a port, as Incus and libvirt make them.

use super::guard::{Guard, address_of};
use crate::Result;
use netns_core::MacAddress;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// The rules: of a port's frames those pass that have its MAC and IPv4 addresses, in ARP as well, and nothing that only
/// routers and DHCP servers say. Less than our program looks at.
pub(super) fn rules(guard: Guard, ports: u16) -> String {
    let mut text = "table bridge guard {\n".to_owned();
    let (mut jumps, mut map) = (String::new(), String::new());
    for number in 1..=ports {
        let (mac, address) = (MacAddress::local(number.into()), address_of(number));
        let _ = writeln!(
            text,
            "chain p{number} {{\nether saddr != {mac} drop\nether type arp arp saddr ether != {mac} drop\n\
             ether type arp arp saddr ip != {{ 0.0.0.0, {address} }} drop\n\
             ether type ip ip saddr != {address} drop\nether type ip udp sport 67 drop\n\
             ether type ip6 icmpv6 type {{ nd-router-advert, nd-redirect }} drop\n\
             ether type != {{ ip, arp, ip6 }} drop\n}}"
        );
        let _ = writeln!(jumps, "iifname \"port{number}\" jump p{number}");
        let _ = write!(map, "{}\"port{number}\" : jump p{number}", if number > 1 { ", " } else { "" });
    }
    let find = if guard == Guard::VerdictMap { format!("iifname vmap {{ {map} }}") } else { jumps };
    text + &format!("chain ports {{\ntype filter hook prerouting priority -300;\n{find}\n}}\n}}\n")
}

/// Has nft take rules into the namespace of the calling thread.
pub(super) fn load(rules: &str) -> Result<()> {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no pipe to nft")?.write_all(rules.as_bytes())?;
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("nft: {status}").into()) }
}
