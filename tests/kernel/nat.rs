//! The way out of sandboxes, and the way in: to a provider that knows nothing of their addresses.

use super::nftables::nft;
use crate::{ip_address, name, net};
use netns_core::nat::{PortProtocol, Publication};
use netns_core::network::{Network, NetworkOptions, RecordedNetwork, Sandbox};
use netns_core::{Namespace, sysctl};
use std::io::{ErrorKind as Io, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;
use tests::{Host, in_host, ip, needs_option, oracle, until};

const PROVIDER_V4: &str = "192.0.2.2";
const PROVIDER_V6: &str = "2001:db8::2";
const HOST_V4: &str = "192.0.2.1";
const HOST_V6: &str = "2001:db8::1";
const PATIENCE: Duration = Duration::from_secs(20);
/// How long what is dropped is waited for.
const DROPPED: Duration = Duration::from_secs(1);
const FOLDER: &str = RecordedNetwork::FOLDER;

/// Skips the test where the kernel cannot change addresses by nftables in tables of both families.
fn needs_nat() {
    needs_option("CONFIG_NFT_MASQ", "nftables with nat", || {
        let script = "add table inet probe; add chain inet probe c { type nat hook postrouting priority 0; }; \
                      add rule inet probe c masquerade; delete table inet probe";
        oracle("nft").arg(script).output().is_ok_and(|output| output.status.success())
    });
}

/// A host with a provider, by which its default routes lead and which has no route back but to the host's own addresses.
fn provider() -> Namespace {
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
        "route add default via 2001:db8::2",
    ] {
        ip(command);
    }
    Namespace::open("provider").unwrap()
}

fn options() -> NetworkOptions {
    NetworkOptions {
        subnet_v4: Some(net("10.99.0.0/24")),
        subnet_v6: Some(net("fd99::/64")),
        masquerade: true,
        ..NetworkOptions::new(name("sb"))
    }
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip_address(address), port)
}

fn listen(inside: &Namespace, port: u16) -> TcpListener {
    let listener = inside.enter(|| TcpListener::bind(at("::", port))).unwrap().unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// Connects, and passes a byte in each direction; the address that the server sees.
#[track_caller]
fn exchange(from: &Namespace, to: SocketAddr, server: &TcpListener) -> IpAddr {
    let client = from.enter(|| TcpStream::connect_timeout(&to, PATIENCE)).unwrap();
    let mut client = client.unwrap_or_else(|error| panic!("{to}: {error}"));
    let (mut accepted, peer) = until("the server accepts", || server.accept().ok());
    accepted.set_nonblocking(false).unwrap();
    for stream in [&client, &accepted] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    let mut byte = [0];
    client.write_all(b"?").unwrap();
    accepted.read_exact(&mut byte).unwrap();
    accepted.write_all(b"!").unwrap();
    client.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"!");
    peer.ip().to_canonical()
}

/// Whether a connection is dropped on its way, and not refused by somebody.
fn is_dropped(from: &Namespace, to: SocketAddr) -> bool {
    let outcome = from.enter(|| TcpStream::connect_timeout(&to, DROPPED)).unwrap();
    matches!(outcome, Err(error) if error.kind() == Io::TimedOut)
}

fn tcp(port: u16, to: SocketAddr) -> Publication {
    Publication::new(PortProtocol::Tcp, port, to)
}

fn to_v4(sandbox: &Sandbox, port: u16) -> SocketAddr {
    SocketAddr::new(sandbox.address_v4().unwrap().address(), port)
}

fn to_v6(sandbox: &Sandbox, port: u16) -> SocketAddr {
    SocketAddr::new(sandbox.address_v6().unwrap().address(), port)
}

/// The settings of a host that a way out changes.
fn settings(host: &Host) -> Vec<String> {
    let names = [
        "net/ipv4/ip_forward",
        "net/ipv4/conf/up0/forwarding",
        "net/ipv6/conf/all/forwarding",
        "net/ipv6/conf/up0/forwarding",
        "net/ipv6/conf/up0/accept_ra",
    ];
    let value = |name: &&str| format!("{name}={}", sysctl::get(host.namespace(), name).unwrap());
    let mut values: Vec<_> = names.iter().map(value).collect();
    let force = sysctl::get(host.namespace(), "net/ipv6/conf/up0/force_forwarding");
    values.extend(force.map(|value| format!("force={value}")));
    values
}

fn nothing_is_left(host: &Host, before: &[String]) {
    assert_eq!(nft("list ruleset"), "");
    assert_eq!(settings(host), before);
    assert!(!Path::new(FOLDER).exists());
    assert!(!Path::new("/run/netns-settings.record").exists());
}

