//! Help, man pages and completions for the words, made from the tables that parse them.

use super::thing::Thing;
use super::words::{Keyword, Takes};
use super::{
    addr, addr_change, bridge, fdb, link, neigh, option, request, route, route_change, route_get, stats,
    tuntap,
};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command};
use std::ffi::OsString;
use std::fmt::Write as _;

/// A verb: its name, what it does, how it is written, and its words.
struct VerbHelp(&'static str, &'static str, &'static str, fn() -> Vec<&'static str>);

/// The names of a table's words.
fn names<A>(table: &'static [Keyword<A>]) -> Vec<&'static str> {
    let known = table.iter().filter(|row| !row.name.is_empty() && row.takes != Takes::Refused);
    known.map(|row| row.name).collect()
}

/// The words of `link set`, and the kinds of links.
fn link_words() -> Vec<&'static str> {
    let mut words = names(request::LINK_WORDS);
    words.extend(netns_core::link::LinkKind::ALL.iter().map(netns_core::link::LinkKind::name));
    words.extend(["peer", super::PORT]);
    words
}

fn addr_words() -> Vec<&'static str> {
    names(addr_change::ADDR_WORDS)
}

fn route_words() -> Vec<&'static str> {
    let mut words = names(route_change::ROUTE_WORDS);
    words.extend(["default", "blackhole", "unreachable", "prohibit", "throw", "local", "weight"]);
    words
}

fn neigh_words() -> Vec<&'static str> {
    names(neigh::NEIGH_WORDS)
}

fn fdb_words() -> Vec<&'static str> {
    names(fdb::FDB_WORDS)
}

fn port_words() -> Vec<&'static str> {
    let mut words = names(bridge::PORT_WORDS);
    words.extend(netns_core::bridge::PortOptions::ROWS.iter().map(|row| row.name));
    words
}

const LINK_SET: &str = "netns link set [dev] NAME [up|down] [mtu BYTES] [address MAC] [name NEW] [master BRIDGE|nomaster] \
     [netns NS|PATH|PID] [group N] [alias TEXT] [type KIND OPTION VALUE ..]";
const NEIGH_SET: &str = "netns neigh add|change|replace ADDRESS [lladdr MAC] dev LINK [nud STATE] [router] [protocol P]; \
     or proxy ADDRESS dev LINK";
const ROUTE_SET: &str = "netns route add|change|replace|prepend|append|delete [TYPE] NET|default [via [inet6] ADDRESS] \
     [dev LINK] [src ADDRESS] [metric N] [table T] [protocol P] [scope S] [onlink] [mtu [lock] N] \
     [nexthop via ADDRESS dev LINK weight N ..]; TYPE is unicast, blackhole, unreachable, prohibit, throw, local, ..";
const ADDR_SET: &str = "netns addr add|change|replace|delete ADDRESS/LENGTH dev LINK [peer ADDRESS] [broadcast ADDRESS|+|-] \
     [label NAME] [scope S] [metric N] [valid_lft SECONDS] [preferred_lft SECONDS] [nodad] [noprefixroute]";
const FDB_SET: &str = "netns bridge fdb add|append|replace|delete MAC dev LINK [self] [master] \
     [local|permanent|static|temp|dynamic] [vlan ID] [dst ADDRESS] [sticky] [extern_learn]";

const fn verbs(thing: Thing) -> &'static [VerbHelp] {
    match thing {
        Thing::Link => LINK,
        Thing::Addr => ADDR,
        Thing::Route => ROUTE,
        Thing::Neigh => NEIGH,
        Thing::Netns => NETNS,
        Thing::Tuntap => TUNTAP,
        Thing::Bridge | Thing::Stats => &[],
    }
}

