//! A classic namespaces tutorial with `ip` replaced by `netns`: two namespaces and a veth pair, a bridge, the host, and
//! the world behind the host. Debian's ping judges each step.

use crate::{done, xtask};
use std::process::Command;
use tests::{in_host, ip, oracle, ping};

/// A step that has to succeed and prints nothing.
fn step(line: &str) {
    let step = done(&mut xtask(line));
    assert_eq!((step.code, step.out.as_str(), step.err.as_str()), (Some(0), "", ""), "{line}");
}

fn steps(lines: &str) {
    lines.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(step);
}

/// An address answers Debian's ping, run inside a namespace.
fn reaches(netns: &str, address: &str) {
    tests::eventually(&format!("{address} answers {netns}"), || {
        let mut ping = oracle("ip");
        ping.args(["netns", "exec", netns, "ping", "-q", "-c", "1", "-W", "2", address]);
        ping.output().unwrap().status.success()
    });
}

#[test]
fn two_namespaces_and_a_pair() {
    in_host(|host| {
        steps(
            "netns add red
             netns add blue
             link add veth-red type veth peer name veth-blue
             link set veth-red netns red
             link set veth-blue netns blue
             -n red addr add 192.168.15.1/24 dev veth-red
             -n blue addr add 192.168.15.2/24 dev veth-blue
             -n red link set veth-red up
             -n blue link set dev veth-blue up
             -n red link set lo up",
        );
        reaches("red", "192.168.15.2");
        // The same from inside, as tutorials do it.
        let links = done(&mut xtask(&format!("netns exec red {} link", env!("CARGO_BIN_EXE_netns"))));
        assert!(links.code == Some(0) && links.out.contains("veth-red@if"), "{}{}", links.out, links.err);
        assert!(done(&mut xtask("-n red neigh")).out.contains("192.168.15.2 dev veth-red lladdr "));
        let answered = done(&mut xtask("ping red 192.168.15.2 --count 1 --timeout 20"));
        assert_eq!(answered.code, Some(0), "{}", answered.out);
        steps(
            "-n red link del veth-red
             netns del red
             netns del blue",
        );
        host.assert_clean();
    });
}

#[test]
fn a_bridge_the_host_and_the_world_behind_it() {
    in_host(|host| {
        // The world: a network with a host that knows the way back.
        ip("netns add lan");
        ip("link add lan0 type veth peer name eth0 netns lan");
        ip("addr add 192.168.1.2/24 dev lan0");
        ip("link set lan0 up");
        ip("-n lan addr add 192.168.1.3/24 dev eth0");
        ip("-n lan link set eth0 up");
        ip("-n lan route add 192.168.15.0/24 via 192.168.1.2");
        steps(
            "netns add red
             netns add blue
             link add v-net-0 type bridge
             link set dev v-net-0 up
             link add veth-red type veth peer name veth-red-br
             link add veth-blue type veth peer name veth-blue-br
             link set veth-red netns red
             link set veth-red-br master v-net-0
             link set veth-blue netns blue
             link set veth-blue-br master v-net-0
             -n red addr add 192.168.15.1/24 dev veth-red
             -n blue addr add 192.168.15.2/24 dev veth-blue
             -n red link set veth-red up
             -n blue link set veth-blue up
             link set veth-red-br up
             link set veth-blue-br up",
        );
        reaches("red", "192.168.15.2");
        step("addr add 192.168.15.5/24 dev v-net-0");
        ping("-c 1", "192.168.15.1");
        let answered = done(&mut xtask("ping 192.168.15.1 -c 1 -W 20"));
        assert!(
            answered.code == Some(0) && answered.out.starts_with("reply from 192.168.15.1"),
            "{}",
            answered.out
        );
        let nowhere = done(&mut xtask("ping blue 192.168.1.3 -c 1"));
        assert_eq!(nowhere.code, Some(2), "there is no route yet: {}", nowhere.out);
        step("-n blue route add 192.168.1.0/24 via 192.168.15.5");
        let written = done(&mut xtask("sysctl -w net.ipv4.ip_forward=1"));
        assert_eq!((written.code, written.out.as_str()), (Some(0), "net.ipv4.ip_forward = 1\n"));
        reaches("blue", "192.168.1.3");
        steps(
            "-n red route add default via 192.168.15.5
             sysctl -q -n red net.ipv4.conf.veth-red.rp_filter=0",
        );
        reaches("red", "192.168.1.3");
        assert_eq!(
            done(&mut xtask("sysctl -n red net/ipv4/conf/veth-red/rp_filter")).out,
            "net/ipv4/conf/veth-red/rp_filter = 0\n"
        );
        let theirs = tests::run(Command::new("cat").arg("/proc/sys/net/ipv4/ip_forward"));
        assert_eq!(theirs, "1\n");
        let refused = done(&mut xtask("sysctl kernel.hostname=x"));
        assert!(
            refused.code == Some(1) && refused.err.contains("not the name of a net setting"),
            "{}",
            refused.err
        );
        let missing = done(&mut xtask("sysctl -n red net.ipv4.nothing"));
        assert_eq!(missing.code, Some(2), "{}", missing.err);
        steps(
            "link del v-net-0
             netns del red blue lan",
        );
        tests::eventually("nothing is left", || ip("-o link").lines().count() == 1);
        host.assert_clean();
    });
}
