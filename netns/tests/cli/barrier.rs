//! Nothing gets past an observer that enforces: frames that avoid the hooks of their port, and what becomes of the
//! barrier.

use crate::metrics::{PORT, metrics};
use crate::observe::{make_bridge, plug_in, programs};
use crate::topology::{edit, fine, topology};
use crate::topology_policy::violations;
use crate::watched::Watched;
use crate::{done, xtask};
use netns_core::{IfName, Namespace, RouteSocket, link};
use netns_ebpf::attack::{Around, FrameSocket, bpdu};
use serde_json::json;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;
use tests::{eventually, in_host, ip, ip_json, needs_kernel, only, oracle, run};

pub(crate) fn nft(command: &str) -> String {
    run(oracle("nft").arg(command))
}

fn mac(namespace: &str) -> [u8; 6] {
    let eth0 = only(&ip_json(&format!("-n {namespace} link show eth0")));
    let text = eth0["address"].as_str().unwrap().to_owned();
    let mut bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap());
    std::array::from_fn(|_| bytes.next().unwrap())
}

/// Two namespaces on a bridge, with a policy for the first.
pub(crate) fn two() {
    needs_kernel((5, 16), "nftables at egress");
    make_bridge();
    ip("addr add 10.1.1.254/24 dev br0");
    plug_in(1);
    plug_in(2);
    let mac = only(&ip_json("-n ns1 link show eth0"))["address"].to_string();
    let text = format!("[namespace.ns1]\nmac = {mac}\naddresses = [\"10.1.1.1\"]\n");
    std::fs::write("/run/ports.toml", text).unwrap();
}

fn socket(namespace: &Namespace) -> FrameSocket {
    let eth0 = link::get(&mut RouteSocket::open_in(namespace).unwrap(), "eth0".parse::<IfName>().unwrap());
    let index = eth0.unwrap().index;
    namespace.enter(|| FrameSocket::open(index)).unwrap().unwrap()
}

/// Sends ten frames with a foreign source address from one to the other; returns how many arrive.
pub(crate) fn lies() -> usize {
    let [attacker, victim] = ["ns1", "ns2"].map(|name| socket(&Namespace::open(name).unwrap()));
    let mut frame = [0; 60];
    frame[..6].copy_from_slice(&mac("ns2"));
    frame[6..14].copy_from_slice(&[2, 0, 0, 0x66, 0x66, 0x66, 0x88, 0xb5]);
    for _ in 0..10 {
        attacker.send(&frame).unwrap();
    }
    let mut arrived = 0;
    while let Some(heard) = victim.receive(Duration::from_millis(100)).unwrap() {
        arrived += usize::from(heard == frame);
    }
    arrived
}

fn around() -> Around {
    Around::begin(&Namespace::open("ns1").unwrap(), "eth0".parse().unwrap()).unwrap()
}

fn learns() -> bool {
    let bridge = link::get(&mut RouteSocket::open().unwrap(), "br0".parse::<IfName>().unwrap()).unwrap();
    !bridge.bridge().unwrap().no_linklocal_learn.unwrap()
}

/// Which bridge is the root of the spanning tree, as v1 knows it.
fn root() -> String {
    only(&ip_json("-d link show v1"))["linkinfo"]["info_slave_data"]["root_id"].as_str().unwrap().to_owned()
}

/// Which frames to reserved addresses a port forwards.
fn forwards(port: &str) -> serde_json::Value {
    only(&ip_json(&format!("-d link show {port}")))["linkinfo"]["info_slave_data"]["group_fwd_mask"].clone()
}

/// How many of ten LLDP frames from ns1 a program of the host receives at the port.
fn lldp() -> usize {
    let v1 = link::get(&mut RouteSocket::open().unwrap(), "v1".parse::<IfName>().unwrap()).unwrap().index;
    let (sender, host) =
        (socket(&Namespace::open("ns1").unwrap()), FrameSocket::open_for(v1, 0x88cc).unwrap());
    let mut frame = [0; 60];
    frame[..6].copy_from_slice(&[1, 0x80, 0xc2, 0, 0, 0xe]);
    frame[6..12].copy_from_slice(&mac("ns1"));
    frame[12..14].copy_from_slice(&[0x88, 0xcc]);
    for _ in 0..10 {
        sender.send(&frame).unwrap();
    }
    let mut heard = 0;
    while let Some(frame) = host.receive(Duration::from_millis(100)).unwrap() {
        heard += usize::from(frame[12..14] == [0x88, 0xcc]);
    }
    heard
}

