//! A bridge with sandboxes that have different policies.

use std::fmt::Write;
use tests::{eventually, ip, ip_json};

/// What the bridge is watched with.
pub(crate) const POLICY: &str = "/run/ports.toml";
/// The bridge's own addresses.
pub(crate) const HOST_MAC: &str = "02:00:00:00:00:fe";
pub(crate) const HOST4: &str = "10.1.1.254";

/// A sandbox; its port is called `p` and its number.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) name: &'static str,
    number: u8,
    /// The rest of its policy, besides the MAC address and the addresses.
    policy: &'static str,
    has_ipv6: bool,
}

/// All of them. The second is the one that others send to.
pub(crate) const SANDBOXES: [Sandbox; 7] = [
    Sandbox { name: "host", number: 1, policy: "permit = [\"dhcp-client\"]", has_ipv6: true },
    Sandbox { name: "victim", number: 2, policy: "", has_ipv6: true },
    Sandbox { name: "gateway", number: 3, policy: "permit = [\"router\", \"dhcp-server\"]", has_ipv6: true },
    Sandbox {
        name: "pairs",
        number: 4,
        policy: "networks = [\"10.1.2.0/24\", \"10.1.1.100/32\", \"fd00:2::/64\"]",
        has_ipv6: true,
    },
    Sandbox { name: "v4only", number: 5, policy: "ipv6 = false", has_ipv6: false },
    Sandbox { name: "slaac", number: 7, policy: "networks = [\"fd00:9::/64\"]", has_ipv6: true },
    Sandbox { name: "open", number: 6, policy: "ether_types = [0x8035]", has_ipv6: true },
];

/// The sandbox that others send to.
pub(crate) const VICTIM: &Sandbox = &SANDBOXES[1];

impl Sandbox {
    /// The sandbox with this name.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn named(name: &str) -> &'static Self {
        SANDBOXES.iter().find(|sandbox| sandbox.name == name).unwrap_or_else(|| panic!("no sandbox {name:?}"))
    }

    pub(crate) fn port(&self) -> String {
        format!("p{}", self.number)
    }

    pub(crate) fn mac(&self) -> String {
        format!("02:00:00:00:00:0{}", self.number)
    }

    pub(crate) fn ipv4(&self) -> String {
        format!("10.1.1.{}", self.number)
    }

    pub(crate) fn ipv6(&self) -> String {
        format!("fd00:1::{}", self.number)
    }

    /// The link-local address that follows from the MAC address.
    pub(crate) fn link_local(&self) -> String {
        format!("fe80::ff:fe00:{}", self.number)
    }

    fn make(&self, add: impl Fn(&str)) {
        let Self { name, number, .. } = self;
        add(name);
        ip(&format!("link add p{number} type veth peer name eth0 address {} netns {name}", self.mac()));
        ip(&format!("link set p{number} mtu 9000 master br0 up"));
        ip(&format!("-n {name} link set lo up"));
        ip(&format!("-n {name} addr add {}/24 dev eth0", self.ipv4()));
        // The router here advertises a network that is in none of these policies; an address from it would be foreign.
        ip(&format!("netns exec {name} sysctl -qw net.ipv6.conf.eth0.accept_ra=0"));
        if self.has_ipv6 {
            ip(&format!("-n {name} addr add {}/64 dev eth0 nodad", self.ipv6()));
        } else {
            ip(&format!("netns exec {name} sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1"));
        }
        ip(&format!("-n {name} link set eth0 up"));
        eventually("a port is up", || ip_json(&format!("link show {}", self.port()))[0]["operstate"] == "UP");
    }

    fn entry(&self) -> String {
        let addresses = if self.has_ipv6 {
            format!("\"{}\", \"{}\"", self.ipv4(), self.ipv6())
        } else {
            format!("\"{}\"", self.ipv4())
        };
        let (port, policy) = (self.port(), self.policy);
        // By the host's end: what a sandbox does with its own makes no difference.
        format!("[port.{port}]\nmac = \"{}\"\naddresses = [{addresses}]\n{policy}\n", self.mac())
    }
}

/// Sets the host up like one that runs containers: bridged packets pass the IP rules, and connections are tracked.
pub(crate) const NETFILTER: &str = r#"
    sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1
    sysctl -qw net.bridge.bridge-nf-call-arptables=1
    nft -f - <<.
    table inet host {
        chain before { type filter hook prerouting priority -150; ct state established counter accept; }
        chain forward { type filter hook forward priority 0; ct state new,established,related,untracked counter; }
        chain after { type filter hook postrouting priority 300; meta priority set "1:7"; }
    }
.
"#;

/// Makes the bridge and all sandboxes, and writes their policies to a file.
pub(crate) fn make() {
    make_with(SANDBOXES.len(), |name| drop(ip(&format!("netns add {name}"))));
}

/// The same for the first `count`, whose named namespaces `add` makes.
pub(crate) fn make_with(count: usize, add: impl Fn(&str)) {
    // A snooping bridge forwards to groups only where somebody has joined, so such frames would be lost even unguarded.
    ip(&format!("link add br0 address {HOST_MAC} mtu 9000 type bridge mcast_snooping 0"));
    ip(&format!("addr add {HOST4}/24 dev br0"));
    ip("link set br0 up");
    let mut policies = String::new();
    for sandbox in &SANDBOXES[..count] {
        sandbox.make(&add);
        let _ = writeln!(policies, "{}", sandbox.entry());
    }
    std::fs::write(POLICY, policies).unwrap();
    // A lie that passes would move the victim's address to the liar's port, and the next frame to it would be lost.
    let _ =
        tests::bridge(&format!("fdb replace {} dev {} master sticky static", VICTIM.mac(), VICTIM.port()));
}
