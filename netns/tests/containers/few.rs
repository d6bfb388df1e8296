//! The second table: the capabilities that each command needs. With exactly those it does its job; without any one of
//! them it names the missing one.

use crate::answers::{
    Answer, COUNTED_BY_KERNEL, COUNTED_WITHOUT_PERFMON, DONE, NET_ADMIN_IN_CONTAINER, NO_BRIDGE,
    NO_NAMESPACE, NO_PROGRAM, NO_PROGRAM_WITHOUT_PERFMON, RUN_WITHOUT_NET_ADMIN, RUN_WITHOUT_NET_RAW,
    RUN_WITHOUT_SYS_ADMIN, SYS_ADMIN_IN_CONTAINER,
};
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
    pub(crate) without: &'static [(&'static str, Answer)],
}

pub(crate) const NEEDS: [Needs; 7] = [
    Needs { name: "run", command: "`run`", without: &RUN },
    Needs { name: "enforce", command: "`run --enforce`", without: &RUN },
    Needs {
        name: "up",
        command: "`up`",
        without: &[("net_admin", NET_ADMIN_IN_CONTAINER), ("sys_admin", SYS_ADMIN_IN_CONTAINER)],
    },
    Needs {
        name: "observe",
        command: "`observe`",
        without: &[
            ("bpf", COUNTED_BY_KERNEL),
            ("net_admin", COUNTED_BY_KERNEL),
            ("perfmon", COUNTED_WITHOUT_PERFMON),
        ],
    },
    Needs { name: "netns", command: "`netns add`", without: &[("sys_admin", SYS_ADMIN_IN_CONTAINER)] },
    Needs {
        name: "create",
        command: "`Network::create`",
        without: &[("net_admin", NO_BRIDGE), ("sys_admin", NO_NAMESPACE)],
    },
    Needs {
        name: "load",
        command: "`Monitor::load`",
        without: &[("bpf", NO_PROGRAM), ("net_admin", NO_PROGRAM), ("perfmon", NO_PROGRAM_WITHOUT_PERFMON)],
    },
];
const RUN: [(&str, Answer); 3] = [
    ("net_admin", RUN_WITHOUT_NET_ADMIN),
    ("net_raw", RUN_WITHOUT_NET_RAW),
    ("sys_admin", RUN_WITHOUT_SYS_ADMIN),
];

#[test]
fn each_command_needs_these_capabilities_and_no_others() {
    in_host(|_| {
        let mut world = World::new(0);
        ip("link add outside type bridge");
        ip("link set outside up");
        let mut differences = String::new();
        for Needs { name, command, without } in &NEEDS {
            let all: Vec<&str> = without.iter().map(|(capability, _)| *capability).collect();
            let mut tries = vec![("nothing", all.clone(), DONE)];
            for &(missing, answer) in *without {
                let others = all.iter().copied().filter(|capability| *capability != missing).collect();
                tries.push((missing, others, answer));
            }
            for (missing, capabilities, (code, said)) in tries {
                let outcomes = world.enter(&with(name, &capabilities));
                let [outcome] = &outcomes[..] else { panic!("one outcome: {}", world.log()) };
                if (outcome.code, outcome.said.as_str()) != (code, said) {
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
