//! Published ports: where they work from, whose they are, and what can be in the way of one.

use super::nat::{
    HOST_V4, HOST_V6, PROVIDER_V4, PROVIDER_V6, at, datagrams, exchange, is_dropped, listen, options, tcp,
    to_v4, to_v6, udp, with_provider,
};
use super::nftables::nft;
use crate::{ip_address, name, net};
use netns_core::nat::Publication;
use netns_core::network::{Network, NetworkOptions};
use netns_core::nftables::NftSocket;
use netns_core::{ErrorKind, Operation};
use std::io::ErrorKind as Io;
use std::net::{TcpListener, TcpStream};
use tests::{oracle, refused, until, without_capabilities};

#[test]
fn published_ports_lead_to_the_sandbox_from_everywhere() {
    with_provider(|host, provider| {
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
            assert_eq!(exchange(provider, to, &server), ip_address(from), "the source is kept");
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
        let _ = exchange(provider, at(HOST_V4, 9001), &server);
        assert_eq!(network.published().unwrap().len(), 5);
        network.withdraw(&one, &range).unwrap();
        assert_eq!(network.published().unwrap().len(), 2);
        let after = provider.enter(|| TcpStream::connect(at(HOST_V4, 9001))).unwrap();
        assert_eq!(after.unwrap_err().kind(), Io::ConnectionRefused);

        // They go with their sandbox: another one will get its address.
        drop((one, server));
        assert!(network.published().unwrap().is_empty());
    });
}

/// Unless the kernel's connections are flushed, an existing one keeps going to its old destination.
#[test]
fn datagrams_of_existing_connections_follow_a_change() {
    with_provider(|_, provider| {
        let network = Network::create(&options()).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        let inside = sandbox.namespace().unwrap();
        for (host, from, to) in
            [(HOST_V4, PROVIDER_V4, to_v4(&sandbox, 53)), (HOST_V6, PROVIDER_V6, to_v6(&sandbox, 53))]
        {
            let (client, server) = (datagrams(provider, at(from, 4000)), datagrams(inside, to));
            client.connect(at(host, 5300)).unwrap();
            let refused = || {
                until("the host itself answers that nobody listens", || {
                    let _ = client.send(b"?");
                    client.recv(&mut [0]).err().filter(|error| error.kind() == Io::ConnectionRefused)
                });
            };
            refused();
            let publication = udp(5300, to);
            network.publish(&sandbox, &publication).unwrap();
            let mut asked = [0];
            let (_, peer) = until("the sandbox is asked", || {
                let _ = client.send(b"!");
                server.recv_from(&mut asked).ok()
            });
            assert_eq!(peer, at(from, 4000));
            server.send_to(b"+", peer).unwrap();
            until("the answer is from the port that was asked", || client.recv(&mut asked).ok());
            network.withdraw(&sandbox, &publication).unwrap();
            refused();
        }
    });
}

#[test]
fn anothers_port_is_neither_published_again_nor_withdrawn() {
    with_provider(|host, _| {
        let first = Network::create(&options()).unwrap();
        let other = NetworkOptions {
            subnet_v4: Some(net("10.98.0.0/24")),
            subnet_v6: None,
            ..NetworkOptions { name: name("other"), ..options() }
        };
        let second = Network::create(&other).unwrap();
        let (one, two) = (first.create_sandbox().unwrap(), first.create_sandbox().unwrap());
        let foreign = second.create_sandbox().unwrap();
        first.publish(&one, &tcp(80, to_v4(&one, 80))).unwrap();
        let published = first.published().unwrap();
        let specific = |port, to| Publication { address: Some(ip_address(HOST_V4)), ..tcp(port, to) };
        first.publish(&one, &specific(81, to_v4(&one, 80))).unwrap();

        let _listener = host.namespace().enter(|| TcpListener::bind(at(HOST_V4, 443))).unwrap().unwrap();
        let _bound = datagrams(host.namespace(), at("0.0.0.0", 53));
        let refusals = [
            (
                first.publish(&two, &tcp(80, to_v4(&two, 80))),
                ErrorKind::Exists,
                "is published by \"sandbox 0\"",
            ),
            (second.publish(&foreign, &tcp(80, to_v4(&foreign, 80))), ErrorKind::Exists, "\"sandbox 0\""),
            (
                second.publish(&foreign, &specific(80, to_v4(&foreign, 80))),
                ErrorKind::Exists,
                "\"sandbox 0\"",
            ),
            (second.publish(&foreign, &tcp(81, to_v4(&foreign, 80))), ErrorKind::Exists, "\"sandbox 0\""),
            // A range whose last port is taken: none of it is published.
            (
                first.publish(&two, &Publication { count: 3, ..tcp(78, to_v4(&two, 78)) }),
                ErrorKind::Exists,
                "tcp *:80 -> 10.99.0.2:80 is published",
            ),
            (
                first.publish(&one, &tcp(443, to_v4(&one, 80))),
                ErrorKind::Exists,
                "a process of the host has port 443",
            ),
            (
                first.publish(&one, &udp(53, to_v4(&one, 80))),
                ErrorKind::Exists,
                "a process of the host has port 53",
            ),
            (
                first.publish(&one, &tcp(82, to_v4(&two, 80))),
                ErrorKind::Invalid,
                "not lead to an address of the",
            ),
            (first.publish(&foreign, &tcp(82, to_v4(&one, 80))), ErrorKind::Invalid, "another network's"),
            (
                first.publish(
                    &one,
                    &Publication { address: Some(ip_address("192.0.2.9")), ..tcp(82, to_v4(&one, 80)) },
                ),
                ErrorKind::Invalid,
                "the host has no address 192.0.2.9",
            ),
            (
                first.publish(
                    &one,
                    &Publication { address: Some(ip_address("127.0.0.1")), ..tcp(82, to_v4(&one, 80)) },
                ),
                ErrorKind::Invalid,
                "at 127.0.0.1",
            ),
            (
                first.publish(
                    &one,
                    &Publication { address: Some(ip_address("::1")), ..tcp(82, to_v6(&one, 80)) },
                ),
                ErrorKind::Invalid,
                "[::1]",
            ),
            (
                first.withdraw(&two, &tcp(80, to_v4(&two, 80))),
                ErrorKind::Busy,
                "is published by \"sandbox 0\"",
            ),
            (first.withdraw(&one, &tcp(80, to_v4(&one, 81))), ErrorKind::Busy, "leads to 10.99.0.2:80"),
            (first.withdraw(&one, &tcp(99, to_v4(&one, 80))), ErrorKind::NotFound, "it is not published"),
        ];
        for (outcome, kind, why) in refusals {
            let error = outcome.unwrap_err();
            assert!(error.kind() == kind && error.to_string().contains(why), "{error} does not say {why}");
        }
        let now = first.published().unwrap();
        assert_eq!(now.len(), 2);
        assert!(published.iter().all(|one| now.contains(one)) && second.published().unwrap().is_empty());
    });
}

