//! What the bridges of a network must not have (a link-local address where there is no IPv6, a belief in routers), on
//! hosts where settings can be written and where they cannot.

use crate::{name, net};
use netns_core::network::{Network, NetworkOptions, Sandbox};
use netns_core::ping::{Ping, ping};
use netns_core::{IpNet, Namespace, RouteSocket, link, sysctl};
use netns_ebpf::attack::FrameSocket;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::Ipv6Addr;
use std::process::Stdio;
use std::time::Duration;
use tests::{in_host, ip, oracle, skip};

fn only_v4() -> NetworkOptions {
    NetworkOptions { subnet_v4: Some(net("10.99.0.0/24")), per_bridge: 2, ..NetworkOptions::new(name("sb")) }
}

fn both() -> NetworkOptions {
    NetworkOptions { subnet_v6: Some(net("fd99::/64")), ..only_v4() }
}

/// Whether each reaches each, across bridges, with packets as large as the links allow.
fn all_reach_each_other(sandboxes: &[Sandbox]) -> bool {
    let addresses = |sandbox: &Sandbox| [sandbox.address_v4(), sandbox.address_v6()].into_iter().flatten();
    let reaches = |from: &Sandbox, to: IpNet| {
        let request = Ping { payload: 1452, ..Ping::new(to.address()) };
        ping(from.namespace().unwrap(), &request).unwrap().all_received()
    };
    sandboxes.iter().all(|from| sandboxes.iter().flat_map(addresses).all(|to| reaches(from, to)))
}

/// The prefix that a sandbox advertises as a router.
const PREFIX: &str = "2001:db8:bad::";