#[test]
fn bpdus_and_lldp_do_not_get_past_the_barrier_with_stp_on() {
    in_host(|_| {
        two();
        ip("link set br0 type bridge stp_state 1 forward_delay 200");
        ip("link set v2 type bridge_slave group_fwd_mask 0x8");
        for port in ["v1", "v2"] {
            eventually("the port forwards", || {
                only(&ip_json(&format!("-d link show {port}")))["linkinfo"]["info_slave_data"]["state"]
                    == "forwarding"
            });
        }
        let way = around();
        let become_root = |last: u8| {
            let better = [2, 0, 0, 0, 0, last];
            socket(&Namespace::open("ns1").unwrap()).send(&bpdu(better)).unwrap();
            std::thread::sleep(Duration::from_millis(200));
            root().ends_with(&format!("2:0:0:0:0:{last}"))
        };
        assert!(become_root(9), "nobody enforces yet: {}", root());
        assert_eq!(lldp(), 10, "nobody enforces yet");
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        assert!(!become_root(8), "{}", root());
        assert_eq!(lldp(), 0);
        observe.port("v1", |port| port["violations"]["unjudged"] == 11);
        assert_eq!([forwards("v1"), forwards("v2")], ["0x4001", "0x8"], "v2 has no policy");
        assert_eq!(observe.end("INT").code, Some(0));
        assert_eq!([forwards("v1"), forwards("v2")], ["0", "0x8"]);
        assert!(become_root(7), "nobody enforces any more: {}", root());

        // A killed observer leaves the setting on record; a value that somebody else has set since stays.
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        let _ = observe.end("KILL");
        assert!(!become_root(6), "{}", root());
        assert_eq!(forwards("v1"), "0x4001");
        assert_eq!(done(&mut xtask("observe br0 --cleanup")).code, Some(0));
        assert_eq!(forwards("v1"), "0");
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        ip("link set v1 type bridge_slave group_fwd_mask 0x10");
        assert_eq!(observe.end("INT").code, Some(0));
        assert_eq!(forwards("v1"), "0x10");
        way.end().unwrap();
    });
}

pub(crate) const ENFORCE: &str =
    "observe br0 --policy /run/ports.toml --enforce --unmatched pass --json --interval 0.1";

#[test]
fn frames_that_avoid_the_hook_do_not_arrive_and_are_counted() {
    in_host(|_| {
        two();
        let way = around();
        assert_eq!(lies(), 10, "nobody enforces yet");
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        assert_eq!(lies(), 0);
        let port = observe.port("v1", |port| port["violations"]["unjudged"].as_u64() >= Some(10));
        assert!(port["violations"]["unjudged"].is_u64(), "{port}");
        assert!(!learns(), "LLDP would be learnt from");
        assert_eq!(observe.end("INT").code, Some(0));
        assert_eq!((nft("list ruleset"), learns()), (String::new(), true));
        assert_eq!(lies(), 10, "nobody enforces any more");
        way.end().unwrap();
    });
}

#[test]
fn honest_frames_pass_the_barrier() {
    in_host(|_| {
        two();
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        for (from, to) in [("ns1", "10.1.1.2"), ("ns2", "10.1.1.1"), ("ns1", "10.1.1.254")] {
            eventually("a ping", || {
                oracle("ip")
                    .args(["netns", "exec", from, "ping", "-c3", "-i0.01", "-W1", to])
                    .output()
                    .unwrap()
                    .status
                    .success()
            });
        }
        let port = observe.port("v1", |port| port["rx_packets"].as_u64() >= Some(6));
        assert_eq!(port["violations"], json!({}));
        assert_eq!(observe.end("INT").code, Some(0));
    });
}

