//! `DEL` of an interface that is not as `ADD` left it: missing, in part or all of it, renamed, or another's by now.

use crate::in_host;
use crate::{
    Attachment, ONE, TWO, assert_nothing, assert_only_the_bridge, containers, links, ours, port, reaches,
    reserved,
};
use serde_json::{Value, json};
use tests::ip;

/// What is done to an attachment, of which it is given the result.
type Break = fn(&Value);

#[test]
fn del_succeeds_with_anything_missing() {
    let missing: [(&str, Break); 8] = [
        ("nothing", |_| {}),
        ("the namespace", |_| drop(ip("netns delete one"))),
        ("the bridge", |_| drop(ip("link delete cni0"))),
        ("the port", |result| drop(ip(&format!("link delete {}", port(result))))),
        ("the interface", |_| drop(ip("-n one link delete eth0"))),
        ("the record", |_| std::fs::remove_dir_all("/run/netns-cni").expect("records")),
        ("the reservations", |_| std::fs::remove_dir_all(crate::DATA).expect("reservations")),
        ("everything", |_| {
            ip("netns delete one");
            ip("link delete cni0");
            std::fs::remove_dir_all("/run/netns-cni").expect("records");
            std::fs::remove_dir_all(crate::DATA).expect("reservations");
        }),
    ];
    for (what, remove) in missing {
        in_host(|_| {
            containers(&["one"]);
            let runtime = ours("1.0.0");
            let result = runtime.add(ONE).fine();
            remove(&result);
            for again in [false, true] {
                let answer = runtime.del(ONE, if again { &Value::Null } else { &result });
                assert_eq!((answer.code, &answer.out), (Some(0), &Value::Null), "{what}: {answer:?}");
            }
            // The last of the namespace's goes when the kernel comes to it, if nothing is on record any more.
            tests::eventually(what, || links().iter().all(|link| link == "cni0"));
            assert_eq!(reserved(), Vec::<String>::new(), "{what}");
        });
    }
}

/// Without `CNI_NETNS`, and without a container that ever was.
#[test]
fn del_needs_no_namespace() {
    in_host(|_| {
        containers(&["one"]);
        let runtime = ours("1.0.0");
        let result = runtime.add(ONE).fine();
        let nowhere = Attachment { netns: "", ..ONE };
        runtime.del(nowhere, &result).fine();
        assert_only_the_bridge();
        runtime.del(TWO, &Value::Null).fine();
    });
}

/// Nothing is deleted but what was made: a link that has got the name of the port is left.
#[test]
fn what_has_a_name_of_ours_by_now_is_left() {
    in_host(|_| {
        containers(&["one"]);
        let runtime = ours("1.0.0");
        let result = runtime.add(ONE).fine();
        let name = crate::replace_port(&result);
        let answer = runtime.del(ONE, &result);
        assert_eq!(answer.code, Some(0));
        assert!(answer.err.contains(&name), "{}", answer.err);
        assert!(links().contains(&name));
        assert_eq!(reserved(), Vec::<String>::new());
    });
}

/// An administrator or udev may give the port another name. Of a call that was killed, the record has only the first one.
#[test]
fn a_port_that_was_renamed_is_removed() {
    for (is_collected, was_killed) in [(false, false), (true, false), (false, true), (true, true)] {
        in_host(|_| {
            containers(&["one"]);
            let runtime = ours("1.1.0");
            let result = runtime.add(ONE).fine();
            let name = port(&result);
            for command in ["down", "name renamed0"] {
                ip(&format!("link set {name} {command}"));
            }
            ip("link set renamed0 up");
            if was_killed {
                let path = "/run/netns-cni/networks/net1/one:eth0.bridge";
                let text = std::fs::read_to_string(path).expect("a record");
                let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("link ")).collect();
                let header = text.lines().next().expect("a header");
                std::fs::write(path, format!("{header}\n{}\n", lines[0])).expect("a record");
            }
            if is_collected {
                runtime.gc(&[]).fine();
                assert_nothing();
            } else {
                runtime.del(ONE, &result).fine();
                assert_only_the_bridge();
            }
            assert_eq!(ip("-n one link show type veth"), "");
        });
    }
}

/// A runtime calls `DEL` after an `ADD` that failed, and the interface is another network's.
#[test]
fn del_leaves_an_interface_of_another_network() {
    for bridge in ["cni0", "cni1", "cni2"] {
        in_host(|_| {
            containers(&["one", "two"]);
            let runtime = ours("1.1.0");
            let first = runtime.add(ONE).fine();
            let mut other = ours("1.1.0");
            other.list["name"] = json!("net2");
            other.list["plugins"][0]["bridge"] = json!(bridge);
            other.list["plugins"][0]["ipam"]["ranges"] = json!([[{"subnet": "10.88.2.0/24"}]]);
            other.list["plugins"][0]["ipam"]["routes"] = json!([]);
            if bridge == "cni1" {
                // The bridge is there.
                other.add(TWO).fine();
            }
            let (code, text) = other.add(ONE).failure();
            assert_eq!(code, 100, "{text}");
            let answer = other.del(ONE, &Value::Null);
            assert_eq!(
                (answer.code, answer.err.contains("left: the container's eth0")),
                (Some(0), true),
                "{}",
                answer.err
            );
            runtime.check(ONE, &first).fine();
            reaches(Some("one"), "10.88.1.1");
            // A link that is none of ours, which has the name.
            ip("-n one link delete eth0");
            ip("-n one link add eth0 type bridge");
            assert_eq!(other.del(ONE, &Value::Null).code, Some(0));
            assert!(ip("-n one link show").contains("eth0"));
        });
    }
}
