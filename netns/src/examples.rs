//! The examples with which each command's help ends.

use clap::Command;

/// The words of a command, and examples of it.
const EXAMPLES: &[(&str, &[&str])] = &[
    ("", &["netns run", "netns observe docker0", "netns -n ns1 addr show"]),
    (
        "run",
        &[
            "netns run --namespaces 8 --subnet6 fd00:1::/64",
            "netns run --isolated --attack --enforce --duration 10",
        ],
    ),
    ("up", &["netns up lab.toml"]),
    ("down", &["netns down lab.toml"]),
    ("labs", &["netns labs --json"]),
    ("logs", &["netns logs lab.toml ns1"]),
    ("show", &["netns show lab.toml --svg"]),
    ("diff", &["netns diff lab.toml"]),
    ("watch", &["netns watch lab.toml"]),
    ("observe", &["netns observe docker0", "netns observe br0 --policy ports.toml --enforce --metrics 9100"]),
    ("reasons", &["netns reasons source-mac-foreign"]),
    ("clean", &["netns clean"]),
    ("ping", &["netns ping -n ns1 10.1.1.2 -c 3"]),
    ("sysctl", &["netns sysctl -n ns1 net.ipv4.ip_forward=1"]),
    ("bench", &["netns bench --quick --peers"]),
    ("completions", &["netns completions bash"]),
    ("man", &["netns man /tmp/man"]),
    ("link", &["netns link show", "netns -n ns1 link set eth0 up"]),
    ("link show", &["netns link show type veth"]),
    (
        "link add",
        &[
            "netns link add veth0 type veth peer name eth0 netns ns1",
            "netns link add br0 type bridge stp_state 1",
        ],
    ),
    ("link set", &["netns link set veth0 master br0 up"]),
    ("link replace", &["netns link replace br0 type bridge ageing_time 1000"]),
    ("link delete", &["netns link delete veth0"]),
    ("addr", &["netns addr show dev br0"]),
    ("addr show", &["netns addr show to 10.1.0.0/16"]),
    ("addr add", &["netns addr add 10.1.1.254/24 dev br0"]),
    ("addr change", &["netns addr change 10.1.1.254/24 dev br0 valid_lft 600 preferred_lft 300"]),
    ("addr replace", &["netns addr replace 10.1.1.254/24 dev br0"]),
    ("addr delete", &["netns addr delete 10.1.1.254/24 dev br0"]),
    ("addr flush", &["netns addr flush dev br0"]),
    ("route", &["netns route show"]),
    ("route show", &["netns route show table all"]),
    ("route add", &["netns -n ns1 route add default via 10.1.1.254"]),
    ("route change", &["netns route change 10.2.0.0/16 via 10.1.1.3"]),
    ("route replace", &["netns route replace 10.2.0.0/16 via 10.1.1.3 metric 100"]),
    ("route prepend", &["netns route prepend 10.2.0.0/16 via 10.1.1.3"]),
    ("route append", &["netns route append 10.2.0.0/16 via 10.1.1.4"]),
    ("route test", &["netns route test 10.2.0.0/16 via 10.1.1.3"]),
    ("route delete", &["netns route delete 10.2.0.0/16"]),
    ("route get", &["netns route get 10.1.1.2"]),
    ("route flush", &["netns route flush dev br0"]),
    ("neigh", &["netns neigh show dev br0"]),
    ("neigh show", &["netns neigh show nud reachable"]),
    ("neigh add", &["netns neigh add 10.1.1.9 lladdr 02:00:00:00:00:09 dev br0"]),
    ("neigh change", &["netns neigh change 10.1.1.9 lladdr 02:00:00:00:00:0a dev br0"]),
    ("neigh replace", &["netns neigh replace 10.1.1.9 lladdr 02:00:00:00:00:09 dev br0"]),
    ("neigh delete", &["netns neigh delete 10.1.1.9 dev br0"]),
    ("neigh get", &["netns neigh get 10.1.1.9 dev br0"]),
    ("neigh flush", &["netns neigh flush dev br0"]),
    ("netns", &["netns netns add ns1", "netns netns exec ns1 ip addr"]),
    ("netns list", &["netns netns list"]),
    ("netns add", &["netns netns add ns1 ns2"]),
    ("netns delete", &["netns netns delete ns1"]),
    ("netns attach", &["netns netns attach ns1 4711"]),
    ("netns set", &["netns netns set ns1 auto"]),
    ("netns identify", &["netns netns identify 4711"]),
    ("netns list-id", &["netns netns list-id"]),
    ("netns pids", &["netns netns pids ns1"]),
    ("netns exec", &["netns netns exec ns1 ip addr"]),
    ("netns monitor", &["netns netns monitor"]),
    ("tuntap", &["netns tuntap show"]),
    ("tuntap show", &["netns tuntap show"]),
    ("tuntap add", &["netns tuntap add tap0 mode tap user 1000"]),
    ("tuntap delete", &["netns tuntap delete tap0 mode tap"]),
    ("bridge", &["netns bridge link show"]),
    ("bridge link", &["netns bridge link set dev veth0 isolated on"]),
    ("bridge link show", &["netns bridge link show dev veth0"]),
    ("bridge link set", &["netns bridge link set dev veth0 learning off flood off"]),
    ("bridge fdb", &["netns bridge fdb show br br0"]),
    ("bridge fdb show", &["netns bridge fdb show br br0 dynamic"]),
    ("bridge fdb add", &["netns bridge fdb add 02:00:00:00:00:09 dev veth0 master static"]),
    ("bridge fdb append", &["netns bridge fdb append 00:00:00:00:00:00 dev vxlan0 dst 192.0.2.7"]),
    ("bridge fdb replace", &["netns bridge fdb replace 02:00:00:00:00:09 dev veth0 master static"]),
    ("bridge fdb delete", &["netns bridge fdb delete 02:00:00:00:00:09 dev veth0 master"]),
    ("stats", &["netns stats veth0 --json"]),
];

/// The command and those inside it, each with its examples before what its help ended with.
pub(crate) fn with_examples(command: Command) -> Command {
    with_examples_of(command, "")
}

fn with_examples_of(mut command: Command, path: &str) -> Command {
    if let Some((_, examples)) = EXAMPLES.iter().find(|(words, _)| *words == path) {
        let (title, examples) =
            (if examples.len() == 1 { "Example" } else { "Examples" }, examples.join("\n  "));
        let before = |help: String| format!("{title}:\n  {examples}\n\n{help}").trim_end().to_owned();
        if let Some(long) = command.get_after_long_help().map(ToString::to_string) {
            command = command.after_long_help(before(long));
        }
        let short = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        command = command.after_help(before(short));
    }
    let inside: Vec<String> = command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    for name in inside {
        let path = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command = command.mut_subcommand(name, |one| with_examples_of(one, &path));
    }
    command
}

#[cfg(test)]
mod tests;
