//! The way out of sandboxes, and the way in: to a provider that knows nothing of their addresses.

use super::nftables::nft;
use crate::{ip_address, name, net};
use netns_core::nat::{self, Nat, NatOptions, PortProtocol, Publication};
use netns_core::network::{Network, NetworkOptions, RecordedNetwork, Sandbox};
use netns_core::{ErrorKind, Namespace, sysctl};
use netns_ebpf::{Monitor, MonitorOptions, Policy, Slot};
use std::io::{ErrorKind as Io, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
pub(super) use tests::provider;
use tests::{Host, in_fork, in_host, ip, needs_option, oracle, until};

pub(super) const PROVIDER_V4: &str = "192.0.2.2";
pub(super) const PROVIDER_V6: &str = "2001:db8::2";
pub(super) const HOST_V4: &str = "192.0.2.1";
pub(super) const HOST_V6: &str = "2001:db8::1";
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait for what should be dropped.
const DROPPED: Duration = Duration::from_secs(1);
const FOLDER: &str = RecordedNetwork::FOLDER;

/// Skips the test where the kernel cannot change addresses by nftables in tables of both families.
pub(super) fn needs_nat() {
    needs_option("CONFIG_NFT_MASQ", "nftables with nat", || {
        let script = "add table inet probe; add chain inet probe c { type nat hook postrouting priority 0; }; \
                      add rule inet probe c masquerade; delete table inet probe";
        oracle("nft").arg(script).output().is_ok_and(|output| output.status.success())
    });
}

pub(super) fn options() -> NetworkOptions {
    NetworkOptions {
        subnet_v4: Some(net("10.99.0.0/24")),
        subnet_v6: Some(net("fd99::/64")),
        masquerade: true,
        ..NetworkOptions::new(name("sb"))
    }
}

pub(super) fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip_address(address), port)
}

