//! Ports that lead to a proxy on the host, which sees the original destination.

use super::nat::{
    HOST_V4, PATIENCE, PROVIDER_V4, PROVIDER_V6, at, datagrams, exchange, listen, options, tcp, to_v4,
    with_provider,
};
use super::nftables::nft;
use crate::ip_address;
use netns_core::nat::Redirect;
use netns_core::network::{Network, NetworkOptions, RecordedNetwork, Sandbox};
use netns_core::{ErrorKind, Namespace};
use std::net::{SocketAddr, TcpListener, TcpStream};
use tests::{in_fork, original_destination, until};

fn redirecting(redirects: Vec<Redirect>) -> Network {
    match Network::create(&NetworkOptions { redirects, ..options() }) {
        // CONFIG_NFT_REDIR is an option of its own.
        Err(error) if error.kind() == ErrorKind::Unsupported => tests::skip("no ports that are redirected"),
        other => other.unwrap(),
    }
}

/// The destination of a sandbox's connection, as a proxy sees it.
fn wanted(from: &Namespace, to: SocketAddr, proxy: &TcpListener) -> SocketAddr {
    let client = from.enter(|| TcpStream::connect_timeout(&to, PATIENCE)).unwrap();
    let client = client.unwrap_or_else(|error| panic!("{to}: {error}"));
    assert_eq!(client.peer_addr().unwrap(), to, "it does not see the proxy");
    let (accepted, _) = until("the proxy accepts", || proxy.accept().ok());
    original_destination(&accepted).unwrap()
}

fn everywhere(sandbox: &Sandbox, proxies: &[TcpListener; 2]) {
    let inside = sandbox.namespace().unwrap();
    // Nobody has the first two, and the proxy answers all the same.
    for (to, proxy) in [("198.51.100.7", 0), ("2001:db8:7::7", 1), (PROVIDER_V4, 0), (PROVIDER_V6, 1)] {
        let to = at(to, 443);
        assert_eq!(wanted(inside, to, &proxies[proxy]), to);
    }
}

#[test]
fn a_proxy_on_the_host_answers_for_a_port_of_any_address() {
    with_provider(|host, provider| {
        let network = redirecting(vec![Redirect::tcp(443, 8443), Redirect::udp(53, 5353)]);
        let (one, two) = (network.create_sandbox().unwrap(), network.create_sandbox().unwrap());
        let listen_at = |address| {
            let proxy = TcpListener::bind(at(address, 8443)).unwrap();
            proxy.set_nonblocking(true).unwrap();
            proxy
        };
        // Only at the host's addresses on the bridge: nobody else reaches it.
        let proxies = [listen_at("10.99.0.1"), listen_at("fd99::1")];
        everywhere(&one, &proxies);

        // The redirection comes before published ports, so those are no way around the proxy; from elsewhere a
        // published port works as usual.
        let published = listen(two.namespace().unwrap(), 443);
        network.publish(&two, &tcp(443, to_v4(&two, 443))).unwrap();
        let at_host = at(HOST_V4, 443);
        assert_eq!(wanted(one.namespace().unwrap(), at_host, &proxies[0]), at_host);
        let _ = exchange(provider, at_host, &published);

        // Other ports are not redirected, and neither is what the host sends, including the proxy.
        let (server, secure) = (listen(provider, 80), listen(provider, 443));
        assert_eq!(exchange(one.namespace().unwrap(), at(PROVIDER_V4, 80), &server), ip_address(HOST_V4));
        let _ = exchange(host.namespace(), at(PROVIDER_V4, 443), &secure);

        let names = datagrams(host.namespace(), at("10.99.0.1", 5353));
        let client = datagrams(one.namespace().unwrap(), to_v4(&one, 0));
        client.connect(at("198.51.100.53", 53)).unwrap();
        let mut byte = [0];
        let (_, peer) = until("the proxy is asked", || {
            let _ = client.send(b"?");
            names.recv_from(&mut byte).ok()
        });
        names.send_to(b"!", peer).unwrap();
        until("the answer is from whom was asked", || client.recv(&mut byte).ok());

        // Made again with the rest.
        nft("flush ruleset");
        assert!(network.restore_way_out().unwrap());
        everywhere(&two, &proxies);
    });
}

/// A sandbox that outlives its engine still uses the proxy, and so it does after another engine takes it over.
#[test]
fn a_redirection_outlives_its_process() {
    with_provider(|_, _| {
        in_fork(|| {
            let network = redirecting(vec![Redirect::tcp(443, 8443)]);
            // As if killed: nothing is dropped.
            std::mem::forget((network.create_named_sandbox("kept").unwrap(), network));
            Ok(())
        })
        .unwrap();
        let proxies = ["10.99.0.1", "fd99::1"].map(|address| {
            let proxy = TcpListener::bind(at(address, 8443)).unwrap();
            proxy.set_nonblocking(true).unwrap();
            proxy
        });
        let to = at(PROVIDER_V4, 443);
        let kept = Namespace::open("kept").unwrap();
        assert_eq!(wanted(&kept, to, &proxies[0]), to);
        drop(kept);
        let recorded = RecordedNetwork::list(RecordedNetwork::FOLDER).unwrap().remove(0);
        let (_network, mut sandboxes) = recorded.open(None).unwrap();
        let sandbox = sandboxes.remove(0);
        everywhere(&sandbox, &proxies);
    });
}