const LINK: &[VerbHelp] = &[
    VerbHelp(
        "show",
        "List links",
        "netns link show [[dev] NAME] [up] [type KIND] [master BRIDGE] [group N]",
        || names(link::SHOW),
    ),
    VerbHelp(
        "add",
        "Make a link",
        "netns link add [link LINK] [name] NAME type KIND [OPTION VALUE ..]; a pair: \
         netns link add NAME type veth peer [name] NAME [netns NS]",
        link_words,
    ),
    VerbHelp("set", "Change a link", LINK_SET, link_words),
    VerbHelp("replace", "Make a link, or change it if it exists", LINK_SET, link_words),
    VerbHelp(
        "delete",
        "Delete a link, or all links of a group",
        "netns link delete [dev] NAME, or group N",
        link_words,
    ),
];

const ADDR: &[VerbHelp] = &[
    VerbHelp(
        "show",
        "List addresses",
        "netns addr show [[dev] NAME] [to NET] [scope S] [label NAME] [up]",
        || names(addr::SHOW),
    ),
    VerbHelp("add", "Add an address", ADDR_SET, addr_words),
    VerbHelp("change", "Change an existing address", ADDR_SET, addr_words),
    VerbHelp("replace", "Add an address, or change it if it exists", ADDR_SET, addr_words),
    VerbHelp("delete", "Delete an address", ADDR_SET, addr_words),
    VerbHelp(
        "flush",
        "Delete all addresses that match",
        "netns addr flush [dev] NAME [to NET] [scope S]",
        || names(addr::SHOW),
    ),
];

const ROUTE: &[VerbHelp] = &[
    VerbHelp(
        "show",
        "List routes",
        "netns route show [[root|match|exact] NET] [table T|all] [dev LINK] [via ADDRESS] \
         [protocol P] [type TYPE] [scope S]",
        || names(route::SHOW),
    ),
    VerbHelp("add", "Add a route", ROUTE_SET, route_words),
    VerbHelp("change", "Change an existing route", ROUTE_SET, route_words),
    VerbHelp("replace", "Add a route, or change it if it exists", ROUTE_SET, route_words),
    VerbHelp("prepend", "Add a route before others to the same destination", ROUTE_SET, route_words),
    VerbHelp("append", "Add a route after others to the same destination", ROUTE_SET, route_words),
    VerbHelp("test", "Check whether such a route exists", ROUTE_SET, route_words),
    VerbHelp("delete", "Delete a route", ROUTE_SET, route_words),
    VerbHelp(
        "get",
        "Show the route that a packet would take",
        "netns route get ADDRESS [from ADDRESS] [oif LINK] [iif LINK] [mark N] [uid N] [fibmatch]",
        || names(route_get::GET_WORDS),
    ),
    VerbHelp(
        "flush",
        "Delete all routes that match",
        "netns route flush [NET] [table T] [dev LINK] ..",
        || names(route::SHOW),
    ),
];

const NEIGH: &[VerbHelp] = &[
    VerbHelp("show", "List neighbours", "netns neigh show [NET] [dev LINK] [nud STATE] [proxy]", || {
        names(neigh::SHOW)
    }),
    VerbHelp("add", "Add a neighbour", NEIGH_SET, neigh_words),
    VerbHelp("change", "Change an existing neighbour", NEIGH_SET, neigh_words),
    VerbHelp("replace", "Add a neighbour, or change it if it exists", NEIGH_SET, neigh_words),
    VerbHelp("delete", "Delete a neighbour", "netns neigh delete ADDRESS dev LINK", neigh_words),
    VerbHelp("get", "Show one neighbour", "netns neigh get ADDRESS dev LINK", || names(neigh::GET)),
    VerbHelp(
        "flush",
        "Delete all neighbours that match",
        "netns neigh flush [NET] [dev LINK] [nud STATE]",
        || names(neigh::SHOW),
    ),
];

