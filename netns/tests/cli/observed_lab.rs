//! A topology whose bridge is observed while it is up: neither removes what the other has made.

use crate::topology::{edit, fine};
use crate::watched::Watched;
use crate::{done, state_of_the_host, xtask};
use std::path::Path;
use tests::{in_host, ip, ip_json, only, oracle, run};

const LAB: &str = r#"
[bridge.br0]
[namespace.a]
interface.eth0 = { bridge = "br0", mac = "02:00:00:00:00:0a", addresses = ["10.1.1.1/24"] }
[namespace.b]
interface.eth0 = { bridge = "br0", mac = "02:00:00:00:00:0b", addresses = ["10.1.1.2/24"] }
"#;
const PORTS: &str = r#"
[namespace.a]
mac = "02:00:00:00:00:0a"
addresses = ["10.1.1.1"]
[namespace.b]
mac = "02:00:00:00:00:0b"
addresses = ["10.1.1.2"]
"#;

/// Which frames to reserved addresses a port forwards.
fn mask(port: &str) -> u64 {
    only(&ip_json(&format!("-d link show {port}")))["linkinfo"]["info_slave_data"]["group_fwd_mask"]
        .as_str()
        .map_or(0, |mask| u64::from_str_radix(mask.trim_start_matches("0x"), 16).unwrap())
}

#[test]
fn a_reload_leaves_what_the_observers_barrier_needs() {
    in_host(|_| {
        let file = Path::new("/run/lab.toml");
        std::fs::write(file, LAB).unwrap();
        std::fs::write("/run/ports.toml", PORTS).unwrap();
        fine("up", file);
        let before = state_of_the_host();
        let mut observe =
            Watched::start("observe br0 --policy /run/ports.toml --enforce --json --interval 0.1");
        observe.line("counters", |line| line["type"] == "counters");
        let barred = mask("a-eth0");
        if barred == 0 {
            // A kernel without nftables for bridges has no barrier.
            assert!(!observe.end("INT").err.is_empty());
            return;
        }
        // BPDUs and LLDP are forwarded, so that they meet the barrier.
        assert_eq!(barred, 0x4001);
        assert_eq!(done(xtask("diff").arg(file)).out, "");
        assert_eq!(fine("up", file), "");
        assert_eq!(mask("a-eth0"), barred);
        // An edit changes what it names, and not the mask.
        edit(
            file,
            "addresses = [\"10.1.1.1/24\"]",
            "addresses = [\"10.1.1.1/24\"], port = { isolated = true }",
        );
        let changed = fine("up", file);
        assert!(changed.contains("isolated on") && !changed.contains("group_fwd_mask"), "{changed}");
        assert_eq!(mask("a-eth0"), barred);
        let end = observe.end("INT");
        assert_eq!(end.code, Some(0), "{}", end.err);
        assert_eq!(mask("a-eth0"), 0);
        // If somebody else changes it, it is a difference, as ever.
        ip("link set a-eth0 type bridge_slave group_fwd_mask 0x4001");
        assert!(fine("up", file).contains("group_fwd_mask 0x0"));
        edit(file, ", port = { isolated = true }", "");
        fine("up", file);
        assert_eq!(state_of_the_host(), before);
        fine("down", file);
    });
}

/// The first line that reports a lost enforcement, or `None` at the end.
fn what_is_lost(observe: &mut Watched) -> Option<serde_json::Value> {
    let mut readings = 0;
    let line = observe.line("readings", |line| {
        readings += usize::from(line["type"] == "counters");
        // TCX programs are looked for once a second.
        line["type"] == "enforcement" || readings == 15
    });
    (line["type"] == "enforcement").then_some(line)
}

#[test]
fn what_a_lab_enforces_is_not_reported_as_lost_by_an_observer() {
    in_host(|_| {
        let file = Path::new("/run/lab.toml");
        std::fs::write(file, LAB.replace("\"] }", "\"], policy = \"enforce\" }")).unwrap();
        std::fs::write("/run/ports.toml", PORTS).unwrap();
        fine("up", file);
        let before = state_of_the_host();
        for options in ["", "--policy /run/ports.toml"] {
            let mut observe = Watched::start(&format!("observe br0 {options} --json --interval 0.1"));
            assert_eq!(what_is_lost(&mut observe), None, "{options}");
            assert_eq!(done(xtask("diff").arg(file)).out, "");
            // A filter ahead of both of them is reported.
            if options.is_empty() {
                let mut add = oracle("tc");
                add.args(
                    "filter add dev a-eth0 ingress pref 1 handle 2 protocol all bpf da bytecode".split(' '),
                );
                let _ = run(add.arg("1,6 0 0 4294967295"));
                assert!(what_is_lost(&mut observe).is_some());
                tests::tc("filter del dev a-eth0 ingress pref 1 handle 2 bpf");
            }
            let end = observe.end("INT");
            assert_eq!(end.code, Some(0), "{}", end.err);
        }
        let both = done(&mut xtask("observe br0 --policy /run/ports.toml --enforce --once"));
        let why =
            "br0 is guarded by the lab /run/lab.toml, which enforces by itself: it can be observed alone";
        assert!(both.code == Some(1) && both.err.contains(why), "{}", both.err);
        assert_eq!(state_of_the_host(), before);
        // Where the lab only observes, somebody else may enforce.
        edit(file, "\"10.1.1.1/24\"], policy = \"enforce\"", "\"10.1.1.1/24\"], policy = \"observe\"");
        edit(file, "\"10.1.1.2/24\"], policy = \"enforce\"", "\"10.1.1.2/24\"], policy = \"observe\"");
        fine("up", file);
        let mut observe =
            Watched::start("observe br0 --policy /run/ports.toml --enforce --json --interval 0.1");
        assert_eq!(what_is_lost(&mut observe), None);
        let end = observe.end("INT");
        assert_eq!(end.code, Some(0), "{}", end.err);
        fine("down", file);
    });
}

#[test]
fn a_lab_is_not_to_enforce_where_an_observer_does() {
    in_host(|_| {
        let file = Path::new("/run/lab.toml");
        std::fs::write(file, LAB).unwrap();
        std::fs::write("/run/ports.toml", PORTS).unwrap();
        fine("up", file);
        let mut observe =
            Watched::start("observe br0 --policy /run/ports.toml --enforce --json --interval 0.1");
        observe.line("counters", |line| line["type"] == "counters");
        let before = state_of_the_host();
        // Two barriers would each drop what the other's programs have marked.
        std::fs::write(file, LAB.replace("\"] }", "\"], policy = \"enforce\" }")).unwrap();
        let refused = done(xtask("up").arg(file));
        let why = "runs before the filter that enforces the policy of a/eth0, and may hide frames from it";
        assert!(refused.code == Some(2) && refused.err.contains(why), "{}", refused.err);
        assert_eq!(state_of_the_host(), before, "what was done is undone");
        assert_eq!(what_is_lost(&mut observe), None);
        assert_eq!(observe.end("INT").code, Some(0));
        fine("up", file);
        fine("down", file);
    });
}
