//! The links that the way out uses: each forwards for as long as somebody needs it, even when the routes change.

use super::nat::{PROVIDER_V6, at, exchange, is_dropped, listen, needs_nat, options, provider, settings};
use crate::{ip_address, name};
use netns_core::nat::{Forwarding, ForwardingNeeds};
use netns_core::network::{Network, Pool, PoolOptions};
use netns_core::record::{SettingBefore, SharedSetting};
use netns_core::sysctl;
use std::path::Path;
use tests::{eventually, in_host, ip, oracle, until};

/// Others may need forwarding as a whole for a while; switching it off also switches it off for single links.
#[test]
fn a_link_forwards_for_as_long_as_somebody_needs_it() {
    in_host(|host| {
        let _provider = provider();
        let before = settings(host);
        ip("link add br0 type bridge");
        let claim = |path: &'static str| {
            std::fs::write(path, "").unwrap();
            Path::new(path)
        };
        let (ours, theirs, whole) = (claim("/run/ours"), claim("/run/theirs"), claim("/run/whole"));
        let needs =
            ForwardingNeeds { bridge: name("br0"), uplinks: None, ipv4: true, ipv6: true, loopback: false };
        let plan = |claimant| Forwarding::plan(host.namespace(), &needs, claimant).unwrap();
        let planned = plan(ours);
        assert_eq!(Forwarding::read(&planned.lines()), planned);
        planned.claim(host.namespace(), ours).unwrap();
        assert!(planned.is_on(host.namespace()).unwrap());
        let other = plan(theirs);
        other.claim(host.namespace(), theirs).unwrap();

        for global in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            let setting = SharedSetting { namespace: host.namespace(), name: global, claimant: whole };
            let found = setting.before().unwrap();
            setting.claim("1").unwrap();
            setting.release(&found, "1").unwrap();
            assert!(planned.is_on(host.namespace()).unwrap(), "{global} took it away");
        }
        assert!(planned.release(host.namespace(), ours).unwrap().is_empty());
        assert!(other.is_on(host.namespace()).unwrap(), "somebody needs it");
        assert!(other.release(host.namespace(), theirs).unwrap().is_empty());
        assert_eq!(settings(host), before);
    });
}

/// Two that plan at once: the second may look whether there is a claim before the first one's, and at the setting after it.
#[test]
fn the_last_to_release_puts_back_what_was_before_the_first_claim() {
    in_host(|host| {
        let name = "net/ipv4/ip_forward";
        let claim = |path: &'static str| {
            std::fs::write(path, "").unwrap();
            SharedSetting { namespace: host.namespace(), name, claimant: Path::new(path) }
        };
        let (first, second) = (claim("/run/first"), claim("/run/second"));
        let before = first.before().unwrap();
        first.claim("1").unwrap();
        let late = SettingBefore { value: "1".to_owned(), interfaces: None };
        second.claim("1").unwrap();
        first.release(&before, "1").unwrap();
        assert_eq!(sysctl::get(host.namespace(), name).unwrap(), "1", "somebody needs it");
        second.release(&late, "1").unwrap();
        assert_eq!(sysctl::get(host.namespace(), name).unwrap(), "0");
    });
}

/// A default route that moves, and a VPN that comes and goes: the host forwards for them, without being asked where a
/// pool listens.
#[test]
fn the_way_out_follows_the_routes() {
    in_host(|host| {
        needs_nat();
        let provider = provider();
        let network = Network::create(&options()).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        let server = listen(&provider, 80);
        assert!(!network.restore_way_out().unwrap());
        for command in [
            "link add vpn0 type veth peer name eth1 netns provider",
            "addr add 203.0.113.1/24 dev vpn0",
            "addr add 2001:db8:1::1/64 dev vpn0 nodad",
            "link set vpn0 up",
            "-n provider addr add 203.0.113.2/24 dev eth1",
            "-n provider addr add 2001:db8:1::2/64 dev eth1 nodad",
            "-n provider link set eth1 up",
        ] {
            ip(command);
        }
        let forwards = || sysctl::get(host.namespace(), "net/ipv4/conf/vpn0/forwarding").unwrap() == "1";
        assert!(!network.restore_way_out().unwrap() && !forwards(), "it leads nowhere yet");
        ip("route replace default via 203.0.113.2");
        ip("-6 route replace default via 2001:db8:1::2");
        let inside = sandbox.namespace().unwrap();
        // What comes back through it is not forwarded.
        assert!(is_dropped(inside, at("203.0.113.2", 80)));
        assert!(network.restore_way_out().unwrap() && forwards());
        assert!(!network.restore_way_out().unwrap());
        for (to, seen) in [("203.0.113.2", "203.0.113.1"), ("2001:db8:1::2", "2001:db8:1::1")] {
            assert_eq!(exchange(inside, at(to, 80), &server), ip_address(seen));
        }
        // It goes, and another link gets its name: a pool's thread adapts.
        ip("link del vpn0");
        ip("route add default via 192.0.2.2");
        assert!(!network.restore_way_out().unwrap(), "the other one forwards as it did");
        ip("link add vpn0 type veth peer name eth1 netns provider");
        ip("addr add 203.0.113.1/24 dev vpn0");
        ip("link set vpn0 up");
        let _pool = Pool::start(&network, PoolOptions::new(1)).unwrap();
        ip("route replace default via 203.0.113.2");
        eventually("it forwards", forwards);
    });
}

/// Forwarding as a whole, which IPv6 needs before Linux 6.17, makes the kernel drop what routers have announced.
#[test]
fn the_host_keeps_the_default_route_that_a_router_announced() {
    in_host(|host| {
        needs_nat();
        let provider = provider();
        ip("-6 route del default");
        ip("-n provider addr add fe80::1/64 dev eth0 nodad");
        for setting in ["accept_ra", "accept_ra_defrtr"] {
            sysctl::set(host.namespace(), &format!("net/ipv6/conf/up0/{setting}"), "1").unwrap();
        }
        let announce = "from scapy.all import *; sendp(Ether(dst='33:33:00:00:00:01')\
                        /IPv6(src='fe80::1', dst='ff02::1', hlim=255)/ICMPv6ND_RA(routerlifetime=1800), iface='eth0', \
                        verbose=0)";
        let announced = || ip("-6 route show default").contains("proto ra");
        let wait_for_route = || {
            until("the host has a default route", || {
                assert!(provider.run(oracle("python3").args(["-c", announce])).unwrap().success());
                announced().then_some(())
            });
        };
        // This is the point of the test.
        wait_for_route();
        sysctl::set(host.namespace(), "net/ipv6/conf/all/forwarding", "1").unwrap();
        assert!(!announced());
        sysctl::set(host.namespace(), "net/ipv6/conf/all/forwarding", "0").unwrap();
        wait_for_route();
        let before = settings(host);
        let network = Network::create(&options()).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        assert!(announced(), "switching forwarding on has taken it away");
        let server = listen(&provider, 80);
        let _ = exchange(sandbox.namespace().unwrap(), at(PROVIDER_V6, 80), &server);
        drop((sandbox, network));
        assert!(announced(), "switching forwarding off has taken it away");
        assert_eq!(settings(host), before);
    });
}