const NETNS: &[VerbHelp] = &[
    VerbHelp("list", "List named namespaces", "netns netns list", Vec::new),
    VerbHelp("add", "Make named namespaces", "netns netns add NAME ..", Vec::new),
    VerbHelp(
        "delete",
        "Remove named namespaces",
        "netns netns delete NAME .., or netns -all netns delete",
        Vec::new,
    ),
    VerbHelp("attach", "Name the namespace of a process", "netns netns attach NAME PID", Vec::new),
    VerbHelp("set", "Give a namespace an id here", "netns netns set NAME ID|auto", || vec!["auto"]),
    VerbHelp("identify", "Print the names of a process's namespace", "netns netns identify [PID]", Vec::new),
    VerbHelp("list-id", "List the ids that other namespaces have here", "netns netns list-id", Vec::new),
    VerbHelp("pids", "List the processes in a named namespace", "netns netns pids NAME", Vec::new),
    VerbHelp(
        "exec",
        "Run a command in a named namespace, with its own `/sys`, and the files of /etc/netns/NAME in /etc",
        "netns netns exec [--no-mounts] NAME COMMAND ..; --no-mounts leaves /sys and /etc as they are",
        Vec::new,
    ),
    VerbHelp("monitor", "Print names as they come and go, until Ctrl-C", "netns netns monitor", Vec::new),
];

const TUNTAP: &[VerbHelp] = &[
    VerbHelp("show", "List TAPs and TUNs", "netns tuntap show", Vec::new),
    VerbHelp(
        "add",
        "Make a TAP or TUN that stays until it is deleted",
        "netns tuntap add [dev] NAME mode tap|tun [user UID] [group GID] [vnet_hdr] [multi_queue] [pi]",
        || names(tuntap::TUNTAP_WORDS),
    ),
    VerbHelp("delete", "Delete a TAP or TUN", "netns tuntap delete [dev] NAME mode tap|tun", || {
        names(tuntap::TUNTAP_WORDS)
    }),
];

/// The objects of `bridge`: a name, what it is, and its verbs.
const BRIDGE: [(&str, &str, &[VerbHelp]); 2] = [
    (
        "link",
        "The ports of bridges and their options",
        &[
            VerbHelp("show", "List ports", "netns bridge link show [dev LINK]", || names(bridge::SHOW)),
            VerbHelp(
                "set",
                "Change options of a port",
                "netns bridge link set dev LINK [OPTION VALUE ..] [self] [master]",
                port_words,
            ),
        ],
    ),
    (
        "fdb",
        "Which MAC address is behind which port",
        &[
            VerbHelp(
                "show",
                "List entries",
                "netns bridge fdb show [br BRIDGE] [dev LINK] [vlan ID] [state STATE] [dynamic]",
                || names(fdb::SHOW),
            ),
            VerbHelp("add", "Add an entry", FDB_SET, fdb_words),
            VerbHelp("append", "Add an entry beside others", FDB_SET, fdb_words),
            VerbHelp("replace", "Add an entry, or change it if it exists", FDB_SET, fdb_words),
            VerbHelp("delete", "Delete an entry", FDB_SET, fdb_words),
        ],
    ),
];

/// What each object is.
const fn about(thing: Thing) -> &'static str {
    match thing {
        Thing::Link => "Links, in the words of `ip link`",
        Thing::Addr => "Addresses, in the words of `ip addr`",
        Thing::Route => "Routes, in the words of `ip route`",
        Thing::Neigh => "Neighbours, in the words of `ip neigh`",
        Thing::Netns => "Named network namespaces, in the words of `ip netns`",
        Thing::Tuntap => "TAPs and TUNs, in the words of `ip tuntap`",
        Thing::Bridge => "Ports and forwarding entries of bridges, in the words of `bridge`",
        Thing::Stats => "Counters of links",
    }
}

const EXIT_CODES: &str = "Exit codes: 0 fine, 1 wrong usage, 2 the kernel refused.";

/// The commands as clap shows them. [`super::understand`] parses their words before clap is asked.
pub(crate) fn commands() -> Vec<Command> {
    Thing::ALL.into_iter().map(command).collect()
}