pub(super) fn listen(inside: &Namespace, port: u16) -> TcpListener {
    let listener = inside.enter(|| TcpListener::bind(at("::", port))).unwrap().unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// Connects and passes a byte in each direction; returns the address that the server sees.
#[track_caller]
pub(super) fn exchange(from: &Namespace, to: SocketAddr, server: &TcpListener) -> IpAddr {
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

/// Whether a connection is dropped on its way, and not actively refused.
pub(super) fn is_dropped(from: &Namespace, to: SocketAddr) -> bool {
    let outcome = from.enter(|| TcpStream::connect_timeout(&to, DROPPED)).unwrap();
    matches!(outcome, Err(error) if error.kind() == Io::TimedOut)
}

pub(super) fn tcp(port: u16, to: SocketAddr) -> Publication {
    Publication::new(PortProtocol::Tcp, port, to)
}

pub(super) fn to_v4(sandbox: &Sandbox, port: u16) -> SocketAddr {
    SocketAddr::new(sandbox.address_v4().unwrap().address(), port)
}

pub(super) fn to_v6(sandbox: &Sandbox, port: u16) -> SocketAddr {
    SocketAddr::new(sandbox.address_v6().unwrap().address(), port)
}

pub(super) fn udp(port: u16, to: SocketAddr) -> Publication {
    Publication::new(PortProtocol::Udp, port, to)
}

pub(super) fn datagrams(inside: &Namespace, at: SocketAddr) -> UdpSocket {
    let socket = inside.enter(|| UdpSocket::bind(at)).unwrap().unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// The settings of a host that a way out changes.
pub(super) fn settings(host: &Host) -> Vec<String> {
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

/// Runs a test on a host with a provider, and checks that it leaves the host as it was.
pub(super) fn with_provider(test: impl FnOnce(&Host, &Namespace) + Send) {
    in_host(|host| {
        needs_nat();
        let provider = provider();
        let before = settings(host);
        test(host, &provider);
        assert_eq!(nft("list ruleset"), "");
        assert_eq!(settings(host), before);
        assert!(!Path::new(FOLDER).exists());
        assert!(!Path::new("/run/netns-settings.record").exists());
    });
}

#[test]
fn sandboxes_get_out_under_the_hosts_addresses_and_nobody_gets_in() {
    with_provider(|_, provider| {
        let network = Network::create(&options()).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        let inside = sandbox.namespace().unwrap();
        let server = listen(provider, 80);
        for (to, seen) in [(PROVIDER_V4, HOST_V4), (PROVIDER_V6, HOST_V6)] {
            assert_eq!(exchange(inside, at(to, 80), &server), ip_address(seen));
        }
        // Somebody who routes to the sandbox through the host does not reach it, although the host forwards.
        ip("-n provider route add 10.99.0.0/24 via 192.0.2.1");
        ip("-n provider route add fd99::/64 via 2001:db8::1");
        let _listening = listen(inside, 80);
        for to in [to_v4(&sandbox, 80), to_v6(&sandbox, 80)] {
            assert!(is_dropped(provider, to), "{to}");
        }
    });
}

/// Where `br_netfilter` is loaded, the host's rules see what a bridge passes on.
#[test]
fn sandboxes_reach_each_other_over_the_bridge_and_not_by_the_host() {
    with_provider(|_, _| {
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
fn a_sandbox_has_as_many_connections_as_its_limit_allows() {
    with_provider(|_, provider| {
        let made = Network::create(&NetworkOptions { connection_limit: Some(3), ..options() });
        let network = match made {
            // CONFIG_NFT_CONNLIMIT is an option of its own.
            Err(error) if error.kind() == ErrorKind::Unsupported => tests::skip("no limits of connections"),
            other => other.unwrap(),
        };
        let (one, two) = (network.create_sandbox().unwrap(), network.create_sandbox().unwrap());
        let server = listen(provider, 80);
        for to in [at(PROVIDER_V4, 80), at(PROVIDER_V6, 80)] {
            let inside = one.namespace().unwrap();
            let open = |_| inside.enter(|| TcpStream::connect_timeout(&to, PATIENCE)).unwrap().unwrap();
            let _held: Vec<TcpStream> = (0..3).map(open).collect();
            assert!(is_dropped(inside, to));
            for _ in 0..3 {
                until("the server accepts", || server.accept().ok());
            }
            let _ = exchange(two.namespace().unwrap(), to, &server);
        }
    });
}

#[test]
fn name_lookups_go_to_the_resolver() {
    with_provider(|_, provider| {
        let resolvers = vec![ip_address(PROVIDER_V4), ip_address(PROVIDER_V6)];
        let network = Network::create(&NetworkOptions { resolvers, ..options() }).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        for (asked, own, resolver) in [
            ("198.51.100.53", to_v4(&sandbox, 0), at(PROVIDER_V4, 53)),
            ("2001:db8:53::53", to_v6(&sandbox, 0), at(PROVIDER_V6, 53)),
        ] {
            let server = datagrams(provider, resolver);
            let client = datagrams(sandbox.namespace().unwrap(), own);
            client.connect(at(asked, 53)).unwrap();
            let mut byte = [0];
            let (_, peer) = until("the resolver is asked", || {
                let _ = client.send(b"?");
                server.recv_from(&mut byte).ok()
            });
            server.send_to(b"!", peer).unwrap();
            until("the answer is from whom was asked", || client.recv(&mut byte).ok());
        }
        let server = listen(provider, 53);
        let _ = exchange(sandbox.namespace().unwrap(), at("198.51.100.53", 53), &server);
    });
}

const THEIRS: &str = "
add table ip nat
add chain ip nat POSTROUTING { type nat hook postrouting priority 100; policy accept; }
add rule ip nat POSTROUTING ip saddr 172.17.0.0/16 oifname != \"docker0\" counter masquerade
add table inet firewalld
add map inet firewalld published4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
add element inet firewalld published4 { 192.0.2.1 . tcp . 9999 : 10.0.0.1 . 80 }
add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; policy accept; }
add rule inet firewalld filter_FORWARD ct state established,related accept
";

#[test]
fn the_way_out_survives_a_kill_and_one_call_removes_exactly_that() {
    in_host(|host| {
        needs_nat();
        let provider = provider();
        nft(THEIRS);
        let (theirs, before) = (nft("list ruleset"), settings(host));
        in_fork(|| {
            let network = Network::create(&options()).unwrap();
            let (kept, lost) =
                (network.create_named_sandbox("kept").unwrap(), network.create_sandbox().unwrap());
            network.publish(&kept, &tcp(8080, to_v4(&kept, 80))).unwrap();
            network.publish(&lost, &tcp(8081, to_v4(&lost, 80))).unwrap();
            // As if killed: nothing is dropped.
            std::mem::forget((network, kept, lost));
            Ok(())
        })
        .unwrap();
        assert_ne!(settings(host), before);
        let kept = Namespace::open("kept").unwrap();
        let (inward, outward) = (listen(&kept, 80), listen(&provider, 80));
        let _ = exchange(&provider, at(HOST_V4, 8080), &inward);
        assert_eq!(exchange(&kept, at(PROVIDER_V4, 80), &outward), ip_address(HOST_V4));
        ip("-n provider route add 10.99.0.0/24 via 192.0.2.1");
        assert!(is_dropped(&provider, at("10.99.0.2", 80)), "it is as closed as before");

        let recorded = || RecordedNetwork::list(FOLDER).unwrap().remove(0);
        let (network, sandboxes) = recorded().open(None).unwrap();
        let published = network.published().unwrap();
        assert_eq!(published.len(), 1, "of the sandbox that is gone nothing is published: {published:?}");
        let _ = exchange(&provider, at(HOST_V4, 8080), &inward);
        network.withdraw(&sandboxes[0], &tcp(8080, to_v4(&sandboxes[0], 80))).unwrap();
        drop((network, sandboxes, kept, inward));
        assert_eq!((nft("list ruleset"), settings(host)), (theirs.clone(), before.clone()));

        in_fork(|| {
            let network = Network::create(&options()).unwrap();
            let sandbox = network.create_sandbox().unwrap();
            network.publish(&sandbox, &tcp(8080, to_v4(&sandbox, 80))).unwrap();
            std::mem::forget((network, sandbox));
            Ok(())
        })
        .unwrap();
        assert_ne!(nft("list ruleset"), theirs);
        assert_eq!(recorded().remove().unwrap(), [""; 0]);
        assert_eq!((nft("list ruleset"), settings(host)), (theirs, before));
        assert!(!Path::new(FOLDER).exists() && !Path::new("/run/netns-settings.record").exists());
    });
}

#[test]
fn rules_that_somebody_flushed_are_made_again() {
    with_provider(|_, provider| {
        let network = Network::create(&options()).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        let inside = sandbox.namespace().unwrap();
        let (inward, outward) = (listen(inside, 80), listen(provider, 80));
        network.publish(&sandbox, &tcp(8080, to_v4(&sandbox, 80))).unwrap();
        assert!(!network.restore_way_out().unwrap());
        let whole = nft("list ruleset");
        for damage in ["flush ruleset", "flush map inet {} published-any4", "flush chain inet {} forward"] {
            let table = whole.split(' ').nth(2).unwrap();
            nft(&damage.replace("{}", table));
            assert!(network.restore_way_out().unwrap(), "{damage}");
            assert_eq!(nft("list ruleset"), whole, "{damage}");
            assert!(!network.restore_way_out().unwrap());
        }
        let _ = exchange(provider, at(HOST_V4, 8080), &inward);
        let _ = exchange(inside, at(PROVIDER_V4, 80), &outward);
    });
}

/// Two processes without a network, like plugins of a container engine.
#[test]
fn a_table_is_opened_by_its_name() {
    in_host(|host| {
        needs_nat();
        let before = nft("list ruleset");
        ip("link add br0 address 02:00:00:00:00:07 type bridge");
        let bridge = crate::index(&mut host.socket(), "br0");
        let options = || NatOptions {
            masquerade: true,
            ..NatOptions::new(bridge, crate::mac_address("02:00:00:00:00:07"), vec![net("10.99.0.0/24")])
        };
        let table = nat::unused_name();
        assert!(Nat::open(host.namespace(), &table, options()).unwrap().is_none());
        let made = Nat::create(host.namespace(), &table, options()).unwrap();
        drop(made);
        let mut add = Nat::open(host.namespace(), &table, options()).unwrap().unwrap();
        let many = Publication { count: 2000, ..tcp(10_000, at("10.99.0.2", 1)) };
        add.publish(&many, "one").unwrap();
        add.publish(&tcp(80, at("10.99.0.3", 80)), "two").unwrap();
        let mut delete = Nat::open(host.namespace(), &table, options()).unwrap().unwrap();
        assert_eq!(delete.published().unwrap().len(), 2001);
        assert_eq!(delete.withdraw_all("one").unwrap().len(), 2000);
        assert_eq!(delete.published().unwrap()[0].owner, "two");
        assert!(nat::remove(host.namespace(), &table).unwrap());
        assert!(!nat::remove(host.namespace(), &table).unwrap());
        assert_eq!(nft("list ruleset"), before);
    });
}

/// The rules pass what the programs on the ports mark.
#[test]
fn an_enforced_policy_lets_sandboxes_out_and_others_in() {
    with_provider(|_, provider| {
        let monitor = match Monitor::load(&MonitorOptions { slots: 8, ..MonitorOptions::default() }) {
            Err(error) => tests::skip(&error.to_string()),
            Ok(monitor) => Arc::new(monitor),
        };
        let network =
            Network::create(&NetworkOptions { program: Some(monitor.clone()), ..options() }).unwrap();
        let (one, two) = (network.create_sandbox().unwrap(), network.create_sandbox().unwrap());
        for sandbox in [&one, &two] {
            let addresses = [sandbox.address_v4(), sandbox.address_v6()].into_iter().flatten();
            let own: Vec<IpAddr> = addresses.map(|net| net.address()).collect();
            let policy = Policy::of_host(sandbox.mac(), &own).unwrap().enforced();
            monitor.set_policy(sandbox.slot().and_then(Slot::new).unwrap(), &policy).unwrap();
        }
        let (inside, server) = (one.namespace().unwrap(), listen(provider, 80));
        let inward = listen(inside, 80);
        for to in [at(PROVIDER_V4, 80), at(PROVIDER_V6, 80)] {
            let _ = exchange(inside, to, &server);
        }
        for (host, to) in [(HOST_V4, to_v4(&one, 80)), (HOST_V6, to_v6(&one, 80))] {
            network.publish(&one, &tcp(8080, to)).unwrap();
            let _ = exchange(provider, at(host, 8080), &inward);
            let _ = exchange(two.namespace().unwrap(), at(host, 8080), &inward);
        }
        assert!(network.take_unjudged().unwrap().unjudged.is_empty());
    });
}
