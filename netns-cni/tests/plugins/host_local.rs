//! `host-local` by itself, and beside the reference's on the same folder.

use crate::in_host;
use crate::runtime::Runtime;
use crate::runtime::{Plugins, answer, debians_folder};
use crate::{Attachment, DATA, ONE, TWO, containers, files, network, reserved};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn alone(plugins: Plugins, ipam: Value) -> Runtime {
    let mut ipam = ipam;
    ipam["type"] = json!("host-local");
    ipam["dataDir"] = json!(DATA);
    Runtime::new(
        plugins,
        json!({"cniVersion": "1.0.0", "name": "net1", "plugins": [{"type": "host-local", "ipam": ipam}]}),
    )
}

const NOWHERE: Attachment<'_> = Attachment { container: "one", netns: "/none", interface: "eth0" };

/// The same folder, file by file, after the same calls.
#[test]
fn files_are_as_the_reference_writes_them() {
    in_host(|_| {
        let ipam = json!({
            "ranges": [[{"subnet": "10.88.1.0/29"}, {"subnet": "10.88.2.0/29"}], [{"subnet": "fd00:88::/125"}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.0.0.0/8", "gw": "10.88.1.3"}],
        });
        let runs = [Plugins::ours(), Plugins::debians()].map(|plugins| {
            let runtime = alone(plugins, ipam.clone());
            let mut answers = Vec::new();
            for container in ["a", "b", "c", "d", "e", "f", "g"] {
                let one = Attachment { container, ..NOWHERE };
                answers.push(without_empty_dns(runtime.add(one).out));
            }
            for container in ["b", "c", "nobody"] {
                let answer = runtime.del(Attachment { container, ..NOWHERE }, &Value::Null);
                assert_eq!(answer.code, Some(0));
            }
            let folder = Path::new(DATA).join("net1");
            let contents: Vec<(String, String)> = files(&folder)
                .into_iter()
                .map(|name| (name.clone(), fs::read_to_string(folder.join(name)).expect("a file")))
                .collect();
            fs::remove_dir_all(DATA).expect("the folder");
            // Words of failures are each plugin's own.
            answers.retain(|answer| answer.get("code").is_none());
            (answers, contents)
        });
        assert_eq!(runs[0], runs[1], "left ours, right Debian's");
        assert!(
            runs[0].1.iter().any(|(name, text)| name == "10.88.1.2" && text == "a\r\neth0"),
            "{:?}",
            runs[0].1
        );
    });
}

fn without_empty_dns(mut result: Value) -> Value {
    if result["dns"] == json!({}) {
        result.as_object_mut().expect("an object").remove("dns");
    }
    result
}

/// Each gives back what the other has reserved, and sees it as taken.
#[test]
fn both_may_be_used_on_one_folder() {
    in_host(|_| {
        let ipam = json!({"subnet": "10.88.1.0/29"});
        let (ours, theirs) = (alone(Plugins::ours(), ipam.clone()), alone(Plugins::debians(), ipam));
        let address = |result: Value| result["ips"][0]["address"].as_str().expect("an address").to_owned();
        let second = Attachment { container: "two", ..NOWHERE };
        assert_eq!(address(ours.add(NOWHERE).fine()), "10.88.1.2/29");
        assert_eq!(address(theirs.add(second).out), "10.88.1.3/29");
        assert_eq!(ours.check(second, &Value::Null).code, Some(0));
        assert_eq!(theirs.check(NOWHERE, &Value::Null).code, Some(0));
        assert_eq!(theirs.del(NOWHERE, &Value::Null).code, Some(0));
        assert_eq!(reserved(), ["10.88.1.3"]);
        ours.del(second, &Value::Null).fine();
        assert_eq!(reserved(), Vec::<String>::new());
        // Of a version before 0.8, which did not write the interface.
        fs::write(Path::new(DATA).join("net1/10.88.1.5"), "one").expect("a file");
        ours.check(NOWHERE, &Value::Null).fine();
        ours.del(NOWHERE, &Value::Null).fine();
        assert_eq!(reserved(), Vec::<String>::new());
    });
}

#[test]
fn addresses_run_out_are_asked_for_and_are_given_once() {
    in_host(|_| {
        let mut runtime = alone(Plugins::ours(), json!({"subnet": "10.88.1.0/29"}));
        let at = |container| Attachment { container, ..NOWHERE };
        for container in ["a", "b", "c", "d", "e"] {
            runtime.add(at(container)).fine();
        }
        let (code, text) = runtime.add(at("f")).failure();
        assert_eq!((code, text.contains("10.88.1.1-10.88.1.6")), (101, true), "{text}");
        runtime.del(at("c"), &Value::Null).fine();
        assert_eq!(runtime.add(at("a")).failure().0, 100, "it has one");
        runtime.list["plugins"][0]["args"] = json!({"cni": {"ips": ["10.88.1.6"]}});
        assert_eq!(runtime.add(at("f")).failure().0, 101, "it is taken");
        runtime.list["plugins"][0]["args"] = json!({"cni": {"ips": ["10.88.1.1"]}});
        assert_eq!(runtime.add(at("f")).failure().0, 7, "it is the gateway's");
        runtime.list["plugins"][0]["args"] = json!({"cni": {"ips": ["10.88.7.1"]}});
        assert_eq!(runtime.add(at("f")).failure().0, 7, "it is of no range");
        assert_eq!(reserved().len(), 4, "what was reserved before the refusal is given back");
        runtime.list["plugins"][0]["args"] = json!({"cni": {"ips": ["10.88.1.4/29"]}});
        assert_eq!(runtime.add(at("f")).fine()["ips"][0]["address"], "10.88.1.4/29");
    });
}

#[test]
fn resolvers_come_from_a_file() {
    in_host(|_| {
        fs::write("/run/resolv", "# no\nnameserver 10.1.1.1\nsearch a b\ndomain c\noptions d e\nnonsense\n")
            .unwrap();
        let ipam = json!({"subnet": "10.88.1.0/29", "resolvConf": "/run/resolv"});
        for plugins in [Plugins::ours(), Plugins::debians()] {
            let result = alone(plugins, ipam.clone()).add(NOWHERE).out;
            let expected = json!({"nameservers": ["10.1.1.1"], "search": ["a", "b"], "domain": "c", "options": ["d", "e"]});
            assert_eq!(result["dns"], expected);
            fs::remove_dir_all(DATA).expect("the folder");
        }
        let ipam = json!({"subnet": "10.88.1.0/29", "resolvConf": "/run/none"});
        assert_eq!(alone(Plugins::ours(), ipam).add(NOWHERE).failure().0, 5);
        assert_eq!(reserved(), Vec::<String>::new());
    });
}

/// The reference's `bridge` on our `host-local`, and ours on theirs by another name.
#[test]
fn it_serves_the_references_bridge() {
    in_host(|_| {
        containers(&["one", "two"]);
        let scratch = tests::Scratch::new();
        for name in ["bridge", "portmap"] {
            std::os::unix::fs::symlink(format!("{}/{name}", debians_folder()), scratch.path().join(name))
                .expect("a link");
        }
        let theirs = Runtime::new(Plugins::ours().with_folder(scratch.path()), network("1.0.0"));
        let result = theirs.add(ONE).out;
        assert_eq!(result["ips"][0]["address"], "10.88.1.2/24", "{result}");
        std::os::unix::fs::symlink(
            format!("{}/host-local", debians_folder()),
            scratch.path().join("other-local"),
        )
        .expect("a link");
        let mut ours = Runtime::new(Plugins::ours().with_folder(scratch.path()), network("1.0.0"));
        fs::remove_file(scratch.path().join("bridge")).expect("the link");
        ours.list["plugins"][0]["ipam"]["type"] = json!("other-local");
        let second = ours.add(TWO).fine();
        assert_eq!(second["ips"][0]["address"], "10.88.1.3/24");
        crate::reaches(Some("one"), "10.88.1.3");
        ours.check(TWO, &second).fine();
        ours.del(TWO, &second).fine();
        ours.del(ONE, &result).fine();
        assert_eq!(reserved(), Vec::<String>::new());
        assert_eq!(crate::links(), ["cni0"]);
    });
}

/// Who is given a version that has no GC is not collected.
#[test]
fn loopback_comes_up_and_goes_down() {
    in_host(|_| {
        containers(&["one"]);
        let list = json!({"cniVersion": "1.0.0", "name": "lo", "plugins": [{"type": "loopback"}]});
        let at = Attachment { interface: "lo", ..ONE };
        let results = [Plugins::ours(), Plugins::debians()].map(|plugins| {
            let runtime = Runtime::new(plugins, list.clone());
            let result = without_empty_dns(runtime.add(at).out);
            assert_eq!(runtime.check(at, &result).code, Some(0));
            assert_eq!(runtime.del(at, &result).code, Some(0));
            assert_ne!(runtime.check(at, &result).code, Some(0));
            result
        });
        assert_eq!(results[0], results[1]);
        assert_eq!(results[0]["interfaces"][0]["sandbox"], "/run/netns/one");
        let runtime = Runtime::new(Plugins::ours(), list);
        let (mut command, input) = runtime.prepare_first(
            "ADD",
            at,
            &json!({"cniVersion": "1.0.0", "ips": [{"address": "1.2.3.4/5"}]}),
        );
        let passed = without_empty_dns(answer(&mut command, &input).fine());
        assert_eq!(passed, json!({"cniVersion": "1.0.0", "ips": [{"address": "1.2.3.4/5"}]}));
    });
}
