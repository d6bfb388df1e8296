//! A thousand containers on one bridge.

use crate::runtime::{Plugins, Runtime};
use crate::{assert_nothing, in_host, network};
use netns_core::Namespace;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tests::ip;

/// What a bridge takes.
const PORTS: u32 = 1023;

/// In one call all that there is, for a thousand containers.
fn everything() -> Runtime {
    let mut list = network("1.1.0");
    let plugin = &mut list["plugins"][0];
    plugin["type"] = json!("netns-cni");
    plugin["ipMasq"] = json!(true);
    plugin["guard"] = json!("enforce");
    plugin["firewall"] = json!({"ingressPolicy": "same-bridge"});
    plugin["capabilities"] = json!({"portMappings": true});
    plugin["ipam"]["ranges"] = json!([[{"subnet": "10.88.0.0/16"}], [{"subnet": "fd00:88::/64"}]]);
    Runtime::new(Plugins::ours(), list)
}

fn add(runtime: &mut Runtime, number: u32) -> Value {
    let (container, netns) = (format!("c{number}"), format!("/run/netns/c{number}"));
    runtime.capabilities =
        json!({"portMappings": [{"hostPort": 20_000 + number, "containerPort": 80, "protocol": "tcp"}]});
    let one = crate::Attachment { container: &container, netns: &netns, interface: "eth0" };
    runtime.add(one).fine()
}

/// The most memory that the process of an `ADD` ever had, in KiB: as it is about to write its result, into a pipe that is
/// full.
fn memory_of_add(runtime: &mut Runtime, number: u32) -> u64 {
    let (container, netns) = (format!("c{number}"), format!("/run/netns/c{number}"));
    runtime.capabilities =
        json!({"portMappings": [{"hostPort": 20_000 + number, "containerPort": 80, "protocol": "tcp"}]});
    let one = crate::Attachment { container: &container, netns: &netns, interface: "eth0" };
    let (mut command, input) = runtime.prepare_first("ADD", one, &Value::Null);
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    // As much as pipes hold by default.
    writer.write_all(&vec![b' '; 1 << 16]).expect("room");
    let mut child = command.stdin(Stdio::piped()).stdout(writer).spawn().expect("it starts");
    // Its end of the pipe.
    drop(command);
    child.stdin.take().unwrap().write_all(&input).expect("it reads");
    let of_process = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", child.id()));
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        // The number of `write`, and its descriptor: it waits for room in the pipe.
        let call = of_process("syscall").expect("a process");
        if call.split(' ').nth(1) == Some("0x1")
            && call.split(' ').nth(3) != Some("0x0")
            && call.starts_with(WRITE)
        {
            break;
        }
        assert!(Instant::now() < deadline, "it does not come to its end: {call}");
        std::thread::sleep(Duration::from_millis(1));
    }
    let status = of_process("status").expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line");
    let memory = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number");
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("a result");
    assert!(child.wait().expect("it ends").success());
    let result: Value = serde_json::from_str(&text).expect("a result");
    assert!(result["ips"][0]["address"].is_string(), "{result}");
    memory
}

/// `__NR_write`.
const WRITE: &str = if cfg!(target_arch = "x86_64") { "1 " } else { "64 " };

#[test]
fn a_hundred_containers() {
    many(100);
}

#[test]
#[ignore = "it takes five to seven minutes on a busy machine"]
fn a_thousand_containers() {
    many(1000);
}

/// What an `ADD` may take, in KiB. Of a program that is not optimised a good part is its code, so the promise of 8 MB is held
/// by `cargo test --release`.
const MOST_MEMORY: u64 = if cfg!(debug_assertions) { 10 << 10 } else { 8 << 10 };

/// The same runtime, whose plugin may have fewer descriptors open than there are containers.
fn with_few_descriptors(runtime: &Runtime) -> Runtime {
    let folder = Path::new("/run/limited");
    fs::create_dir_all(folder.join("unlimited")).expect("a folder");
    symlink(env!("CARGO_BIN_EXE_netns-cni"), folder.join("unlimited/netns-cni")).expect("a link");
    let script = folder.join("netns-cni");
    fs::write(&script, "#!/bin/sh\nulimit -n 64\nexec /run/limited/unlimited/netns-cni\n").expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("chmod");
    Runtime::new(Plugins::ours().with_folder(folder), runtime.list.clone())
}

/// The containers are all there, each with an address, a slot and rules of its own; an `ADD` takes no more than [`MOST_MEMORY`] in
/// the beginning and in the end; a full bridge is an error that says so; and `GC` with few descriptors leaves nothing.
fn many(containers: u32) {
    in_host(|_| {
        let mut runtime = everything();
        for number in (0..containers + 2).chain([PORTS]) {
            Namespace::create(&format!("c{number}")).expect("a namespace");
        }
        let mut addresses = BTreeSet::new();
        let mut results = Vec::new();
        let mut memory = Vec::new();
        for number in 0..containers {
            if number == 1 {
                memory.push(memory_of_add(&mut runtime, PORTS));
            }
            let result = add(&mut runtime, number);
            addresses.insert(result["ips"][0]["address"].as_str().expect("an address").to_owned());
            results.push(result);
        }
        assert_eq!(addresses.len(), containers as usize);
        memory.push(memory_of_add(&mut runtime, containers));
        eprintln!("the most memory of an ADD, in KiB, with the 2nd and the {containers}th: {memory:?}");
        assert!(memory.iter().all(|&most| most < MOST_MEMORY), "{memory:?} KiB");
        let (first, last) = (&results[0], results.last().unwrap());
        let end = format!("c{}", containers - 1);
        for (name, result) in [("c0", last), (&*end, first)] {
            let address = result["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap();
            crate::reaches(Some(name), address);
        }
        let attachment = crate::Attachment { container: "c0", netns: "/run/netns/c0", interface: "eth0" };
        runtime.capabilities =
            json!({"portMappings": [{"hostPort": 20_000, "containerPort": 80, "protocol": "tcp"}]});
        runtime.check(attachment, first).fine();
        runtime.del(attachment, first).fine();
        assert_eq!(crate::guard::held("cni0").expect("a program").ports().len(), containers as usize + 1);
        // A bridge that is full is an error that says so, and leaves what there is.
        let ports = crate::links().len() as u32 - 1;
        let lines = |line: fn(u32) -> String| (ports..PORTS).map(line).collect::<Vec<_>>().join("\n");
        let batch = |name: &str, lines: String| {
            fs::write(format!("/run/{name}"), lines + "\n").unwrap();
            let _ = ip(&format!("-batch /run/{name}"));
        };
        batch("make", lines(|number| format!("link add full{number} type veth peer name peer{number}")));
        batch("join", lines(|number| format!("link set full{number} master cni0")));
        runtime.list["plugins"][0]["guard"] = Value::Null;
        let netns = format!("/run/netns/c{}", containers + 1);
        let attachment = crate::Attachment { container: "last", netns: &netns, ..attachment };
        let (code, text) = runtime.add(attachment).failure();
        assert_eq!((code, text.contains("cni0")), (50, true), "{text}");
        assert!(text.contains("all the ports that it can have"), "{text}");
        let (code, text) = runtime.status().failure();
        assert_eq!((code, text.contains("all the ports that it can have")), (50, true), "{text}");
        assert_eq!(ip(&format!("-n c{} link show type veth", containers + 1)), "");
        batch("group", lines(|number| format!("link set full{number} group 7777")));
        ip("link delete group 7777");
        runtime.list["plugins"][0]["guard"] = json!("enforce");
        with_few_descriptors(&runtime).gc(&[]).fine();
        assert_nothing();
    });
}
