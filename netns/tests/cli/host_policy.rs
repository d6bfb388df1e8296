//! What a policy says about the host, as its users meet it: in a file for an existing bridge, and in topologies.

use crate::observe::{make_bridge, plug_in, programs};
use crate::topology::{edit, fine, topology};
use crate::watched::Watched;
use crate::{done, state_of_the_host, xtask};
use netns_core::Namespace;
use serde_json::json;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;
use tests::{eventually, in_host, ip, ip_json, only, oracle, run, tc, until};

const HOST: &str = "10.1.1.254";

/// How long an expected datagram may take, and how long to wait for one that must not arrive.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

/// Whether a datagram from a namespace to an address of the host arrives; and whether it does not.
fn hears(from: &str, address: &str, port: u16) -> bool {
    sends(from, address, port, LONG)
}

fn misses(from: &str, address: &str, port: u16) -> bool {
    !sends(from, address, port, SHORT)
}

fn sends(from: &str, address: &str, port: u16, limit: Duration) -> bool {
    // A program that another test starts holds the previous listener for a moment, until it is executed.
    let listener = until("the address is free", || UdpSocket::bind((address, port)).ok());
    listener.set_read_timeout(Some(limit)).unwrap();
    let any = if address.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
    let sender = Namespace::open(from).unwrap().enter(|| UdpSocket::bind(any).unwrap()).unwrap();
    let _ = sender.send_to(b"hello", (address, port));
    listener.recv(&mut [0; 16]).is_ok()
}

/// Whether a namespace can connect to the host; and whether it cannot.
fn connects(from: &str, port: u16) -> bool {
    opens(from, port, LONG)
}

fn is_refused(from: &str, port: u16) -> bool {
    !opens(from, port, SHORT)
}

fn opens(from: &str, port: u16, limit: Duration) -> bool {
    let listener = until("the address is free", || TcpListener::bind((HOST, port)).ok());
    let address = listener.local_addr().unwrap();
    let inside = Namespace::open(from).unwrap();
    inside.enter(|| TcpStream::connect_timeout(&address, limit).is_ok()).unwrap()
}

/// A bridge with an address and two namespaces, and a policy for both, to which these lines are added.
pub(crate) fn with_policies(first: &str, second: &str, top: &str) {
    make_bridge();
    ip(&format!("addr add {HOST}/24 dev br0"));
    let entries = [(1, first), (2, second)].map(|(number, lines)| {
        plug_in(number);
        let mac = only(&ip_json(&format!("-n ns{number} link show eth0")))["address"].to_string();
        format!("[namespace.ns{number}]\nmac = {mac}\naddresses = [\"10.1.1.{number}\"]\n{lines}\n")
    });
    std::fs::write("/run/ports.toml", format!("{top}\n{}", entries.concat())).unwrap();
}

const ENFORCE: &str = "observe br0 --policy /run/ports.toml --enforce --json --interval 0.1";

#[test]
fn a_files_rules_for_the_host_hold_while_it_is_observed() {
    in_host(|_| {
        with_policies("host = [\"tcp/22\", \"udp/53\"]", "", "");
        let before = state_of_the_host();
        assert!(hears("ns1", HOST, 99) && connects("ns1", 23));
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        assert!(hears("ns1", HOST, 53) && connects("ns1", 22));
        assert!(misses("ns1", HOST, 99) && is_refused("ns1", 23));
        assert!(hears("ns2", HOST, 99) && connects("ns2", 23), "of the second it says nothing");
        let violation = observe.line("a violation", |line| line["type"] == "violation");
        assert_eq!(
            (&violation["port"], &violation["reason"], &violation["dropped"]),
            (&json!("v1"), &json!("host"), &json!(true))
        );
        let port = observe.port("v1", |port| port["violations"]["host"].as_u64() >= Some(2));
        assert_eq!(port["violations"]["host"], port["dropped"], "{port}");
        // Somebody removes it from the bridge.
        let _ = run(oracle("tc").args(["qdisc", "del", "dev", "br0", "clsact"]));
        let lost = observe.line("the loss", |line| line["type"] == "enforcement");
        assert_eq!(lost["what"], "the program on br0");
        assert!(misses("ns1", HOST, 99));
        let end = observe.end("INT");
        assert_eq!(end.code, Some(2), "{}", end.err);
        assert_eq!(state_of_the_host(), before);
        assert!(hears("ns1", HOST, 99) && connects("ns1", 23));
    });
}