#[test]
fn the_barrier_of_a_killed_observer_holds_until_cleanup() {
    in_host(|_| {
        two();
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        let _ = observe.end("KILL");
        let way = around();
        assert_eq!(lies(), 0, "it goes on");
        assert!(nft("list ruleset").contains("table bridge netns-barrier-"));
        let cleaned = done(&mut xtask("observe --cleanup br0"));
        assert_eq!((cleaned.code, cleaned.err.as_str()), (Some(0), ""));
        assert_eq!((nft("list ruleset"), learns()), (String::new(), true));
        assert_eq!(lies(), 10);
        way.end().unwrap();
    });
}

#[test]
fn a_barrier_that_is_taken_away_is_reported_and_restored() {
    in_host(|_| {
        two();
        let mut observe = Watched::start(&format!("{ENFORCE} --metrics {PORT}"));
        observe.line("counters", |line| line["type"] == "counters");
        assert!(metrics().contains("\nnetns_enforcement_lost_total 0\n"));
        let way = around();
        let _ = nft("flush ruleset");
        observe.line("the loss", |line| line["type"] == "enforcement" && line["event"] == "lost");
        eventually("it is a metric", || metrics().contains("\nnetns_enforcement_lost_total 1\n"));
        assert_eq!(lies(), 0, "it is there again");
        let ended = observe.end("INT");
        assert_eq!(ended.code, Some(2), "{}", ended.err);
        assert_eq!(nft("list ruleset"), "");
        way.end().unwrap();
    });
}

/// A process that is root of a user namespace and of a network namespace of its own, behind the port `v3`, and nothing
/// more.
struct Rootless(Child);

impl Rootless {
    fn behind_v3() -> Self {
        let mut unshare = oracle("unshare");
        unshare.args(["--user", "--map-root-user", "--net", "sleep", "1000"]).stdin(Stdio::null());
        let child = Self(unshare.spawn().unwrap());
        let user = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/user")).ok();
        let pid = child.0.id().to_string();
        eventually("it has namespaces of its own", || {
            user(&pid) != user("self")
                && std::fs::read_to_string(format!("/proc/{pid}/uid_map")).is_ok_and(|map| !map.is_empty())
        });
        ip(&format!("link add v3 type veth peer name eth0 netns {pid}"));
        ip("link set v3 master br0 up");
        child
    }

    /// Runs a command there; whether it succeeds.
    fn does(&self, command: &str) -> bool {
        let mut words = command.split(' ');
        let tool = oracle(words.next().unwrap()).get_program().to_owned();
        let mut nsenter = oracle("nsenter");
        nsenter.args(["--target", &self.0.id().to_string(), "--user", "--net", "--preserve-credentials"]);
        nsenter.arg(tool).args(words).output().unwrap().status.success()
    }
}

