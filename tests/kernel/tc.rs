//! clsact and `cls_bpf`, checked with `tc -j`.

use crate::{index, name};
use netns_core::tc::{self, Direction, Filter};
use netns_core::veth::{self, Veth};
use netns_core::wire::Batch;
use netns_core::{RouteSocket, link};
use serde_json::Value;
use std::os::fd::{AsFd, OwnedFd};
use tests::{Verdict, in_host, ip, load_program, oracle, run, tc as tc_tool, tc_json};

/// A host with a link `v0` and a program.
fn on_a_link(test: impl FnOnce(&mut RouteSocket, u32, OwnedFd) + Send) {
    in_host(|host| {
        ip("link add v0 type veth peer name v1");
        let mut socket = host.socket();
        let v0 = index(&mut socket, "v0");
        test(&mut socket, v0, load_program(Verdict::Continue).unwrap());
    });
}

fn filter(index: u32, direction: Direction, program: &OwnedFd) -> Filter<'_> {
    Filter {
        index,
        direction,
        priority: 10,
        handle: 1,
        program: program.as_fd(),
        name: "ours",
        class_id: 0x123,
    }
}

fn qdiscs() -> Vec<String> {
    let qdiscs = tc_json("qdisc show dev v0");
    qdiscs.as_array().unwrap().iter().map(|qdisc| qdisc["kind"].as_str().unwrap().to_owned()).collect()
}

/// The entries of a hook that have options, which excludes headings.
fn filters(hook: &str) -> Vec<Value> {
    let filters = tc_json(&format!("filter show dev v0 {hook}"));
    filters.as_array().unwrap().iter().filter(|filter| filter.get("options").is_some()).cloned().collect()
}

#[test]
fn clsact_is_added_once_and_deleted() {
    on_a_link(|socket, v0, _| {
        tc::add_clsact(socket, v0).unwrap();
        assert!(qdiscs().contains(&"clsact".to_owned()));
        let listed = tc::list_qdiscs(socket, v0).unwrap();
        assert_eq!(listed.iter().filter(|qdisc| qdisc.is_clsact()).count(), 1);
        let error = tc::add_clsact(socket, v0).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EEXIST));
        assert_eq!(error.object(), format!("clsact on interface {v0}"));
        tc::delete_clsact(socket, v0).unwrap();
        assert!(!qdiscs().contains(&"clsact".to_owned()));
        let error = tc::delete_clsact(socket, v0).unwrap_err();
        assert!(matches!(error.errno(), Some(libc::EINVAL | libc::ENOENT)), "{error}");
    });
}

#[test]
fn a_filter_hangs_on_its_hook_with_program_class_id_and_name() {
    on_a_link(|socket, v0, program| {
        tc::add_clsact(socket, v0).unwrap();
        for (direction, hook, other) in
            [(Direction::Ingress, "ingress", "egress"), (Direction::Egress, "egress", "ingress")]
        {
            tc::add_filter(socket, &filter(v0, direction, &program)).unwrap();
            assert_eq!(filters(other), [Value::Null; 0]);
            let [shown] = &filters(hook)[..] else { panic!("{:?}", filters(hook)) };
            assert_eq!(
                (&shown["kind"], &shown["pref"], &shown["protocol"]),
                (&"bpf".into(), &10.into(), &"all".into())
            );
            let options = &shown["options"];
            assert_eq!(
                (&options["handle"], &options["bpf_name"]),
                (&"0x1".into(), &"ours".into()),
                "{shown}"
            );
            assert_eq!(options["direct-action"], true);
            // `tc` writes class ids as MAJOR:MINOR in hex.
            assert_eq!(options["flowid"], ":123", "{shown}");

            let [ours] = &tc::list_filters(socket, v0, direction).unwrap()[..] else { panic!("one filter") };
            assert_eq!((ours.priority, ours.handle, ours.kind.as_str()), (10, 1, "bpf"));
            assert_eq!((ours.class_id, ours.name.as_deref()), (Some(0x123), Some("ours")));
            assert_eq!(options["prog"]["id"], ours.program_id.unwrap(), "{shown}");
            tc::delete_filter(socket, v0, direction, 10, 1).unwrap();
            assert_eq!(filters(hook), [Value::Null; 0]);
        }
    });
}