/// Datagrams to UDP port 5353 of everybody and of a group, each in a frame to the host alone.
const TO_MANY: &str = r#"
import socket, struct, sys
own, host = (bytes.fromhex(mac.replace(":", "")) for mac in sys.argv[1:3])
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind(("eth0", 0))
for to in ("255.255.255.255", "224.0.0.1"):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 33, 7, 0, 64, 17, 0, socket.inet_aton("10.1.1.1"), socket.inet_aton(to))
    total = sum(struct.unpack("!10H", head))
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    head = head[:10] + struct.pack("!H", total) + head[12:]
    sender.send(host + own + b"\x08\0" + head + struct.pack("!HHHH", 999, 5353, 13, 0) + b"hello")
"#;

#[test]
fn what_is_for_everybody_is_for_the_host_too_despite_a_default_route() {
    in_host(|_| {
        with_policies("host = [\"udp/53\"]", "", "");
        for command in [
            "link add up0 type veth peer name e0",
            "link set e0 up",
            "link set up0 up",
            "addr add 192.0.2.1/24 dev up0",
            "route add default via 192.0.2.2",
        ] {
            ip(command);
        }
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        let listener = UdpSocket::bind("0.0.0.0:5353").unwrap();
        listener.set_read_timeout(Some(LONG)).unwrap();
        let mac = |link: &str| only(&ip_json(link))["address"].as_str().unwrap().to_owned();
        let [own, host] = [mac("-n ns1 link show eth0"), mac("link show br0")];
        let send = || {
            let python = oracle("python3").get_program().to_owned();
            let mut send = oracle("ip");
            let _ = run(send.args(["netns", "exec", "ns1"]).arg(python).args(["-c", TO_MANY, &own, &host]));
        };
        send();
        for _ in 0..2 {
            assert_eq!(listener.recv(&mut [0; 16]).unwrap(), 5, "nobody keeps it from the host yet");
        }
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        send();
        let port = observe.port("v1", |port| port["violations"]["host"].as_u64() >= Some(2));
        assert_eq!(port["violations"]["host"], 2, "{port}");
        listener.set_read_timeout(Some(SHORT)).unwrap();
        assert!(listener.recv(&mut [0; 16]).is_err());
        assert_eq!(observe.end("INT").code, Some(0));
    });
}

#[test]
fn a_killed_observer_leaves_the_rules_for_the_host_until_cleanup() {
    in_host(|_| {
        with_policies(
            "host = \"neighbours\"\ngroup = \"red\"",
            "group = \"blue\"",
            "apart = [[\"blue\", \"host\"]]",
        );
        let before = tc("qdisc show");
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        for namespace in ["ns1", "ns2"] {
            assert!(misses(namespace, HOST, 99), "{namespace}");
        }
        let _ = observe.end("KILL");
        assert!(misses("ns1", HOST, 99) && misses("ns2", HOST, 99) && programs("br0") == 1);
        let cleanup = done(&mut xtask("observe --cleanup"));
        assert_eq!(cleanup.code, Some(0), "{}", cleanup.err);
        assert_eq!((tc("qdisc show"), programs("br0")), (before, 0));
        // So that nobody's knowledge of the host's address is out of date.
        eventually("it hears both", || hears("ns1", HOST, 99) && hears("ns2", HOST, 99));
    });
}

