//! A topology that is up while somebody observes its bridge: neither takes away what the other has made.

use crate::topology::{edit, fine};
use crate::watched::Watched;
use crate::{done, state_of_the_host, xtask};
use std::path::Path;
use tests::{in_host, ip, ip_json, only};

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
        // What an edit changes is changed, and that is not.
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
        // By somebody else it is a difference, as ever.
        ip("link set a-eth0 type bridge_slave group_fwd_mask 0x4001");
        assert!(fine("up", file).contains("group_fwd_mask 0x0"));
        edit(file, ", port = { isolated = true }", "");
        fine("up", file);
        assert_eq!(state_of_the_host(), before);
        fine("down", file);
    });
}