#[test]
fn deleting_a_filter_leaves_everybody_elses() {
    on_a_link(|socket, v0, program| {
        tc_tool("qdisc add dev v0 clsact");
        tc_tool("filter add dev v0 ingress pref 5 protocol ip u32 match ip dst 10.9.9.9 flowid 1:1");
        let bytecode = "filter add dev v0 ingress pref 10 handle 7 protocol all bpf da bytecode";
        let _ = run(oracle("tc").args(bytecode.split(' ')).arg("1,6 0 0 0,"));
        let ours = filter(v0, Direction::Ingress, &program);
        for (priority, handle) in [(10, 1), (10, 2), (11, 1)] {
            tc::add_filter(socket, &Filter { priority, handle, ..ours }).unwrap();
        }
        let present = |socket: &mut RouteSocket| {
            let filters = tc::list_filters(socket, v0, Direction::Ingress).unwrap();
            let of_bpf = filters.into_iter().filter(|filter| filter.kind == "bpf");
            let mut present: Vec<_> = of_bpf.map(|filter| (filter.priority, filter.handle)).collect();
            present.sort_unstable();
            present
        };
        assert_eq!(present(socket), [(10, 1), (10, 2), (10, 7), (11, 1)]);
        tc::delete_filter(socket, v0, Direction::Ingress, 10, 1).unwrap();
        assert_eq!(present(socket), [(10, 2), (10, 7), (11, 1)]);
        let error = tc::delete_filter(socket, v0, Direction::Ingress, 10, 1).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOENT));
        let u32s = filters("ingress").iter().filter(|filter| filter["kind"] == "u32").count();
        assert!(u32s > 0, "{:?}", filters("ingress"));
        assert!(qdiscs().contains(&"clsact".to_owned()));
    });
}

#[test]
fn a_deletion_that_would_mean_many_filters_is_refused() {
    on_a_link(|socket, v0, program| {
        tc::add_clsact(socket, v0).unwrap();
        let ours = filter(v0, Direction::Ingress, &program);
        tc::add_filter(socket, &ours).unwrap();
        for (priority, handle) in [(0, 1), (10, 0), (0, 0)] {
            let added = tc::add_filter(socket, &Filter { priority, handle, ..ours }).unwrap_err();
            let deleted = tc::delete_filter(socket, v0, Direction::Ingress, priority, handle).unwrap_err();
            assert!(added.is_invalid_input() && deleted.is_invalid_input());
        }
        assert_eq!(filters("ingress").len(), 1);
    });
}

#[test]
fn a_filter_whose_place_is_taken_is_refused() {
    on_a_link(|socket, v0, program| {
        tc::add_clsact(socket, v0).unwrap();
        let ours = filter(v0, Direction::Egress, &program);
        tc::add_filter(socket, &ours).unwrap();
        let error = tc::add_filter(socket, &Filter { name: "again", ..ours }).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EEXIST));
        assert_eq!(error.object(), format!("bpf on egress of interface {v0}"));
        assert_eq!(filters("egress")[0]["options"]["bpf_name"], "ours");
    });
}

#[test]
fn a_filter_without_clsact_and_one_without_a_program_are_refused() {
    on_a_link(|socket, v0, program| {
        let error = tc::add_filter(socket, &filter(v0, Direction::Ingress, &program)).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EINVAL), "{error}");
        tc::add_clsact(socket, v0).unwrap();
        let null = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let error = tc::add_filter(socket, &filter(v0, Direction::Ingress, &null)).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EINVAL), "{error}");
        assert_eq!(tc::list_filters(socket, v0, Direction::Ingress).unwrap(), []);
    });
}

#[test]
fn a_link_without_hooks_has_no_filters() {
    on_a_link(|socket, v0, _| {
        assert_eq!(tc::list_filters(socket, v0, Direction::Ingress).unwrap(), []);
        assert_eq!(tc::list_qdiscs(socket, v0).unwrap().iter().filter(|qdisc| qdisc.is_clsact()).count(), 0);
    });
}

#[test]
fn a_link_with_clsact_and_both_filters_is_made_by_one_send() {
    in_host(|host| {
        let program = load_program(Verdict::Continue).unwrap();
        let mut batch = Batch::new();
        veth::encode_create(&mut batch, &Veth { index: Some(70), ..Veth::new(name("v0"), name("v1")) });
        tc::encode_add_clsact(&mut batch, 70);
        for direction in Direction::BOTH {
            tc::encode_add_filter(&mut batch, &filter(70, direction, &program));
        }
        let mut socket = host.socket();
        socket.execute(&mut batch).unwrap();
        assert_eq!((filters("ingress").len(), filters("egress").len()), (1, 1));
        // All of it goes with the link.
        link::delete(&mut socket, 70).unwrap();
        host.assert_clean();
    });
}

#[test]
fn asking_whether_there_is_a_clsact_concerns_one_link() {
    in_host(|host| {
        ip("link add v0 type veth peer name v1");
        let mut socket = host.socket();
        let v0 = index(&mut socket, "v0");
        let gone = tc::has_clsact(&mut socket, 999).unwrap_err();
        assert_eq!(gone.errno(), Some(libc::ENODEV));
        for (command, has) in [
            (None, false),
            (Some("qdisc add dev v0 clsact"), true),
            (Some("qdisc del dev v0 clsact"), false),
            (Some("qdisc add dev v0 ingress"), false),
            (Some("qdisc del dev v0 ingress"), false),
        ] {
            if let Some(command) = command {
                let _ = tc_tool(command);
            }
            assert_eq!(tc::has_clsact(&mut socket, v0).unwrap(), has, "{command:?}");
            let listed = tc::list_qdiscs(&mut socket, v0).unwrap().iter().any(tc::Qdisc::is_clsact);
            assert_eq!(listed, has, "{command:?}");
        }
    });
}