#[test]
fn a_published_port_is_reachable_at_the_loopback_address_if_asked_for() {
    with_provider(|host, _| {
        let network = Network::create(&NetworkOptions { publish_on_loopback: true, ..options() }).unwrap();
        let (one, two) = (network.create_sandbox().unwrap(), network.create_sandbox().unwrap());
        let server = listen(one.namespace().unwrap(), 80);
        network.publish(&one, &tcp(8080, to_v4(&one, 80))).unwrap();
        assert_eq!(exchange(host.namespace(), at("127.0.0.1", 8080), &server), ip_address("10.99.0.1"));
        let only = Publication { address: Some(ip_address("127.0.0.2")), ..tcp(8081, to_v4(&one, 80)) };
        network.publish(&one, &only).unwrap();
        let _ = exchange(host.namespace(), at("127.0.0.2", 8081), &server);

        // What listens there stays private to the host, although its kernel would now let such packets in.
        let _private = host.namespace().enter(|| TcpListener::bind(at("127.0.0.1", 7000))).unwrap().unwrap();
        let inside = two.namespace().unwrap();
        inside.enter(|| std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1")).unwrap().unwrap();
        for command in ["addr del 127.0.0.1/8 dev lo", "route add 127.0.0.1 via 10.99.0.1 src 10.99.0.3"] {
            assert!(inside.run(oracle("ip").args(command.split(' '))).unwrap().success());
        }
        assert!(is_dropped(inside, at("127.0.0.1", 7000)));
    });
}

/// Its address is the next sandbox's.
#[test]
fn a_number_is_not_given_out_with_the_ports_of_the_sandbox_before() {
    with_provider(|_, _| {
        let network = Network::create(&NetworkOptions { maximum: 1, ..options() }).unwrap();
        let one = network.create_sandbox().unwrap();
        network.publish(&one, &tcp(8080, to_v4(&one, 80))).unwrap();
        // The kernel refuses what is asked without privilege.
        without_capabilities(move || drop(one));
        assert_eq!(network.published().unwrap().len(), 1);
        let two = network.create_sandbox().unwrap();
        assert_eq!(two.number(), 0);
        assert!(network.published().unwrap().is_empty());
    });
}

#[test]
fn ports_are_published_again_in_one_step() {
    with_provider(|host, _| {
        let network = Network::create(&options()).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        let many = Publication { count: 1500, ..tcp(20_000, to_v4(&sandbox, 20_000)) };
        network.publish(&sandbox, &many).unwrap();
        let tables = nft("list tables inet");
        let _ = nft(&format!("delete {}", tables.trim()));
        let mut socket = NftSocket::open_in(host.namespace()).unwrap();
        let before = socket.generation().unwrap();
        assert!(network.restore_way_out().unwrap());
        assert_eq!(socket.generation().unwrap(), before + 1, "steps are counted by the kernel");
        assert_eq!(network.published().unwrap().len(), 1500);
    });
}

/// Each request in turn is refused.
#[test]
fn what_was_not_published_or_withdrawn_is_as_it_was() {
    with_provider(|_, _| {
        let network = Network::create(&options()).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        let publication = udp(5300, to_v4(&sandbox, 53));
        let mut refusals = 0;
        for when in 1.. {
            let outcome = refused("sendto", when, "ENOBUFS", || network.publish(&sandbox, &publication));
            let Err(error) = outcome else { break };
            assert_eq!(error.errno(), Some(libc::ENOBUFS), "{error}");
            assert!(network.published().unwrap().is_empty(), "{error}");
            refusals += 1;
        }
        assert!(refusals > 3, "{refusals}");
        for when in 1.. {
            let outcome = refused("sendto", when, "ENOBUFS", || network.withdraw(&sandbox, &publication));
            let left = network.published().unwrap();
            let Err(error) = outcome else {
                assert!(left.is_empty());
                break;
            };
            let is_withdrawn = error.operation() == Operation::ListConnections;
            assert_eq!(left.is_empty(), is_withdrawn, "{error}");
            if is_withdrawn {
                network.publish(&sandbox, &publication).unwrap();
            }
        }
    });
}
