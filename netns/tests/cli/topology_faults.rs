//! Topologies that cannot be brought up: errors with line and column, what is in the way, what the kernel refuses.

use crate::topology::{edit, example, fine, topology};
use crate::{done, state_of_the_host, xtask};
use std::fs;
use std::path::PathBuf;
use tests::{in_host, ip, ip_json, only, oracle};

/// Refused by every command that reads it; nothing is changed.
fn refused(text: &str, message: &str) {
    let file = PathBuf::from("/run/lab.toml");
    std::fs::write(&file, text).unwrap();
    let before = state_of_the_host();
    for verb in ["up", "diff", "show"] {
        let run = topology(verb, &file);
        assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "{verb}: {}", run.err);
        let first = run.err.lines().next().unwrap();
        assert_eq!(first, format!("error: /run/lab.toml:{message}"), "{verb}");
    }
    assert_eq!(state_of_the_host(), before);
}

#[test]
fn an_error_in_the_file_has_line_and_column() {
    in_host(|_| {
        refused("[namespace.ns1\n", "1:15: unclosed table, expected `]`");
        refused(
            "[namespace.ns1]\ninterface.eth0 = { bidge = 'br0' }\n",
            "2:20: unknown field `bidge`, expected one of `bridge`, `peer`, `addresses`, `mac`, `mtu`, `port`, `policy`, \
                 `limit`, `type`, `link`, `options`",
        );
        refused(
            "[bridge.br0]\n[namespace.ns1]\ninterface.eth0 = { bridge = 'br1' }\n",
            "3:29: there is no bridge \"br1\"; expected one of: br0",
        );
        refused(
            "[namespace.ns1]\ninterface.eth0 = { peer = 'ns2/eth0' }\n[namespace.ns2]\n",
            "2:27: there is no interface ns2/eth0; expected one in [namespace.ns2] with peer = \"ns1/eth0\"",
        );
    });
}

#[test]
fn addresses_that_nobody_can_have_are_refused_with_line_and_column() {
    in_host(|_| {
        for (address, what) in [
            ("10.1.1.0/24", "the address of the network 10.1.1.0/24 itself"),
            ("10.1.1.255/24", "the broadcast address of 10.1.1.0/24"),
            ("224.0.0.5/24", "a multicast address"),
            ("ff02::5/64", "a multicast address"),
            ("0.0.0.0/8", "no address of anybody"),
        ] {
            let (plain, _) = address.split_once('/').unwrap();
            let message = format!("2:14: {plain} is {what}; expected a host's address");
            refused(&format!("[bridge.br0]\naddresses = ['{address}']\n"), &message);
        }
        let twice = "[bridge.br0]\n[namespace.a]\ninterface.eth0 = { bridge = 'br0', mac = '02:00:00:00:00:01' }\n\
            [namespace.b]\ninterface.eth0 = { bridge = 'br0', mac = '02:00:00:00:00:01' }\n";
        let message = "02:00:00:00:00:01 is a/eth0's, which b/eth0 can reach; expected another MAC address";
        refused(twice, &format!("5:42: {message}"));
        // A /31, a /32 and an IPv6 network have no broadcast address, and one MAC address may be on two bridges.
        let fine_ones = "[bridge.br0]\n[bridge.br1]\n[namespace.a]\ninterface.eth0 = { bridge = 'br0', \
            mac = '02:00:00:00:00:01', addresses = ['10.1.1.0/31', '10.1.2.255/32', 'fd00::/64'] }\n[namespace.b]\n\
            interface.eth0 = { bridge = 'br1', mac = '02:00:00:00:00:01' }\n";
        let file = PathBuf::from("/run/lab.toml");
        std::fs::write(&file, fine_ones).unwrap();
        fine("up", &file);
        assert_eq!(fine("diff", &file), "");
        fine("down", &file);
    });
}