#[test]
fn errors_in_rules_for_the_host_have_line_and_column() {
    in_host(|_| {
        make_bridge();
        for (lines, message) in [
            (
                "host = \"all\"",
                "2:8: there is no \"all\" of the host; expected \"everything\", \"neighbours\", \"nothing\", or services: \
                 [\"tcp/22\"]",
            ),
            (
                "host = [\"tcp/22\", \"tcp/http\"]",
                "2:19: \"tcp/http\" is no service of a host; expected one such as \"tcp/22\", \"udp/53\", \"tcp\", \"udp\" \
                 or \"icmp\"",
            ),
            (
                "host = 22",
                "2:8: invalid type: integer `22`, expected \"everything\", \"neighbours\", \"nothing\" or a list of services",
            ),
            ("forward = \"no\"", "2:11: invalid type: string \"no\", expected a boolean"),
            ("group = \"host\"", "2:9: in `apart`, \"host\" means the host; expected another name"),
        ] {
            std::fs::write("/run/ports.toml", format!("[port.v1]\n{lines}\nmac = \"02:00:00:00:00:01\"\n"))
                .unwrap();
            let refused = done(&mut xtask("observe br0 --once --policy /run/ports.toml"));
            let first = refused.err.lines().next().unwrap_or_default();
            assert_eq!((refused.code, first), (Some(1), &*format!("error: /run/ports.toml:{message}")));
        }
        let contrary = "apart = [[\"red\", \"host\"]]\n[port.v1]\nmac = \"02:00:00:00:00:01\"\ngroup = \"red\"\nhost = [\"icmp\"]\n";
        std::fs::write("/run/ports.toml", contrary).unwrap();
        let refused = done(&mut xtask("observe br0 --once --policy /run/ports.toml"));
        let message =
            "5:8: its group, red, is kept apart from the host; expected \"nothing\", or another group";
        assert!(refused.err.contains(message), "{}", refused.err);
    });
}

const LAB: &str = r#"
apart = [["kept", "host"]]
[bridge.br0]
addresses = ["10.1.1.254/24", "fd00::fe/64"]
[namespace.ns1]
interface.eth0 = { bridge = "br0", addresses = ["10.1.1.1/24", "fd00::1/64"], policy = { mode = "enforce", host = ["udp/53"], forward = false } }
[namespace.ns2]
interface.eth0 = { bridge = "br0", addresses = ["10.1.1.2/24"], policy = { mode = "enforce", group = "kept" } }
"#;

#[test]
fn a_topologys_rules_for_the_host_hold_without_a_process() {
    in_host(|_| {
        let before = state_of_the_host();
        let file = PathBuf::from("/run/lab.toml");
        std::fs::write(&file, LAB).unwrap();
        let up = fine("up", &file);
        assert!(up.contains("+ host/br0: policy of what comes to the host\n"), "{up}");
        assert!(fine("diff", &file).is_empty());
        assert!(fine("show", &file).contains("enforce 10.1.1.1 fd00::1 host [udp/53] no-forward"));
        let holds = || {
            assert!(hears("ns1", HOST, 53) && hears("ns1", "fd00::fe", 53));
            assert!(misses("ns1", HOST, 99) && misses("ns1", "fd00::fe", 99) && misses("ns2", HOST, 53));
        };
        holds();
        // If somebody removes it, that is a difference, which `up` mends.
        let _ = run(oracle("tc").args(["qdisc", "del", "dev", "br0", "clsact"]));
        assert!(hears("ns1", HOST, 99));
        assert_eq!(topology("diff", &file).out, "+ host/br0: policy of what comes to the host\n");
        fine("up", &file);
        holds();
        // When no port has such a policy any more, nothing is left on the bridge.
        edit(&file, ", host = [\"udp/53\"], forward = false", "");
        edit(&file, ", group = \"kept\"", "");
        edit(&file, "apart = [[\"kept\", \"host\"]]", "");
        let changed = fine("up", &file);
        assert!(changed.contains("- host/br0: policy of what comes to the host\n"), "{changed}");
        // A datagram that waits for a neighbour's answer which never comes is lost.
        eventually("it hears both", || hears("ns1", HOST, 99) && sends("ns2", HOST, 53, SHORT));
        assert_eq!(programs("br0"), 0);
        assert!(!tc("qdisc show dev br0").contains("clsact") && fine("diff", &file).is_empty());
        fine("down", &file);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(state_of_the_host(), before);
    });
}
