//! The front door: variables, versions, codes, streams.

use crate::in_host;
use crate::runtime::{Answer, Plugins, answer};
use crate::{ONE, containers, ours};
use serde_json::{Value, json};

const NAMES: [&str; 7] = ["netns-cni", "bridge", "firewall", "host-local", "loopback", "portmap", "tuning"];

fn call(plugin: &str, variables: &[(&str, &str)], input: &str) -> Answer {
    answer(&mut Plugins::ours().command(plugin, variables.iter().copied()), input.as_bytes())
}

const ADD: [(&str, &str); 4] = [
    ("CNI_COMMAND", "ADD"),
    ("CNI_CONTAINERID", "one"),
    ("CNI_NETNS", "/run/netns/none"),
    ("CNI_IFNAME", "eth0"),
];

#[test]
fn versions_are_answered_in_the_version_that_was_asked_in() {
    for name in NAMES {
        for version in ["0.3.0", "0.4.0", "1.1.0"] {
            let input = json!({ "cniVersion": version }).to_string();
            let answer = call(name, &[("CNI_COMMAND", "VERSION")], &input).fine();
            assert_eq!(answer["cniVersion"], version);
            assert_eq!(answer["supportedVersions"], json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
        }
        assert_eq!(call(name, &[("CNI_COMMAND", "VERSION")], "").fine()["cniVersion"], "1.1.0");
    }
}

#[test]
fn without_a_command_it_says_what_it_is() {
    let answer = call("bridge", &[], "");
    assert_eq!((answer.code, &answer.out), (Some(0), &Value::Null));
    assert!(answer.err.starts_with("CNI plugin bridge "), "{}", answer.err);
    assert!(answer.err.contains("0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"), "{}", answer.err);
}

#[test]
fn failures_are_json_on_stdout_with_the_codes_of_the_specification() {
    let with = |name: &str, value: &str| {
        let mut all: Vec<_> = ADD.into_iter().filter(|(other, _)| *other != name).collect();
        all.push((
            match name {
                "CNI_COMMAND" => "CNI_COMMAND",
                "CNI_CONTAINERID" => "CNI_CONTAINERID",
                _ => "CNI_IFNAME",
            },
            match value {
                "PUT" => "PUT",
                "a/b" => "a/b",
                "GC" => "GC",
                "CHECK" => "CHECK",
                _ => "",
            },
        ));
        all
    };
    let good = json!({"cniVersion": "1.0.0", "name": "net1", "type": "bridge"});
    let conf = |key: &str, value: Value| {
        let mut conf = good.clone();
        conf[key] = value;
        conf.to_string()
    };
    for (variables, input, code, words) in [
        (with("CNI_COMMAND", "PUT"), good.to_string(), 4, "CNI_COMMAND is \"PUT\""),
        (with("CNI_IFNAME", ""), good.to_string(), 4, "missing: CNI_IFNAME"),
        (with("CNI_CONTAINERID", "a/b"), good.to_string(), 4, "CNI_CONTAINERID is \"a/b\""),
        (ADD.to_vec(), "{".to_owned(), 6, "stdin"),
        (ADD.to_vec(), "[]".to_owned(), 6, "not an object"),
        (ADD.to_vec(), conf("name", Value::Null), 7, "missing network name"),
        (ADD.to_vec(), conf("name", json!("../net")), 7, "../net"),
        (ADD.to_vec(), conf("name", json!(7)), 6, "name is 7"),
        (ADD.to_vec(), conf("cniVersion", json!("0.2.0")), 1, "0.2.0"),
        (ADD.to_vec(), conf("cniVersion", json!("1.2.0")), 1, "1.2.0"),
        (ADD.to_vec(), conf("cniVersion", Value::Null), 1, "0.1.0"),
        (with("CNI_COMMAND", "GC"), good.to_string(), 1, "GC"),
        (with("CNI_COMMAND", "CHECK"), conf("cniVersion", json!("0.3.1")), 1, "CHECK"),
        (ADD.to_vec(), good.to_string(), 3, "/run/netns/none"),
        (ADD.to_vec(), conf("isGateway", json!("yes")), 6, "isGateway is \"yes\""),
        (ADD.to_vec(), conf("mtu", json!(-1)), 6, "mtu is -1"),
        (ADD.to_vec(), conf("vlan", json!(100)), 2, "\"vlan\" with the value 100"),
        (ADD.to_vec(), conf("vlanTrunk", json!([{"id": 7}])), 2, "\"vlanTrunk\" with the value [{\"id\":7}]"),
        (ADD.to_vec(), conf("enabledad", json!(true)), 2, "\"enabledad\" with the value true"),
        (ADD.to_vec(), conf("ipam", json!({"type": "host-local"})), 7, "no ranges"),
        (ADD.to_vec(), conf("bridge", json!("a/b")), 7, "bridge"),
        (ADD.to_vec(), conf("runtimeConfig", json!({"mac": "01:00:00:00:00:01"})), 7, "mac is 01:00"),
    ] {
        let answer = call("bridge", &variables, &input);
        assert_eq!((answer.code, answer.err.as_str()), (Some(1), ""), "{input}");
        let json: Value = serde_json::from_str(&input).unwrap_or_default();
        let version = json["cniVersion"].as_str().unwrap_or("1.1.0").to_owned();
        assert_eq!(answer.out["cniVersion"], version, "{input}");
        let (given, text) = answer.failure();
        assert_eq!(given, code, "{input}: {text}");
        assert!(text.contains(words), "{input}: {text}");
    }
}

/// Keys that nobody knows, `null`s, and other spellings of a key, as the reference takes them.
#[test]
fn unknown_keys_are_passed_over() {
    in_host(|_| {
        containers(&["one"]);
        let mut runtime = ours("1.0.0");
        let plugin = &mut runtime.list["plugins"][0];
        plugin["color"] = json!({"of": "sky"});
        plugin["mtu"] = Value::Null;
        plugin["ISGATEWAY"] = plugin["isGateway"].take();
        plugin["vlan"] = json!(0);
        let result = runtime.add(ONE).fine();
        assert!(tests::ip("addr show cni0").contains("10.88.1.1/24"), "ISGATEWAY is isGateway");
        runtime.del(ONE, &result).fine();
    });
}

#[test]
fn arguments_that_are_unknown_are_refused_unless_they_may_be() {
    in_host(|_| {
        containers(&["one"]);
        let mut runtime = ours("1.0.0");
        for (arguments, words) in [("A=B", "A=B"), ("A", "no pair"), ("IgnoreUnknown=7;A=B", "neither")] {
            arguments.clone_into(&mut runtime.arguments);
            let (code, text) = runtime.add(ONE).failure();
            assert_eq!(code, 4, "{text}");
            assert!(text.contains(words), "{text}");
        }
        "K8S_POD_NAME=a;IgnoreUnknown=1;IP=10.88.1.77;MAC=02:00:00:00:00:77"
            .clone_into(&mut runtime.arguments);
        let result = runtime.add(ONE).fine();
        assert_eq!(result["ips"][0]["address"], "10.88.1.77/24");
        assert_eq!(result["interfaces"][2]["mac"], "02:00:00:00:00:77");
        runtime.del(ONE, &result).fine();
    });
}

/// An interface of a container is never made, changed or deleted in the host.
#[test]
fn the_hosts_own_namespace_is_refused() {
    in_host(|_| {
        let runtime = ours("1.0.0");
        tests::ip("link add eth0 type veth peer name eth1");
        let own = crate::Attachment { netns: "/proc/thread-self/ns/net", ..ONE };
        for answer in [runtime.add(own), runtime.del(own, &Value::Null)] {
            let (code, text) = answer.failure();
            assert_eq!(code, 8, "{text}");
            assert!(text.contains("CNI_NETNS"), "{text}");
        }
        assert_eq!(crate::links(), ["eth1", "eth0"]);
    });
}

#[test]
fn a_name_that_is_no_plugin_of_ours_is_refused() {
    let scratch = tests::Scratch::new();
    let link = |name: &str| {
        let path = scratch.path().join(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_netns-cni"), &path).expect("a link");
        let mut command = std::process::Command::new(path);
        answer(command.env_clear().env("CNI_COMMAND", "VERSION"), b"{}")
    };
    let (code, text) = link("bandwidth").failure();
    assert_eq!((code, text.contains("\"bandwidth\"")), (7, true), "{text}");
    link("netns-cni-0.1").fine();
}
