//! Which of two calls on a bridge waits for the other.

use crate::stale::{collecting, straced, trace};
use crate::{ONE, TWO, assert_nothing, containers, in_host, links, ours};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Child, Command, Stdio};

/// The file that `strace` writes of the call that is stopped.
const STOPPED: &str = "/run/stopped";

fn start(command: &mut Command, input: &[u8]) -> Child {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
    child
}

/// The process that was stopped, once it is.
fn stopped() -> String {
    loop {
        let text = std::fs::read_to_string(STOPPED).unwrap_or_default();
        if let Some(line) = text.lines().find(|line| line.contains("stopped by SIGSTOP")) {
            return line.split(' ').next().expect("a process").to_owned();
        }
        std::thread::yield_now();
    }
}

/// Until it has ended, or sleeps between two attempts to get a lock.
fn ends_or_naps(child: &mut Child) {
    let wchan = format!("/proc/{}/wchan", child.id());
    let naps = || std::fs::read_to_string(&wchan).is_ok_and(|function| function.contains("nanosleep"));
    while child.try_wait().expect("a child").is_none() && !naps() {
        std::thread::yield_now();
    }
}

/// An `ADD` that has found the bridge and has no port on it yet is not overtaken by the `GC` of another network, which would
/// remove the bridge and its program.
#[test]
fn gc_waits_for_an_add_on_the_same_bridge() {
    for guard in [Value::Null, json!("enforce")] {
        in_host(|_| {
            containers(&["one", "two"]);
            let mut runtime = ours("1.1.0");
            runtime.list["plugins"][0]["guard"] = guard;
            let mut other = ours("1.1.0");
            other.list["name"] = json!("net2");
            for (network, one) in [(&other, TWO), (&runtime, ONE)] {
                let result = network.add(one).fine();
                network.del(one, &result).fine();
            }
            let (command, input) = runtime.prepare_first("ADD", ONE, &Value::Null);
            let added = trace(&command, &input);
            runtime.del(ONE, &Value::Null).fine();
            // It stops after the request before the one that makes the pair.
            let requests = added.lines().filter(|line| line.contains("sendto("));
            let makes = |line: &&str| line.contains("RTM_NEWLINK") && line.contains("veth");
            let before = requests.take_while(|line| !makes(line)).count();
            assert!(before > 1, "{added}");
            let inject = format!("inject=sendto:signal=STOP:when={before}");
            let options = ["-o", STOPPED, "-e", "trace=sendto", "-e", &inject];
            let mut adding = start(&mut straced(&options, &command), &input);
            let process = stopped();
            let (mut command, input) = collecting(&other);
            let mut collecting = start(&mut command, &input);
            ends_or_naps(&mut collecting);
            let go_on = Command::new("kill").args(["-CONT", &process]).status();
            assert!(go_on.expect("kill").success());
            let codes = [&mut adding, &mut collecting].map(|child| child.wait().expect("it ends").code());
            assert_eq!(codes, [Some(0), Some(0)]);
            assert_eq!(links().len(), 2, "{:?}", links());
            runtime.gc(&[]).fine();
            assert_nothing();
        });
    }
}
