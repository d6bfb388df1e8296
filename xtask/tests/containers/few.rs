//! The second table: the capabilities that each command needs. With exactly those it does its job, without any one of
//! them it says which is missing.

use crate::rows::matches;
use crate::world::World;
use std::fmt::Write;
use tests::{in_host, ip, oracle};

/// What a command needs.
#[derive(Debug)]
pub(crate) struct Needs {
    /// The script's name for the command.
    name: &'static str,
    /// Its name in the table.
    pub(crate) command: &'static str,
    /// Each capability that it needs, as `setpriv` calls it, and what happens without it: exit code, standard error.
    pub(crate) without: &'static [(&'static str, i32, &'static str)],
}

pub(crate) const NEEDS: [Needs; 7] = [
    Needs {
        name: "run",
        command: "`run`",
        without: &[
            (
                "net_admin",
                1,
                "error: this takes CAP_NET_ADMIN; run it as root: sudo -E env \"PATH=$PATH\" cargo xtask run (and without root: write /proc/self/uid_map: write: Operation not permitted (os error 1))",
            ),
            (
                "net_raw",
                1,
                "error: this takes CAP_NET_RAW; run it as root: sudo -E env \"PATH=$PATH\" cargo xtask run (and without root: write /proc/self/uid_map: write: Operation not permitted (os error 1))",
            ),
            (
                "sys_admin",
                1,
                "error: this takes CAP_SYS_ADMIN; run it as root: sudo -E env \"PATH=$PATH\" cargo xtask run (and without root: write /proc/self/uid_map: write: Operation not permitted (os error 1))",
            ),
        ],
    },
    Needs {
        name: "enforce",
        command: "`run --enforce`",
        without: &[
            (
                "net_admin",
                1,
                "error: this takes CAP_NET_ADMIN; run it as root: sudo -E env \"PATH=$PATH\" cargo xtask run (and without root: write /proc/self/uid_map: write: Operation not permitted (os error 1))",
            ),
            (
                "net_raw",
                1,
                "error: this takes CAP_NET_RAW; run it as root: sudo -E env \"PATH=$PATH\" cargo xtask run (and without root: write /proc/self/uid_map: write: Operation not permitted (os error 1))",
            ),
            (
                "sys_admin",
                1,
                "error: this takes CAP_SYS_ADMIN; run it as root: sudo -E env \"PATH=$PATH\" cargo xtask run (and without root: write /proc/self/uid_map: write: Operation not permitted (os error 1))",
            ),
        ],
    },
    Needs {
        name: "up",
        command: "`up`",
        without: &[
            (
                "net_admin",
                2,
                "error: set link interface 1: Operation not permitted (os error 1); what was done is undone",
            ),
            (
                "sys_admin",
                2,
                "error: enter namespace: setns to the present one: Operation not permitted (os error 1); run as root",
            ),
        ],
    },
    Needs {
        name: "observe",
        command: "`observe`",
        without: &[
            (
                "net_admin",
                1,
                "error: this takes CAP_NET_ADMIN; run it as root: sudo -E env \"PATH=$PATH\" cargo xtask observe",
            ),
            (
                "net_raw",
                1,
                "error: this takes CAP_NET_RAW; run it as root: sudo -E env \"PATH=$PATH\" cargo xtask observe",
            ),
            (
                "sys_admin",
                1,
                "error: this takes CAP_SYS_ADMIN; run it as root: sudo -E env \"PATH=$PATH\" cargo xtask observe",
            ),
        ],
    },
    Needs {
        name: "netns",
        command: "`netns add`",
        without: &[(
            "sys_admin",
            2,
            "error: create namespace: setns to the present one: Operation not permitted (os error 1); run as root",
        )],
    },
    Needs {
        name: "create",
        command: "`Network::create`",
        without: &[
            ("net_admin", 2, "create bridge first: Operation not permitted (os error 1)"),
            (
                "sys_admin",
                2,
                "enter namespace: setns to the present one: Operation not permitted (os error 1)",
            ),
        ],
    },
    Needs {
        name: "load",
        command: "`Monitor::load`",
        without: &[
            (
                "bpf",
                2,
                "create the map *: Operation not permitted (os error 1): loading eBPF programs needs CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN) in the initial user namespace; run as root",
            ),
            (
                "net_admin",
                2,
                "load the program port_ingress: Operation not permitted (os error 1): loading eBPF programs needs CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN) in the initial user namespace; run as root",
            ),
            (
                "perfmon",
                2,
                "the kernel's verifier refused the program port_ingress: Permission denied (os error 13); it says:*",
            ),
        ],
    },
];

#[test]
fn each_command_needs_these_capabilities_and_no_others() {
    in_host(|_| {
        let mut world = World::new(0);
        ip("link add outside type bridge");
        ip("link set outside up");
        let mut differences = String::new();
        for Needs { name, command, without } in &NEEDS {
            let all: Vec<&str> = without.iter().map(|(capability, ..)| *capability).collect();
            let mut tries = vec![("nothing", all.clone(), (0, ""))];
            for &(missing, code, said) in *without {
                let others = all.iter().copied().filter(|capability| *capability != missing).collect();
                tries.push((missing, others, (code, said)));
            }
            for (missing, capabilities, (code, said)) in tries {
                let outcomes = world.enter(&with(name, &capabilities));
                let [outcome] = &outcomes[..] else { panic!("one outcome: {}", world.log()) };
                if outcome.code != code || !matches(said, &outcome.said) {
                    let (code, said) = (outcome.code, &outcome.said);
                    let _ = writeln!(differences, "{command} without {missing}: ({code}, {said:?})");
                }
            }
        }
        assert!(differences.is_empty(), "not what the table says:\n{differences}");
    });
}

/// The command, by a root of these capabilities.
fn with(name: &str, capabilities: &[&str]) -> Vec<String> {
    let set: Vec<String> = capabilities.iter().map(|capability| format!(",+{capability}")).collect();
    let script = format!(
        "export PATH={root}/bin OUT={root}/out FILES={root}/files COMMANDS={name}; exec {setpriv} --inh-caps=-all \
         --bounding-set=-all{set} /bin/sh $FILES/commands.sh",
        root = "/tmp/engine/root",
        setpriv = oracle("setpriv").get_program().display(),
        set = set.concat(),
    );
    vec!["/bin/sh".to_owned(), "-c".to_owned(), script]
}