#[test]
fn sandboxes_get_out_under_the_hosts_addresses_and_nobody_gets_in() {
    in_host(|host| {
        needs_nat();
        let provider = provider();
        let before = settings(host);
        let network = Network::create(&options()).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        let inside = sandbox.namespace().unwrap();
        let server = listen(&provider, 80);
        for (to, seen) in [(PROVIDER_V4, HOST_V4), (PROVIDER_V6, HOST_V6)] {
            assert_eq!(exchange(inside, at(to, 80), &server), ip_address(seen));
        }
        // Somebody who routes to the sandbox by the host does not reach it, although the host forwards.
        ip("-n provider route add 10.99.0.0/24 via 192.0.2.1");
        ip("-n provider route add fd99::/64 via 2001:db8::1");
        let _listening = listen(inside, 80);
        for to in [to_v4(&sandbox, 80), to_v6(&sandbox, 80)] {
            assert!(is_dropped(&provider, to), "{to}");
        }
        drop((sandbox, network));
        nothing_is_left(host, &before);
    });
}

/// Where `br_netfilter` is loaded, the host's rules see what a bridge passes on.
#[test]
fn sandboxes_reach_each_other_over_the_bridge_and_not_by_the_host() {
    in_host(|_| {
        needs_nat();
        let _provider = provider();
        for isolated in [false, true] {
            let network = Network::create(&NetworkOptions { isolated, ..options() }).unwrap();
            let (one, two) = (network.create_sandbox().unwrap(), network.create_sandbox().unwrap());
            let server = listen(two.namespace().unwrap(), 80);
            let from = one.namespace().unwrap();
            for to in [to_v4(&two, 80), to_v6(&two, 80)] {
                if isolated {
                    let failed = from.enter(|| TcpStream::connect_timeout(&to, DROPPED)).unwrap();
                    let _ = failed.unwrap_err();
                } else {
                    let _ = exchange(from, to, &server);
                }
            }
            let inside = |command: &str| {
                let mut ip = oracle("ip");
                ip.args(command.split(' '));
                assert!(from.run(&mut ip).unwrap().success());
            };
            inside("route add 10.99.0.3/32 via 10.99.0.1");
            inside("-6 route add fd99::3/128 via fd99::1");
            for to in [to_v4(&two, 80), to_v6(&two, 80)] {
                assert!(is_dropped(from, to), "{to}");
            }
        }
    });
}

#[test]
fn published_ports_lead_to_the_sandbox_from_everywhere() {
    in_host(|host| {
        needs_nat();
        let provider = provider();
        let before = settings(host);
        let network = Network::create(&options()).unwrap();
        let (one, two) = (network.create_sandbox().unwrap(), network.create_sandbox().unwrap());
        let inside = one.namespace().unwrap();
        let server = listen(inside, 80);
        for to in [to_v4(&one, 80), to_v6(&one, 80)] {
            network.publish(&one, &tcp(8080, to)).unwrap();
        }
        for address in [HOST_V4, HOST_V6] {
            let to = at(address, 8080);
            let from = if to.is_ipv4() { PROVIDER_V4 } else { PROVIDER_V6 };
            assert_eq!(exchange(&provider, to, &server), ip_address(from), "the source is kept");
            // From the host itself, from another sandbox, and from the same one.
            let _ = exchange(host.namespace(), to, &server);
            let _ = exchange(two.namespace().unwrap(), to, &server);
            let _ = exchange(inside, to, &server);
        }
        // The host's address on the bridge is one of its own, too.
        let _ = exchange(two.namespace().unwrap(), at("10.99.0.1", 8080), &server);
        let refused = host.namespace().enter(|| TcpStream::connect(at("127.0.0.1", 8080))).unwrap();
        assert_eq!(refused.unwrap_err().kind(), Io::ConnectionRefused);

        // One address, and a range.
        let range =
            Publication { address: Some(ip_address(HOST_V4)), count: 3, ..tcp(9000, to_v4(&one, 79)) };
        network.publish(&one, &range).unwrap();
        let _ = exchange(&provider, at(HOST_V4, 9001), &server);
        assert_eq!(network.published().unwrap().len(), 5);
        network.withdraw(&one, &range).unwrap();
        assert_eq!(network.published().unwrap().len(), 2);
        let after = provider.enter(|| TcpStream::connect(at(HOST_V4, 9001))).unwrap();
        assert_eq!(after.unwrap_err().kind(), Io::ConnectionRefused);

        // They go with their sandbox: its address will be another's.
        drop((one, server));
        assert!(network.published().unwrap().is_empty());
        drop((two, network));
        nothing_is_left(host, &before);
    });
}
