//! The command line as its users meet it: the program itself, in a host of its own, judged by its output, its exit
//! codes, and what Debian's tools see.

mod alerts;
mod attack;
mod barrier;
mod clean;
mod commands;
mod counting;
mod destinations;
mod enforcement;
mod held;
mod host_policy;
mod hosts;
mod input;
mod interrupt;
mod keys;
mod keys_lists;
mod late_ports;
mod limited;
mod limits;
mod live;
mod live_panes;
mod manual;
mod metrics;
mod names;
mod net;
mod observe;
mod observe_judged;
mod observe_scale;
mod observed_lab;
mod ours;
mod ours_observed;
mod ours_topology;
mod quiet;
mod run;
mod shared_settings;
mod takeover;
mod topology;
mod topology_drawn;
mod topology_drift;
mod topology_egress;
mod topology_faults;
mod topology_groups;
mod topology_guest;
mod topology_indexes;
mod topology_labs;
mod topology_many;
mod topology_nat;
mod topology_policy;
mod topology_watch;
mod tutorial;
mod unit;
mod unmatched;
mod unrecorded;
mod vlan;
mod watched;
mod words;

use serde_json::Value;
use std::process::{Command, Output, Stdio};
use tests::{ip, run as run_tool, tc};

/// `netns`, without arguments.
fn bare() -> Command {
    Command::new(env!("CARGO_BIN_EXE_netns"))
}

/// `netns ARGUMENTS`, split at white space.
fn xtask(arguments: &str) -> Command {
    let mut command = bare();
    command.args(arguments.split_whitespace()).stdin(Stdio::null());
    command
}

/// What a command did.
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

fn done(command: &mut Command) -> Done {
    finished(command.output().expect("netns starts"))
}

fn finished(output: Output) -> Done {
    Done {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("stdout in UTF-8"),
        err: String::from_utf8(output.stderr).expect("stderr in UTF-8"),
    }
}

impl Done {
    /// The JSON lines of this type.
    fn lines(&self, kind: &str) -> Vec<Value> {
        let lines = self.out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
        lines.filter(|line: &Value| line["type"] == kind).collect()
    }
}

/// Everything of the host that a run could change, as Debian's tools show it.
fn state_of_the_host() -> [String; 6] {
    [
        ip("netns list"),
        ip("-o link show"),
        // Duplicate detection ends in its own time.
        ip("-o addr show").replace(" tentative", ""),
        tc("qdisc show"),
        std::fs::read_to_string("/proc/thread-self/mountinfo").expect("mounts"),
        run_tool(Command::new("cat").args(["/proc/sys/net/ipv4/ip_forward"]))
            + &run_tool(
                Command::new("sh").args(["-c", "cat /proc/sys/net/ipv4/conf/*/forwarding; ls -A /run"]),
            ),
    ]
}