/// A router advertisement to all nodes: a default route, and a prefix for addresses.
fn advertisement(sandbox: &Sandbox) -> Vec<u8> {
    let source: Ipv6Addr = "fe80::bad".parse().unwrap();
    let all_nodes: Ipv6Addr = "ff02::1".parse().unwrap();
    let prefix: Ipv6Addr = PREFIX.parse().unwrap();
    let mut message = vec![134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    // Prefix information: on-link and autonomous, for an hour.
    message.extend([3, 4, 64, 0xC0, 0, 0, 0x0E, 0x10, 0, 0, 0x0E, 0x10, 0, 0, 0, 0]);
    message.extend(prefix.octets());
    let pseudo = [&source.octets()[..], &all_nodes.octets(), &[0, 0, 0, message.len() as u8, 0, 0, 0, 58]];
    let mut sum: u32 = 0;
    for pair in [pseudo.concat(), message.clone()].concat().chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    message[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    let header = [0x60, 0, 0, 0, 0, message.len() as u8, 58, 255];
    let ethernet = [&[0x33, 0x33, 0, 0, 0, 1][..], &sandbox.mac().0, &[0x86, 0xDD]].concat();
    [&ethernet[..], &header, &source.octets(), &all_nodes.octets(), &message].concat()
}

/// Lets a sandbox advertise itself as a router, and checks that neither its bridge nor the host's believes it.
fn assert_no_bridge_believes_a_router(host: &Namespace, sandboxes: &[Sandbox]) {
    for sandbox in sandboxes {
        let inside = sandbox.namespace().unwrap();
        let eth0 = link::get(&mut RouteSocket::open_in(inside).unwrap(), name("eth0")).unwrap().index;
        let socket = inside.enter(|| FrameSocket::open(eth0)).unwrap().unwrap();
        socket.send(&advertisement(sandbox)).unwrap();
    }
    // The kernel has delivered them once something sent later is answered; believing takes as long.
    assert!(all_reach_each_other(sandboxes));
    std::thread::sleep(Duration::from_millis(200));
    for place in sandboxes.iter().map(|sandbox| sandbox.port_namespace().unwrap()).chain([host]) {
        let heard = place.enter(|| ip("-6 addr show") + &ip("-6 route show")).unwrap();
        assert!(!heard.contains("2001:db8:bad"), "{heard}");
    }
}

/// The IPv6 addresses of the bridges of a network's sandboxes.
fn addresses_of_bridges(sandboxes: &[Sandbox]) -> String {
    let of = |sandbox: &Sandbox| {
        let mut socket = RouteSocket::open_in(sandbox.port_namespace().unwrap()).unwrap();
        let bridge = link::get(&mut socket, sandbox.port().index).unwrap().master.unwrap();
        let bridge = link::get(&mut socket, bridge).unwrap().name;
        let shown = || ip(&format!("-6 -o addr show dev {bridge}"));
        sandbox.port_namespace().unwrap().enter(shown).unwrap()
    };
    sandboxes.iter().map(of).collect()
}

fn try_everything(host: &Namespace) {
    let network = Network::create(&only_v4()).unwrap();
    let sandboxes: Vec<_> = (0..5).map(|_| network.create_sandbox().unwrap()).collect();
    assert_eq!(addresses_of_bridges(&sandboxes), "");
    assert_no_bridge_believes_a_router(host, &sandboxes);
    drop((sandboxes, network));

    let six = NetworkOptions { name: name("six"), ..both() };
    if !fs::exists("/proc/sys/net/ipv6").unwrap() {
        // The kernel's `ipv6.disable=1`.
        assert!(Network::create(&six).unwrap_err().to_string().contains("the kernel has none"));
        return;
    }
    let network = Network::create(&six).unwrap();
    let sandboxes: Vec<_> = (0..5).map(|_| network.create_sandbox().unwrap()).collect();
    // The first two are on the host's own bridge, which has addresses.
    assert_eq!(addresses_of_bridges(&sandboxes[2..]), "");
    assert_no_bridge_believes_a_router(host, &sandboxes);
}

#[test]
fn no_bridge_has_an_unasked_address_or_believes_a_router() {
    in_host(|host| try_everything(host.namespace()));
}

#[test]
fn nor_where_settings_are_read_only() {
    in_host(|host| {
        host.make_settings_read_only();
        assert_eq!(
            sysctl::set(host.namespace(), "net.ipv4.ip_forward", "1").unwrap_err().errno(),
            Some(libc::EROFS)
        );
        try_everything(host.namespace());
        // Only our own link's setting was written.
        let ours = sysctl::get(host.namespace(), "net.ipv6.conf.default.disable_ipv6");
        assert!(ours.is_ok_and(|value| value == "0") || !fs::exists("/proc/sys/net/ipv6").unwrap());
    });
}

#[test]
fn without_even_a_procfs_of_its_own_the_setting_is_named_and_can_be_made_first() {
    const INSIDE: &str = "TESTS_IN_READ_ONLY_USER_NAMESPACE";
    let test =
        "network_settings::without_even_a_procfs_of_its_own_the_setting_is_named_and_can_be_made_first";
    if env::var_os(INSIDE).is_some() {
        let error = Network::create(&only_v4()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "switch off accept_ra of sb; else what a sandbox advertises as a router would configure this host (where \
             /proc/sys cannot be written, net.ipv6.conf.default.accept_ra=0 has to be set from outside): write sysctl: \
             Read-only file system (os error 30)"
        );
        assert_eq!(link::list(&mut RouteSocket::open().unwrap()).unwrap().len(), 1, "something is left");
        // The outside sets it now.
        println!("refused");
        std::io::stdin().read_exact(&mut [0]).unwrap();
        try_everything(&Namespace::current().unwrap());
        return;
    }
    in_host(|host| {
        if !fs::exists("/proc/sys/net/ipv6").unwrap() {
            skip("no IPv6 (CONFIG_IPV6)");
        }
        host.make_settings_read_only();
        let mut command = oracle("unshare");
        command.args(["--user", "--map-root-user", "--net", "--mount"]).arg(env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let mut said = [0; 4096];
        let mut words = String::new();
        while !words.contains("refused\n") {
            let length = child.stdout.as_mut().unwrap().read(&mut said).unwrap();
            words += std::str::from_utf8(&said[..length]).unwrap();
            if length == 0 {
                let error = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
                if error.contains("unshare failed") {
                    skip("this machine has no user namespaces");
                }
                panic!("{words}{error}");
            }
        }
        let inside = Namespace::of_pid(child.id()).unwrap();
        fs::create_dir("/run/proc").unwrap();
        let _ = tests::run(oracle("mount").args(["-t", "proc", "proc", "/run/proc"]));
        let setting = "/run/proc/sys/net/ipv6/conf/default/accept_ra";
        inside.enter(|| fs::write(setting, "0")).unwrap().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        let output = child.wait_with_output().unwrap();
        let words = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && words.contains("1 passed"), "{words}");
    });
}

#[test]
fn links_too_small_for_ipv6_carry_ipv4() {
    in_host(|_| {
        let options = NetworkOptions { mtu: Some(1000), ..only_v4() };
        let network = Network::create(&options).unwrap();
        let sandboxes: Vec<_> = (0..3).map(|_| network.create_sandbox().unwrap()).collect();
        for sandbox in &sandboxes {
            let there = Ping::new(sandbox.address_v4().unwrap().address());
            assert!(ping(sandboxes[0].namespace().unwrap(), &there).unwrap().all_received());
        }
        drop((sandboxes, network));
        let error =
            Network::create(&NetworkOptions { mtu: Some(1000), name: name("six"), ..both() }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "create network six: its bridge has no IPv6 for fd99::/64: the kernel has none, or the MTU is below 1280"
        );
        assert!(!ip("-o link show").contains("six"));
    });
}
