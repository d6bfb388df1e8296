//! Topologies that let their namespaces out, and others in.

use crate::ours::run_traced;
use crate::topology::{edit, fine, topology};
use crate::watched::Watched;
use crate::{done, state_of_the_host, xtask};
use netns_core::Namespace;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::{Host, eventually, in_host, ip, needs_option, oracle, original_destination, run, until};

const PATIENCE: Duration = Duration::from_secs(20);
const DROPPED: Duration = Duration::from_secs(1);

fn ruleset() -> String {
    run(oracle("nft").args(["-s", "list", "ruleset"]))
}

/// The host's state, with its packet filter rules.
fn state() -> (String, [String; 6]) {
    (ruleset(), state_of_the_host())
}

/// The tables of a ruleset, without their names.
fn table(rules: &str) -> Vec<String> {
    rules.lines().skip(1).map(str::to_owned).collect()
}

fn needs_nat() {
    needs_option("CONFIG_NFT_MASQ", "nftables with nat", || {
        let script = "add table inet probe; add chain inet probe c { type nat hook postrouting priority 0; }; \
                      add rule inet probe c masquerade; delete table inet probe";
        oracle("nft").arg(script).output().is_ok_and(|output| output.status.success())
    });
}

/// A provider that knows only the host.
fn provider() -> Namespace {
    for command in [
        "netns add provider",
        "link add up0 type veth peer name eth0 netns provider",
        "addr add 192.0.2.1/24 dev up0",
        // Whether it has a link-local address yet would be part of the host's state.
        "link set up0 addrgenmode none",
        "link set up0 up",
        "-n provider addr add 192.0.2.2/24 dev eth0",
        "-n provider link set eth0 up",
        "route add default via 192.0.2.2",
    ] {
        ip(command);
    }
    // So would whether it carries packets yet.
    eventually("the link is up", || ip("link show up0").contains("state UP"));
    Namespace::open("provider").unwrap()
}

fn lab() -> PathBuf {
    let file = PathBuf::from("/run/lab.toml");
    let text = "\
[bridge.br0]
addresses = ['10.1.1.254/24', 'fd11::ffff/64']
masquerade = true
publish = ['8080:ns1:80', '192.0.2.1:9000-9002:ns2:79']
[namespace.ns1]
interface.eth0 = { bridge = 'br0', addresses = ['10.1.1.1/24', 'fd11::1/64'] }
routes = [{ to = 'default', via = '10.1.1.254' }]
[namespace.ns2]
interface.eth0 = { bridge = 'br0', addresses = ['10.1.1.2/24'] }
routes = [{ to = 'default', via = '10.1.1.254' }]
";
    fs::write(&file, text).unwrap();
    file
}

/// Runs a test on a host with a provider and a lab that is not up, and checks that it leaves the host as it was.
fn with_lab(test: impl FnOnce(&Host, &Namespace, &Path) + Send) {
    in_host(|host| {
        needs_nat();
        let (provider, file) = (provider(), lab());
        let before = state();
        test(host, &provider, &file);
        assert_eq!(state(), before);
    });
}

