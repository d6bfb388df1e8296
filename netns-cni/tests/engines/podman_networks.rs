//! Networks that podman makes, with all four plugins of its lists, and a network that is guarded.

use crate::installed::Installed;
use crate::network::{Pods, assert_nothing_but, in_host, links, served, serves, with_both, world};
use crate::podman::{boot, inspect_network, podman, run, serve};
use serde_json::Value;
use tests::{Host, eventually, oracle};

/// `podman network create` on a host that forwards nothing by itself: bridge, portmap, firewall and tuning.
#[test]
fn made_by_podman_past_a_forward_of_drop() {
    with_both(made);
}

fn made(installed: Installed, host: &Host) -> (Value, Option<i32>, String) {
    let rules = |arguments: &[&str]| tests::run(oracle("iptables-nft").args(arguments));
    let machine = boot(installed);
    let world = world();
    let _ = rules(&["-P", "FORWARD", "DROP"]);
    let before = rules(&["-S"]);
    podman(&machine, &["network", "create", "--disable-dns", "--subnet=10.90.3.0/24", "made"]).fine();
    let (network, pods) = (inspect_network(&machine, "made"), Pods::made("made"));
    // The gateway, and the world by way of FORWARD.
    let reach =
        "ping -c 1 -W 20 10.90.3.1 >/dev/null && ping -c 1 -W 20 10.99.0.2 >/dev/null && echo both; exit 3";
    let ran = run(&machine, &["--rm", "--network=made"], &["sh", "-c", reach]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), "both\n"), "{ran:?}");
    serve(&machine, "one", &["--network=made", "--publish=8080:80"]);
    serves(host.namespace(), "127.0.0.1:8080", "one");
    // The firewall of either lets out, not in: a published port takes a rule of the administrator's where FORWARD drops.
    assert_eq!(served(&world, "10.99.0.1:8080"), "");
    let _ = rules(&["-I", "FORWARD", "-i", "uplink", "-j", "ACCEPT"]);
    serves(&world, "10.99.0.1:8080", "one");
    let _ = rules(&["-D", "FORWARD", "-i", "uplink", "-j", "ACCEPT"]);
    podman(&machine, &["rm", "--force", "--time=0", "one"]).fine();
    if installed == Installed::Ours {
        pods.collect(&machine, &[]);
        assert_eq!((rules(&["-S"]), links()), (before, vec!["uplink".to_owned()]));
    }
    podman(&machine, &["network", "rm", "made"]).fine();
    assert_eq!(links(), ["uplink"]);
    (network, ran.code, ran.out)
}

/// One plugin does all, and the container's port is guarded: what it sends under another address goes nowhere.
#[test]
fn guarded() {
    in_host(|host| {
        let (machine, world) = (boot(Installed::Ours), world());
        let pods = Pods::guarded("safe", "cni4", "10.88.4.0/24", ["10.88.4.2", "10.88.4.9"]);
        pods.configure();
        serve(&machine, "one", &["--network=safe", "--publish=8080:80"]);
        serves(host.namespace(), "10.88.4.2:80", "one");
        serves(&world, "10.99.0.1:8080", "one");
        let script = "wget -qO- http://10.88.4.2; ip addr add 10.88.4.77/24 dev eth0
            ping -c 1 -W 20 -I 10.88.4.3 10.88.4.1 >/dev/null && echo honest
            ping -c 3 -W 1 -I 10.88.4.77 10.88.4.1 >/dev/null || echo dropped";
        let ran = run(&machine, &["--rm", "--cap-add=NET_ADMIN", "--network=safe"], &["sh", "-c", script]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), "one\nhonest\ndropped\n"), "{ran:?}");
        assert_eq!(pods.reserved(), ["10.88.4.2"]);
        machine.kill_everything();
        pods.collect(&machine, &[]);
        assert_nothing_but(&["uplink"]);
        eventually("nobody answers", || served(&world, "10.99.0.1:8080").is_empty());
    });
}