#[test]
fn the_error_shows_the_line() {
    in_host(|_| {
        let file = PathBuf::from("/run/lab.toml");
        std::fs::write(&file, "[bridge.br0]\naddresses = [\"10.1.1.300/24\"]\n").unwrap();
        let run = topology("up", &file);
        assert_eq!(
            run.err,
            "error: /run/lab.toml:2:14: read address \"10.1.1.300/24\": it is not an IPv4 or IPv6 address; expected an \
             address such as \"10.1.1.1/24\" or \"fd00::1/64\"\n  \
             2 | addresses = [\"10.1.1.300/24\"]\n    \
             |              ^^^^^^^^^^^^^^^\n"
        );
        assert!(topology("up", &PathBuf::from("/run/nowhere.toml")).err.contains("No such file"));
    });
}

#[test]
fn what_somebody_else_made_is_in_the_way_and_stays() {
    in_host(|_| {
        let file = example("bridge-host");
        ip("netns add ns1");
        ip("link add br0 type bridge");
        ip("link add uplink type bridge");
        ip("addr add 10.1.0.1/16 dev uplink");
        let before = state_of_the_host();
        let run = topology("up", &file);
        assert_eq!(run.code, Some(1));
        assert_eq!(
            run.err,
            "error: namespace ns1 exists and was not made by this topology: remove it, or choose another name\n       \
             link host/br0 exists and was not made by this topology: remove it, or choose another name\n       \
             host/br0: 10.1.1.254/24 overlaps the host's address 10.1.0.1/16: choose another\n"
        );
        assert_eq!(topology("diff", &file).code, Some(1));
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn what_took_the_place_of_ours_under_its_name_stays() {
    in_host(|_| {
        let file = example("bridge");
        fine("up", &file);
        ip("link del br0");
        ip("link add br0 address 02:00:00:00:00:07 type bridge");
        ip("netns del ns1");
        ip("netns add ns1");
        let run = topology("up", &file);
        assert_eq!(run.code, Some(1), "{}", run.err);
        assert!(
            run.err.contains("namespace ns1 exists") && run.err.contains("link host/br0 exists"),
            "{}",
            run.err
        );
        let down = topology("down", &file);
        assert_eq!(down.code, Some(0), "{}", down.err);
        let left: Vec<&str> = down.err.lines().collect();
        assert_eq!((left.len(), left[0]), (2, "left alone: ns1 is another namespace by now"));
        assert!(left[1].starts_with("left alone: br0 (index "), "{}", down.err);
        assert_eq!(ip("netns list"), "ns1\n");
        assert_eq!(only(&ip_json("link show br0"))["address"], "02:00:00:00:00:07");
    });
}

#[test]
fn a_refusal_of_the_kernel_is_rolled_back() {
    in_host(|_| {
        let file = example("bridge-host");
        let before = state_of_the_host();
        edit(&file, "net.ipv4.ip_forward", "net.ipv4.no_such_setting");
        let run = topology("up", &file);
        assert_eq!((run.code, run.out.as_str()), (Some(2), ""));
        assert_eq!(
            run.err,
            "error: write sysctl net/ipv4/no_such_setting=1: No such file or directory (os error 2); what was \
             done is undone\n"
        );
        assert_eq!(state_of_the_host(), before);

        // A failed edit goes back to what was up before.
        edit(&file, "net.ipv4.no_such_setting", "net.ipv4.ip_forward");
        fine("up", &file);
        edit(&file, "10.1.1.2/24", "10.1.1.3/24");
        edit(
            &file,
            "[bridge.br0]",
            "[namespace.ns9]\nsysctl.\"net.ipv4.conf.eth7.rp_filter\" = 1\n[bridge.br0]",
        );
        assert_eq!(topology("up", &file).code, Some(2));
        assert!(ip("-n ns2 -o addr show eth0").contains("10.1.1.2/24"));
        assert!(!ip("netns list").contains("ns9"));
        std::fs::write(&file, "this is no topology").unwrap();
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn what_is_up_is_known_by_its_file() {
    in_host(|_| {
        let file = example("cable");
        fine("up", &file);
        std::fs::create_dir("/run/elsewhere").unwrap();
        std::fs::copy(&file, "/run/elsewhere/cable.toml").unwrap();
        let other = topology("up", &PathBuf::from("/run/elsewhere/cable.toml"));
        assert_eq!(other.code, Some(1));
        assert!(other.err.contains("namespace ns1 exists"), "{}", other.err);
        let nothing = done(xtask("down cable.toml").current_dir("/run/elsewhere"));
        assert_eq!((nothing.code, nothing.out.as_str()), (Some(0), ""));
        // By another path to the same file, which is no longer even needed.
        std::fs::remove_file(&file).unwrap();
        assert_eq!(done(xtask("down ../cable.toml").current_dir("/run/elsewhere")).code, Some(0));
        assert_eq!(ip("netns list"), "");
    });
}

#[test]
fn a_router_outside_all_networks_is_reached_through_its_link() {
    in_host(|_| {
        let file = PathBuf::from("/run/lab.toml");
        let lab = |routes: &str| {
            fs::write(
                &file,
                format!(
                    "[namespace.client]\ninterface.eth0 = {{ peer = 'router/eth0', addresses = ['192.0.2.5/32'] }}\n\
                     routes = [{routes}]\n\
                     [namespace.router]\ninterface.eth0 = {{ peer = 'client/eth0', addresses = ['10.0.0.1/24'] }}\n\
                     routes = [{{ to = '192.0.2.5/32', dev = 'eth0' }}]\n"
                ),
            )
            .unwrap();
        };
        lab("{ to = 'default', via = '10.0.0.1' }");
        let before = state_of_the_host();
        let refused = topology("up", &file);
        let expected = "error: /run/lab.toml:3:35: client has no address in the network of 10.0.0.1; expected one that it \
                        can reach, or `dev` and `onlink = true`\n";
        assert!(refused.code == Some(1) && refused.err.starts_with(expected), "{}", refused.err);
        lab("{ to = 'default', via = '10.0.0.1', onlink = true }");
        let refused = topology("up", &file);
        assert!(refused.err.contains("expected `via` and `dev` beside it"), "{}", refused.err);
        for routes in [
            "{ to = 'default', via = '10.0.0.1', dev = 'eth0', onlink = true }",
            // The reverse, in either order.
            "{ to = 'default', via = '10.0.0.1' }, { to = '10.0.0.1/32', dev = 'eth0' }",
        ] {
            lab(routes);
            fine("up", &file);
            let mut ping = oracle("ip");
            ping.args(["netns", "exec", "client"]).arg(oracle("ping").get_program());
            let _ = tests::run(ping.args(["-c", "1", "-W", "5", "-q", "10.0.0.1"]));
            assert_eq!((fine("up", &file), fine("diff", &file)), (String::new(), String::new()));
        }
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn ports_of_a_spanning_tree_forward_when_up_returns() {
    in_host(|_| {
        let file = PathBuf::from("/run/lab.toml");
        // 2 s is the least that the kernel accepts, and the delay passes twice.
        let bridge = "[bridge.br0]\nstp = true\noptions = { forward_delay = 200 }\n";
        let inside = |name: &str, number: u8| {
            format!(
                "[namespace.{name}]\ninterface.eth0 = {{ bridge = 'br0', addresses = ['10.1.1.{number}/24'] }}\n"
            )
        };
        fs::write(&file, format!("{bridge}{}{}", inside("a", 1), inside("b", 2))).unwrap();
        let up = topology("up --quiet", &file);
        assert_eq!((up.code, up.out.as_str()), (Some(0), ""), "{}", up.err);
        assert!(up.err.contains("waiting until the ports of host/br0 forward"), "{}", up.err);
        let ports = tests::bridge_json("link show");
        let states: Vec<&str> =
            ports.as_array().unwrap().iter().filter_map(|port| port["state"].as_str()).collect();
        assert_eq!(states, ["forwarding"; 2]);
        assert_eq!(topology("up --quiet", &file).err, "", "there is nothing to wait for");
        fine("down", &file);
    });
}