fn command(thing: Thing) -> Command {
    let mut command = Command::new(thing.name()).about(about(thing)).args(options()).after_help(EXIT_CODES);
    command = match thing {
        Thing::Addr => command.visible_alias("address"),
        Thing::Neigh => command.visible_alias("neighbour"),
        Thing::Stats => {
            return command.override_usage("netns stats [[dev] NAME]").arg(words(names(stats::WORDS)));
        }
        Thing::Bridge => {
            for (name, about, verbs) in BRIDGE {
                let verbs = verbs.iter().map(verb);
                command = command.subcommand(Command::new(name).about(about).subcommands(verbs));
            }
            return command;
        }
        _ => command,
    };
    command.subcommands(verbs(thing).iter().map(verb))
}

fn verb(&VerbHelp(name, about, usage, known): &VerbHelp) -> Command {
    let command =
        Command::new(name).about(about).override_usage(usage).arg(words(known())).after_help(EXIT_CODES);
    if name == "add" && usage.contains("type KIND") {
        return command.after_long_help(format!("{}\n{EXIT_CODES}", option::help()));
    }
    command
}

fn words(known: Vec<&'static str>) -> Arg {
    let words = Arg::new("words").value_name("WORDS").num_args(0..).hide_possible_values(true);
    if known.is_empty() { words } else { words.value_parser(PossibleValuesParser::new(known)) }
}

/// The options before and after these objects, for help and completions.
fn options() -> Vec<Arg> {
    let flag = |id: &'static str, help: &'static str| {
        Arg::new(id).action(ArgAction::SetTrue).global(true).help(help)
    };
    vec![
        Arg::new("netns")
            .short('n')
            .long("netns")
            .value_name("NS")
            .global(true)
            .help("Work in this named namespace"),
        flag("json", "Print JSON, with the keys of `ip -json` and `bridge -json`").short('j').long("json"),
        flag("pretty", "Print JSON on several lines").short('p').long("pretty"),
        flag("inet", "IPv4 only").short('4'),
        flag("inet6", "IPv6 only").short('6'),
        flag("details", "Show defaults, and the options of kinds and ports").short('d').long("details"),
        flag("brief", "One short line per link; `-br`").long("brief"),
        flag("oneline", "One line per link, address or route").short('o').long("oneline"),
    ]
}

/// The words for fish, which clap does not complete: each with the object and verb that it follows.
pub(crate) fn fish() -> String {
    let mut script = "\n# Words.\n".to_owned();
    for thing in Thing::ALL {
        let mut add = |seen: &str, VerbHelp(verb, _, _, known): &VerbHelp| {
            let known = known();
            if !known.is_empty() {
                let _ = writeln!(
                    script,
                    "complete -c netns -n \"__fish_seen_subcommand_from {seen}; and __fish_seen_subcommand_from {verb}\" \
                     -f -a \"{}\"",
                    known.join(" ")
                );
            }
        };
        for verb in verbs(thing) {
            add(thing.name(), verb);
        }
        if thing == Thing::Bridge {
            for (name, _, verbs) in BRIDGE {
                let seen = format!("bridge; and __fish_seen_subcommand_from {name}");
                for verb in verbs {
                    add(&seen, verb);
                }
            }
        }
    }
    script
}

/// The command line with which clap prints the requested help.
pub(super) fn request(program: &OsString, thing: Thing, words: &[OsString]) -> Vec<OsString> {
    let mut all = vec![program.clone(), thing.name().into()];
    let command = command(thing);
    let mut place = &command;
    for word in words {
        let known = place.get_subcommands().find(|known| {
            word.to_str().is_some_and(|word| !word.is_empty() && known.get_name().starts_with(word))
        });
        let Some(known) = known else { break };
        all.push(known.get_name().into());
        place = known;
    }
    all.push("--help".into());
    all
}
