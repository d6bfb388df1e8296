//! `netns clean` removes what a run made, and nothing that only looks like it.

use crate::{done, xtask};
use tests::{in_host, ip, ip_json};

#[test]
fn a_bridge_that_somebody_else_made_since_stays() {
    in_host(|_| {
        assert_eq!(done(&mut xtask("run --keep --duration 1 --json")).code, Some(0));
        ip("link del br0");
        ip("link add br0 address 02:00:00:00:00:01 type bridge");
        ip("netns add mine");
        let clean = done(&mut xtask("clean"));
        assert_eq!(clean.out, "removed veth-ns1\nremoved veth-ns2\nremoved ns1\nremoved ns2\n");
        assert_eq!(ip("netns list"), "mine\n");
        assert_eq!(ip_json("link show br0")[0]["address"], "02:00:00:00:00:01");
    });
}

#[test]
fn forwarding_that_was_on_stays_on() {
    in_host(|_| {
        let forward = || std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        for arguments in ["run --duration 1 --json", "run --keep --duration 1 --json"] {
            let run = done(&mut xtask(arguments));
            assert_eq!(run.code, Some(0), "{arguments}: {}{}", run.out, run.err);
            assert_eq!(forward(), "1\n");
        }
        assert_eq!(done(&mut xtask("clean")).code, Some(0));
        assert_eq!(forward(), "1\n");
    });
}