impl Drop for Rootless {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The way around needs no privilege over the machine: four commands are enough.
#[test]
fn root_of_a_user_namespace_does_not_get_past_the_barrier() {
    in_host(|_| {
        two();
        let rootless = Rootless::behind_v3();
        for command in [
            "ip link set eth0 address 02:00:00:00:00:03 up",
            "ip addr add 10.1.1.77/24 dev eth0",
            "ip neigh add 10.1.1.2 lladdr 02:00:00:00:00:99 dev eth0 nud permanent",
            "ip link add ifb0 type ifb",
            "ip link set ifb0 up",
            "nft add table netdev e",
            "nft add chain netdev e c { type filter hook egress device eth0 priority 0; }",
            "nft add rule netdev e c fwd to ifb0",
        ] {
            assert!(rootless.does(command), "{command}");
        }
        ip("-n ns2 link set eth0 address 02:00:00:00:00:99");
        ip("-n ns2 neigh replace 10.1.1.77 lladdr 02:00:00:00:00:03 dev eth0 nud permanent");
        let lie = || rootless.does("ping -c1 -W1 -I 10.1.1.77 10.1.1.2");
        eventually("the lie is answered, as nobody enforces", lie);
        let policy = "[port.v3]\nmac = \"02:00:00:00:00:03\"\naddresses = [\"10.1.1.3\"]\n";
        std::fs::write("/run/ports.toml", policy).unwrap();
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        assert!(!lie() && !lie());
        observe.port("v3", |port| port["violations"]["unjudged"].as_u64() >= Some(2));
        assert_eq!(observe.end("INT").code, Some(0));
        eventually("it is answered again", lie);
    });
}

/// Removed or replaced: the qdisc with both filters, one of the filters, one filter by somebody else's.
#[test]
fn programs_that_are_taken_off_are_reported_and_put_back() {
    in_host(|_| {
        two();
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        for loss in [
            "qdisc del dev v1 clsact",
            "filter del dev v1 ingress pref 1 handle 1 protocol all bpf",
            "filter replace dev v1 ingress pref 1 handle 1 protocol all bpf bytecode 1,6 0 0 4294967295",
        ] {
            let mut tc = oracle("tc");
            let words: Vec<&str> = loss.split(' ').collect();
            let _ = match words.split_at_checked(13) {
                Some((before, code)) => run(tc.args(before).arg(code.join(" "))),
                None => run(tc.args(words)),
            };
            let lost = observe.line("the loss", |line| line["type"] == "enforcement");
            assert_eq!(lost["what"], "the programs on v1", "{loss}");
            assert_eq!(programs("v1"), 2, "{loss}");
            assert_eq!(lies(), 0, "{loss}");
        }
        let ended = observe.end("INT");
        assert_eq!(ended.code, Some(2), "{}", ended.err);
    });
}

/// The barrier leaves ports alone that leave the bridge, and those without a policy.
#[test]
fn a_port_that_leaves_is_left_as_it_was() {
    in_host(|_| {
        two();
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        let listed = || nft("list ruleset").matches("\"v1\"").count();
        assert!(nft("list ruleset").contains("elements = { \"v1\" }"), "{}", nft("list ruleset"));
        ip("link set v1 nomaster");
        eventually("it is not listed", || listed() == 0);
        ip("link set v1 master br0");
        eventually("it is listed again", || listed() == 1);
        assert_eq!(observe.end("INT").code, Some(0));
    });
}

const LAB: &str = r#"
[bridge.br0]
[namespace.ns1]
interface.eth0 = { bridge = "br0", addresses = ["10.1.1.1/24"], policy = "enforce" }
[namespace.ns2]
interface.eth0 = { bridge = "br0", addresses = ["10.1.1.2/24"], policy = "observe" }
"#;

#[test]
fn what_a_topology_enforces_holds_without_a_process() {
    in_host(|_| {
        needs_kernel((5, 16), "nftables at egress");
        let file = PathBuf::from("/run/lab.toml");
        std::fs::write(&file, LAB).unwrap();
        fine("up", &file);
        assert!(nft("list ruleset").contains("elements = { \"ns1-eth0\" }"), "{}", nft("list ruleset"));
        assert_eq!(fine("diff", &file), "");
        let way = around();
        assert_eq!(lies(), 0);
        let counted = violations(&file, "ns1-eth0");
        assert_eq!(counted["violations"]["unjudged"], 10, "{counted}");
        assert_eq!(counted, violations(&file, "ns1-eth0"), "looking counts nothing");

        // If somebody removes it, `diff` says so and `up` puts it back.
        let _ = nft("flush ruleset");
        assert_eq!(lies(), 10);
        let lost = "+ host/ns1-eth0: policy enforce 10.1.1.1\n";
        assert_eq!(topology("diff", &file).out, lost);
        assert_eq!(fine("up", &file), lost);
        assert_eq!(lies(), 0);
        assert_eq!(fine("diff", &file), "");

        // It goes when the port is only observed, and when nothing is enforced any more.
        edit(&file, "policy = \"enforce\"", "policy = \"observe\"");
        fine("up", &file);
        assert_eq!((lies(), nft("list ruleset")), (10, String::new()));
        edit(&file, "policy = \"observe\" }\n[namespace.ns2]", "policy = \"enforce\" }\n[namespace.ns2]");
        fine("up", &file);
        assert_eq!(lies(), 0);
        way.end().unwrap();
        fine("down", &file);
        assert_eq!(nft("list ruleset"), "");
    });
}