fn listen(namespace: &str, port: u16) -> TcpListener {
    let inside = Namespace::open(namespace).unwrap();
    let listener = inside.enter(|| TcpListener::bind(("0.0.0.0", port))).unwrap().unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// Where a client wanted to go, as a proxy at the bridge's address, port 8443, sees it.
fn wanted(from: &Namespace, to: &str, proxy: &TcpListener) -> SocketAddr {
    let to: SocketAddr = to.parse().unwrap();
    let client = from.enter(|| TcpStream::connect_timeout(&to, PATIENCE)).unwrap();
    let _client = client.unwrap_or_else(|error| panic!("{to}: {error}"));
    original_destination(&until("the proxy accepts", || proxy.accept().ok()).0).unwrap()
}

fn proxy() -> TcpListener {
    let listener = TcpListener::bind("0.0.0.0:8443").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// A client's address, as a server sees it.
fn seen(from: &Namespace, to: &str, server: &TcpListener) -> IpAddr {
    let to: SocketAddr = to.parse().unwrap();
    let client = from.enter(|| TcpStream::connect_timeout(&to, PATIENCE)).unwrap();
    let _client = client.unwrap_or_else(|error| panic!("{to}: {error}"));
    until("the server accepts", || server.accept().ok()).1.ip()
}

#[test]
fn namespaces_get_out_and_published_ports_lead_in() {
    with_lab(|_, provider, file| {
        let made = fine("up", file);
        for line in [
            "+ host/br0: masquerade\n",
            "+ host/br0: publish tcp *:8080 -> 10.1.1.1:80\n",
            "+ host/br0: publish tcp *:8080 -> [fd11::1]:80\n",
            "+ host/br0: publish tcp 192.0.2.1:9000-9002 -> 10.1.1.2:79\n",
        ] {
            assert!(made.contains(line), "{line} is not in\n{made}");
        }
        assert_eq!(fine("diff", file), "");
        assert!(fine("show", file).contains("host/br0: publish tcp *:8080 -> 10.1.1.1:80\n"));
        let (one, two, outside) = (listen("ns1", 80), listen("ns2", 80), listen("provider", 80));
        let ns1 = Namespace::open("ns1").unwrap();
        assert_eq!(seen(&ns1, "192.0.2.2:80", &outside).to_string(), "192.0.2.1");
        assert_eq!(seen(provider, "192.0.2.1:8080", &one).to_string(), "192.0.2.2");
        let _ = seen(provider, "192.0.2.1:9001", &two);
        let _ = seen(&ns1, "192.0.2.1:9001", &two);

        // Somebody's change of the rules is noticed and put right.
        let whole = ruleset();
        let _ = run(oracle("nft").args(["flush", "ruleset"]));
        assert_eq!(topology("diff", file).out.lines().next(), Some("~ host/br0: masquerade"));
        fine("up", file);
        assert_eq!(table(&ruleset()), table(&whole));
        fs::write("/proc/sys/net/ipv4/conf/up0/forwarding", "0").unwrap();
        assert_eq!(topology("diff", file).out.lines().next(), Some("~ host/br0: masquerade"));
        fine("up", file);
        let _ = seen(provider, "192.0.2.1:8080", &one);

        // Edits: single ports come and go, the rest stays.
        edit(
            file,
            "'8080:ns1:80', '192.0.2.1:9000-9002:ns2:79'",
            "'8081:ns1:80', '192.0.2.1:9001-9003:ns2:80'",
        );
        let changed = fine("up", file);
        assert!(
            !changed.contains("masquerade") && changed.contains("- host/br0: publish tcp *:8080"),
            "{changed}"
        );
        let _ = seen(provider, "192.0.2.1:8081", &one);
        let gone = provider.enter(|| TcpStream::connect("192.0.2.1:8080")).unwrap();
        assert_eq!(gone.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        edit(file, "masquerade = true", "masquerade = false");
        assert!(fine("up", file).starts_with("~ host/br0: way in\n"));
        let dropped = ns1.enter(|| TcpStream::connect_timeout(&"192.0.2.2:80".parse().unwrap(), DROPPED));
        assert_eq!(dropped.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
        let _ = seen(provider, "192.0.2.1:8081", &one);
        drop((one, two, ns1));
        assert!(fine("down", file).contains("- host/br0: way out and in\n"));
    });
}

/// A second link to elsewhere, to which the default route moves.
fn vpn() {
    for command in [
        "link add vpn0 type veth peer name eth1 netns provider",
        "addr add 203.0.113.1/24 dev vpn0",
        "link set vpn0 up",
        "-n provider addr add 203.0.113.2/24 dev eth1",
        "-n provider link set eth1 up",
        "route replace default via 203.0.113.2",
    ] {
        ip(command);
    }
}

fn no_vpn() {
    ip("link del vpn0");
    ip("route add default via 192.0.2.2");
}

fn vpn_forwards() -> bool {
    fs::read_to_string("/proc/sys/net/ipv4/conf/vpn0/forwarding").unwrap() == "1\n"
}

/// Another link now leads to elsewhere: `diff` shows it, and `up` and `watch` adapt; unless the file names the link.
#[test]
fn the_way_out_follows_the_routes() {
    with_lab(|_, _, file| {
        fine("up", file);
        vpn();
        assert_eq!(topology("diff", file).out.lines().next(), Some("~ host/br0: masquerade"));
        fine("up", file);
        assert!(vpn_forwards());
        assert_eq!(fine("diff", file), "");
        let (outside, ns1) = (listen("provider", 80), Namespace::open("ns1").unwrap());
        assert_eq!(seen(&ns1, "203.0.113.2:80", &outside).to_string(), "203.0.113.1");

        // It goes, and another link gets its name.
        no_vpn();
        assert_eq!(fine("diff", file), "");
        let mut watch = Watched::start("watch --json --interval 0.2 /run/lab.toml");
        vpn();
        let line = watch.line("enforcement", |line| line["type"] == "enforcement");
        assert_eq!((line["what"].as_str(), vpn_forwards()), (Some("~ host/br0: masquerade"), true));
        watch.end("INT");
        assert_eq!(fine("diff", file), "");
        no_vpn();

        edit(file, "masquerade = true", "masquerade = true\nuplinks = ['up0']");
        fine("up", file);
        vpn();
        assert_eq!(fine("diff", file), "");
        assert!(!vpn_forwards());
        no_vpn();
        drop((ns1, outside));
        fine("down", file);
    });
}

/// The same for a run, which looks once a second while it goes on. It puts back what it set; after a kill, `clean`
/// does.
#[test]
fn the_way_out_of_a_run_follows_the_routes() {
    in_host(|_| {
        needs_nat();
        let provider = provider();
        let before = state();
        let outside = listen("provider", 80);
        for end in ["INT", "KILL"] {
            let mut watched = Watched::start("run --json --interval 0.2 --masquerade --publish 8080:ns1:80");
            watched.line("counters", |line| line["type"] == "counters");
            let inward = listen("ns1", 80);
            let ns2 = Namespace::open("ns2").unwrap();
            vpn();
            until("the run forwards for the new link", || vpn_forwards().then_some(()));
            assert_eq!(seen(&ns2, "203.0.113.2:80", &outside).to_string(), "203.0.113.1");
            assert_eq!(seen(&provider, "203.0.113.1:8080", &inward).to_string(), "203.0.113.2");

            let whole = ruleset();
            let _ = run(oracle("nft").args(["flush", "ruleset"]));
            until("the rules are back", || (table(&ruleset()) == table(&whole)).then_some(()));
            assert_eq!(seen(&provider, "203.0.113.1:8080", &inward).to_string(), "203.0.113.2");
            drop((inward, ns2));
            watched.end(end);
            if end == "KILL" {
                assert!(vpn_forwards() && ruleset().contains("masquerade"));
                assert_eq!(done(&mut xtask("clean")).code, Some(0));
            }
            assert!(!vpn_forwards());
            no_vpn();
            assert_eq!(state(), before, "{end}");
        }
    });
}

/// Namespaces that reach a proxy and nothing else, and what an edit of the file does to that.
#[test]
fn a_proxy_on_the_host_answers_for_a_port_of_any_address() {
    with_lab(|_, _, file| {
        edit(file, "masquerade = true\npublish", "redirect = ['443:8443']\n#");
        assert!(fine("up", file).contains("+ host/br0: redirect\n"));
        assert_eq!(fine("diff", file), "");
        assert!(fine("show", file).contains("host/br0: redirect 443:8443/tcp\n"));
        let (ns1, proxy) = (Namespace::open("ns1").unwrap(), proxy());
        assert_eq!(wanted(&ns1, "198.51.100.7:443", &proxy).to_string(), "198.51.100.7:443");
        let server = listen("provider", 80);
        let dropped = ns1.enter(|| TcpStream::connect_timeout(&"192.0.2.2:80".parse().unwrap(), DROPPED));
        assert_eq!(dropped.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);

        edit(file, "'443:8443'", "'80:8443', '53:5353/udp']\nmasquerade = true\n#");
        assert!(fine("up", file).starts_with("~ host/br0: masquerade\n"));
        assert_eq!(wanted(&ns1, "192.0.2.2:80", &proxy).to_string(), "192.0.2.2:80");
        edit(file, "'80:8443', ", "");
        fine("up", file);
        let _ = seen(&ns1, "192.0.2.2:80", &server);
        edit(file, "redirect = ['53:5353/udp']", "resolvers = ['192.0.2.2']");
        fine("up", file);
        assert!(fine("show", file).contains("host/br0: resolver 192.0.2.2\n"));
        assert!(ruleset().contains("udp dport 53 dnat ip to 192.0.2.2"));
        drop(ns1);
        fine("down", file);
    });
}

#[test]
fn a_port_that_is_taken_undoes_all_of_it() {
    with_lab(|host, _, file| {
        let _listener = host.namespace().enter(|| TcpListener::bind("192.0.2.1:9002")).unwrap().unwrap();
        let refused = topology("up", file);
        assert_eq!(refused.code, Some(2));
        assert!(refused.err.contains("a process of the host has port 9002"), "{}", refused.err);
    });
}

#[test]
fn after_a_kill_down_takes_all_of_it_away() {
    in_host(|_| {
        needs_nat();
        let (_provider, file) = (provider(), lab());
        let before = state();
        for arguments in ["up --quiet /run/lab.toml", "down --quiet /run/lab.toml"] {
            for call in ["rename", "unlink", "write"] {
                for number in 1.. {
                    if arguments.starts_with("down") {
                        fine("up", &file);
                    }
                    let kill = format!("-e trace={call} -e inject={call}:signal=KILL:when={number}");
                    let (output, _) = run_traced(&kill, arguments);
                    fine("down", &file);
                    assert_eq!(state(), before, "{arguments}: {call} {number}");
                    if output.status.success() {
                        break;
                    }
                }
            }
        }
    });
}

#[test]
fn errors_in_masquerade_and_publish_have_line_and_column() {
    in_host(|_| {
        for (from, to, why) in [
            ("'8080:ns1:80'", "'8080:ns3:80'", "4:12: there is no namespace \"ns3\""),
            ("'8080:ns1:80'", "'8080:80'", "4:12: \"8080:80\" is not a published port; expected"),
            ("'8080:ns1:80'", "'0:ns1:80'", "4:12: \"0:ns1:80\" is not a published port; expected"),
            (
                "'8080:ns1:80'",
                "'9001:ns1:80/sctp', '9001:ns1:80/sctp'",
                "4:32: sctp *:9001 -> 10.1.1.1:80 is published already",
            ),
            ("'8080:ns1:80'", "'[::1]:8080:ns1:80'", "4:12: publish"),
            (
                "'8080:ns1:80'",
                "'127.0.0.1:8080:ns1:80'",
                "4:12: a loopback address; expected `publish_on_loopback",
            ),
            ("addresses = ['10.1.1.254/24', 'fd11::ffff/64']\n", "", "2:14: host/br0 has no address"),
            ("masquerade = true\npublish", "open_forward_chains = true\n#", "3:23: nothing is let out or in"),
            ("masquerade = true\npublish", "resolvers = ['192.0.2.2']\n#", "3:14: nothing is let out or in"),
            (
                "masquerade = true",
                "redirect = ['443:8443', '443']",
                "3:25: make the way out of \"443\": expected \"PORT:PORT[/tcp",
            ),
            (
                "masquerade = true",
                "redirect = ['443:1', '443:2']",
                "443:2/tcp: the port is redirected already",
            ),
            ("masquerade = true", "resolvers = ['127.0.0.1']", "3:14: "),
            (
                "masquerade = true",
                "resolvers = ['provider']",
                "\"provider\" is not the address of a resolver",
            ),
            (
                "masquerade = true",
                "namespace = 'ns1'\nmasquerade = true",
                "4:14: only the host lets anything out",
            ),
        ] {
            let file = lab();
            edit(&file, from, to);
            let refused = topology("diff", &file);
            assert_eq!(refused.code, Some(1), "{to}");
            assert!(refused.err.contains(why), "{} does not say {why}", refused.err);
        }
    });
}

#[test]
fn a_run_lets_its_namespaces_out_and_others_in() {
    in_host(|_| {
        needs_nat();
        let provider = provider();
        let before = state();
        let (outside, proxy) = (listen("provider", 80), proxy());
        for end in ["INT", "KILL"] {
            let mut run = Watched::start(
                "run --json --interval 0.2 --subnet6 fd00:7::/64 --masquerade --publish 8080:ns1:80 \
                 --publish 192.0.2.1:9000-9001:ns2:79/udp --redirect 443:8443 --resolver 192.0.2.2",
            );
            run.line("counters", |line| line["type"] == "counters");
            let inward = listen("ns1", 80);
            let ns2 = Namespace::open("ns2").unwrap();
            assert_eq!(seen(&ns2, "192.0.2.2:80", &outside).to_string(), "192.0.2.1");
            assert_eq!(seen(&provider, "192.0.2.1:8080", &inward).to_string(), "192.0.2.2");
            assert_eq!(wanted(&ns2, "198.51.100.7:443", &proxy).to_string(), "198.51.100.7:443");
            drop((inward, ns2));
            run.end(end);
            if end == "KILL" {
                assert!(ruleset().contains("masquerade"));
                assert_eq!(done(&mut xtask("clean")).code, Some(0));
            }
            assert_eq!(state(), before, "{end}");
        }
        for (arguments, why) in [
            ("--publish 8080:ns3:80", "--publish: there is no ns3; the namespaces are ns1 to ns2"),
            ("--publish 8080", "is not a published port; expected"),
            ("--publish [::1]:8080:ns1:80 --subnet6 fd00:7::/64", "[::1]"),
            ("--masquerade --topology pair", "--topology pair has no host"),
            ("--masquerade --isolated", "cannot be used with"),
            ("--redirect 443", "expected \"PORT:PORT"),
            ("--redirect 443:1 --redirect 443:2", "the port is redirected already"),
            ("--redirect 443:8443 --topology pair", "--topology pair has no host"),
            ("--resolver 192.0.2.2", "--resolver takes --masquerade"),
        ] {
            let refused = done(&mut xtask(&format!("run --duration 0.2 {arguments}")));
            assert_eq!(refused.code, Some(1), "{arguments}");
            assert!(refused.err.contains(why), "{} does not say {why}", refused.err);
        }
    });
}
