//! Groups of a topology that are kept apart: by the programs on their ports, without any process.

use crate::topology::{edit, example, fine, topology};
use crate::topology_policy::{pings, violations};
use crate::{state_of_the_host, xtask};
use serde_json::{Value, json};
use std::path::PathBuf;
use tests::{in_host, ip};

/// Which namespaces of the example answer, by the last byte of the address. An earlier failure that the kernel
/// remembers makes no difference.
fn reached(from: &str) -> Vec<u8> {
    ip(&format!("-n {from} neigh flush dev eth0"));
    [1, 2, 5, 9].into_iter().filter(|last| pings(from, &format!("10.1.1.{last}"))).collect()
}

/// How often a port was found to send to a group that it is kept apart from.
fn group_violations(file: &std::path::Path, port: &str) -> u64 {
    violations(file, port)["violations"]["group"].as_u64().unwrap_or(0)
}

#[test]
fn two_groups_do_not_reach_each_other_and_both_reach_a_third() {
    in_host(|_| {
        let file = example("tenants");
        let before = state_of_the_host();
        let planned = topology("diff", &file).out;
        assert!(
            planned.contains(
                "+ bridge host/br0\n\
                 + host: apart red and blue\n\
                 + cable red1/eth0 - host/red1-eth0 (on br0) policy enforce 10.1.1.1 group red\n"
            ),
            "{planned}"
        );
        assert_eq!(fine("up", &file), planned);
        // `up` has ended; the programs go on judging.
        assert_eq!(reached("red1"), [1, 2, 9]);
        assert_eq!(reached("red2"), [1, 2, 9]);
        assert_eq!(reached("blue1"), [5, 9]);
        assert_eq!(reached("service"), [1, 2, 5, 9]);
        for port in ["red1-eth0", "red2-eth0", "blue1-eth0"] {
            assert!(group_violations(&file, port) >= 1, "{port}");
        }
        assert_eq!(violations(&file, "service-eth0")["violations"], json!({}));

        // A second `up` changes nothing, and the counters go on.
        let (up, counted) = (state_of_the_host(), group_violations(&file, "blue1-eth0"));
        assert_eq!(fine("up", &file), "");
        assert_eq!(fine("diff", &file), "");
        assert_eq!(state_of_the_host(), up);
        // The kernel may ask once more for an address that nobody answers for.
        assert!(group_violations(&file, "blue1-eth0") >= counted);
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn only_groups_that_differ_are_changed() {
    in_host(|_| {
        let file = example("tenants");
        fine("up", &file);
        let changed = |expected: &str| {
            let planned = topology("diff", &file);
            assert_eq!((planned.code, planned.out.as_str()), (Some(1), expected));
            assert_eq!(fine("up", &file), expected);
            assert_eq!(fine("diff", &file), "");
        };
        // A new name is a new group, kept apart before its port joins it.
        edit(&file, "[[\"red\", \"blue\"]]", "[[\"red\", \"green\"]]");
        edit(&file, "group = \"blue\"", "group = \"green\"");
        changed(
            "+ host: apart red and green\n\
             ~ host/blue1-eth0: policy enforce 10.1.1.5 group green\n\
             - host: apart red and blue\n",
        );
        assert_eq!(reached("red1"), [1, 2, 9]);
        // A port changes sides; the groups stay as they are.
        edit(&file, "group = \"red\"", "group = \"green\"");
        changed("~ host/red1-eth0: policy enforce 10.1.1.1 group green\n");
        assert_eq!((reached("red1"), reached("red2")), (vec![1, 5, 9], vec![2, 9]));
        // A group that is kept apart from itself.
        edit(&file, "[\"red\", \"green\"]", "[\"red\", \"green\"], [\"green\", \"green\"]");
        changed("+ host: apart green and green\n");
        assert_eq!((reached("red1"), reached("blue1")), (vec![1, 9], vec![5, 9]));
        // A failed edit goes back to what was up before, groups and all.
        let text = std::fs::read_to_string(&file).unwrap();
        edit(&file, "group = \"red\"", "group = \"white\"");
        edit(&file, "[\"red\", \"green\"]", "[\"white\", \"white\"]");
        edit(
            &file,
            "[bridge.br0]",
            "[namespace.ns9]\nsysctl.\"net.ipv4.conf.eth7.rp_filter\" = 1\n[bridge.br0]",
        );
        let failed = topology("up", &file);
        assert!(
            failed.code == Some(2) && failed.err.ends_with("what was done is undone\n"),
            "{}",
            failed.err
        );
        std::fs::write(&file, text).unwrap();
        assert_eq!(fine("diff", &file), "");
        assert_eq!((reached("red1"), reached("red2")), (vec![1, 9], vec![2, 9]));
        // No groups at all.
        edit(&file, "apart = [[\"red\", \"green\"], [\"green\", \"green\"]]", "");
        changed("- host: apart red and green\n- host: apart green and green\n");
        for from in ["red1", "red2", "blue1", "service"] {
            assert_eq!(reached(from), [1, 2, 5, 9], "{from}");
        }
        fine("down", &file);
    });
}

#[test]
fn in_observe_mode_frames_between_groups_pass_and_are_counted() {
    in_host(|_| {
        let file = example("tenants");
        let text = std::fs::read_to_string(&file).unwrap().replace("enforce", "observe");
        std::fs::write(&file, text).unwrap();
        fine("up", &file);
        assert_eq!(reached("red1"), [1, 2, 5, 9]);
        assert!(group_violations(&file, "red1-eth0") >= 1 && group_violations(&file, "blue1-eth0") >= 1);
        assert_eq!(violations(&file, "red1-eth0")["dropped"], 0);
        fine("down", &file);
    });
}

#[test]
fn groups_in_a_namespace_after_a_kill_and_without_filters() {
    in_host(|_| {
        let file = PathBuf::from("/run/lab.toml");
        let text = std::fs::read_to_string(example("tenants")).unwrap();
        let text = text.replace("[bridge.br0]", "[namespace.sw]\n[bridge.br0]\nnamespace = \"sw\"");
        std::fs::write(&file, text).unwrap();
        std::fs::remove_file("/run/tenants.toml").unwrap();
        let before = state_of_the_host();
        for delay in [40, 110, 150] {
            let mut child = xtask("up --quiet /run/lab.toml").spawn().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(delay));
            child.kill().unwrap();
            child.wait().unwrap();
            fine("up", &file);
            assert_eq!(fine("diff", &file), "");
            assert_eq!((reached("red1"), reached("blue1")), (vec![1, 2, 9], vec![5, 9]), "after {delay} ms");
            fine("down", &file);
            assert_eq!(state_of_the_host(), before, "after {delay} ms");
        }
        // With the filters the kernel drops the programs and their maps; all of it comes back.
        fine("up", &file);
        for port in ["red1", "red2", "blue1", "service"] {
            ip(&format!("netns exec sw tc qdisc del dev {port}-eth0 clsact"));
        }
        let put_right = fine("up", &file);
        assert_eq!(put_right.matches(": policy enforce").count(), 4, "{put_right}");
        assert_eq!(reached("red1"), [1, 2, 9]);
        fine("down", &file);
    });
}

#[test]
fn a_topology_shows_its_groups() {
    in_host(|_| {
        let file = example("tenants");
        let shown = fine("show", &file);
        assert!(
            shown.contains("red1/eth0 10.1.1.1/24 by red1-eth0, policy enforce 10.1.1.1 group red\n"),
            "{shown}"
        );
        assert!(shown.contains("\napart red and blue\n"), "{shown}");
        assert!(fine("show --svg", &file).contains(">enforce red</text>"));
        assert!(fine("show --dot", &file).contains("red1-eth0\\nenforce red\""));
        let json: Value = serde_json::from_str(&fine("show --json", &file)).unwrap();
        assert_eq!(json["apart"], json!([["red", "blue"]]));
        let groups: Vec<&Value> =
            json["policies"].as_array().unwrap().iter().map(|policy| &policy["group"]).collect();
        assert_eq!(groups, [&json!("red"), &json!("red"), &json!("blue"), &json!(0)]);
    });
}

#[test]
fn an_empty_group_is_an_error_with_line_and_column() {
    in_host(|_| {
        let file = example("tenants");
        edit(&file, "[[\"red\", \"blue\"]]", "[[\"red\", \"green\"]]");
        for verb in ["up", "diff", "show"] {
            let refused = topology(verb, &file);
            assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""), "{verb}");
            let expected = "error: /run/tenants.toml:4:18: no port is in a group \"green\"; expected one of: blue, red\n";
            assert!(refused.err.starts_with(expected), "{}", refused.err);
        }
        edit(&file, "green", "bleu");
        let refused = topology("up", &file);
        assert!(
            refused.err.contains("no port is in a group \"bleu\"; did you mean \"blue\"?\n"),
            "{}",
            refused.err
        );
    });
}
