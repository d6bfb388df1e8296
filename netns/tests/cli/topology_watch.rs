//! `netns watch`: when somebody removes an enforcement of a topology, that is reported, put back and counted.

use crate::barrier::nft;
use crate::topology::{edit, fine, topology};
use crate::topology_policy::{filters, pings};
use crate::watched::Watched;
use crate::{done, xtask};
use std::path::PathBuf;
use tests::{eventually, in_host, ip, tc};

const LAB: &str = r#"
[bridge.br0]
addresses = ["10.1.1.254/24"]
[namespace.good]
interface.eth0 = { bridge = "br0", addresses = ["10.1.1.1/24"], policy = "enforce" }
[namespace.near]
interface.eth0 = { bridge = "br0", addresses = ["10.1.1.2/24"], policy = { mode = "enforce", host = "neighbours" } }
[namespace.free]
interface.eth0 = { bridge = "br0", addresses = ["10.1.1.3/24"] }
"#;

fn lab() -> PathBuf {
    let file = PathBuf::from("/run/lab.toml");
    std::fs::write(&file, LAB).unwrap();
    file
}

#[test]
fn what_somebody_removes_is_reported_and_put_back() {
    in_host(|_| {
        let file = lab();
        let before = done(&mut xtask("watch /run/lab.toml"));
        assert_eq!((before.code, before.err.as_str()), (Some(1), "error: /run/lab.toml is not up\n"));
        fine("up", &file);
        let lies = || {
            ip("-n good addr replace 10.1.1.77/32 dev eth0");
            let arrives = pings("good", "-I 10.1.1.77 10.1.1.3");
            ip("-n good addr del 10.1.1.77/32 dev eth0");
            arrives
        };
        ip("-n free route add 10.1.1.77/32 dev eth0");
        let mut watch = Watched::start("watch /run/lab.toml --json");
        watch.line("the beginning", |line| line["type"] == "watch");
        assert!(!lies());
        let barred = || nft("list ruleset").contains("table bridge netns-barrier-");
        for (number, (loss, what)) in [
            ("tc qdisc del dev good-eth0 clsact", "host/good-eth0: policy enforce"),
            ("tc qdisc del dev br0 clsact", "+ host/br0: policy of what comes to the host"),
            ("tc filter del dev near-eth0 egress", "host/near-eth0: policy enforce"),
            ("nft flush ruleset", "policy enforce"),
        ]
        .into_iter()
        .enumerate()
        {
            let _ = match loss.strip_prefix("tc ") {
                Some(loss) => tc(loss),
                None => nft(loss.trim_start_matches("nft ")),
            };
            let lost = watch.line(loss, |line| line["type"] == "enforcement" && line["restored"] == true);
            assert!(lost["what"].as_str().unwrap().contains(what), "{loss}: {lost}");
            assert_eq!(lost["lost"], number as u64 + 1, "{loss}");
            eventually(loss, || {
                filters("good-eth0") + filters("near-eth0") + filters("br0") == 5 && barred()
            });
            assert!(!lies(), "{loss}");
        }
        // Both ports had lost their barrier.
        watch.line("the other port", |line| line["lost"] == 5);
        let ended = watch.end("TERM");
        assert_eq!(ended.code, Some(2), "{}", ended.err);
        assert_eq!(ended.err, "error: what enforces the policies was taken away 5 times\n");
        fine("down", &file);
        assert_eq!(nft("list ruleset"), "");
    });
}

/// Without the rules of its way out, the host goes on forwarding and routes for everybody.
#[test]
fn the_rules_of_a_way_out_are_put_back_with_its_published_ports() {
    in_host(|_| {
        let file = PathBuf::from("/run/lab.toml");
        let published = "addresses = [\"10.1.1.254/24\"]\nmasquerade = true\npublish = [\"8080:good:80\"]";
        std::fs::write(&file, LAB.replacen("addresses = [\"10.1.1.254/24\"]", published, 1)).unwrap();
        fine("up", &file);
        let mut watch = Watched::start("watch /run/lab.toml --json");
        watch.line("the beginning", |line| line["type"] == "watch");
        let _ = nft("flush ruleset");
        watch.line("the way out", |line| {
            line["restored"] == true && line["what"].as_str().is_some_and(|what| what.contains("masquerade"))
        });
        eventually("all is there", || {
            let rules = nft("list ruleset");
            rules.contains("masquerade") && rules.contains("8080") && rules.contains("netns-barrier-")
        });
        assert_eq!(watch.end("TERM").code, Some(2));
        assert_eq!(topology("diff", &file).out, "");
        fine("down", &file);
        assert_eq!(nft("list ruleset"), "");
    });
}

/// What somebody changes on purpose, in the file or beside it, is no loss.
#[test]
fn edits_and_what_is_no_policy_are_left_alone() {
    in_host(|_| {
        let file = lab();
        fine("up", &file);
        let mut watch = Watched::start("watch /run/lab.toml --json --interval 0.1");
        watch.line("the beginning", |line| line["type"] == "watch");
        // The edited file alone changes nothing, and what is no policy is not `watch`'s business.
        edit(&file, "policy = \"enforce\"", "policy = \"observe\"");
        ip("-n free addr del 10.1.1.3/24 dev eth0");
        ip("link set free-eth0 down");
        assert_eq!(topology("diff", &file).code, Some(1));
        // Time for some readings.
        std::thread::sleep(std::time::Duration::from_millis(500));
        fine("up", &file);
        edit(&file, ", policy = \"observe\" }", " }");
        fine("up", &file);
        assert_eq!(filters("good-eth0"), 0);
        fine("down", &file);
        let ended = watch.end("none");
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{}", ended.out);
        assert_eq!(ended.lines("enforcement").len(), 0, "{}", ended.out);
    });
}

#[test]
fn what_cannot_be_put_back_is_reported_once() {
    in_host(|_| {
        let file = lab();
        fine("up", &file);
        let mut watch = Watched::start("watch /run/lab.toml --json --interval 0.1");
        watch.line("the beginning", |line| line["type"] == "watch");
        let somebody = "filter add dev good-eth0 ingress pref 1 protocol all bpf da bytecode";
        let mut add = tests::oracle("tc");
        add.args(somebody.split(' ')).arg("1,6 0 0 0");
        let _ = tests::run(&mut add);
        let lost = watch.line("the loss", |line| line["type"] == "enforcement");
        assert_eq!(lost["restored"], false, "{lost}");
        let ended = watch.end("INT");
        assert_eq!(ended.code, Some(2), "{}", ended.err);
        assert_eq!(ended.lines("enforcement").len(), 0, "{}", ended.out);
    });
}
