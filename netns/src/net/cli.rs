//! The arguments of `link`, `addr`, `route`, `neigh`, `bridge` and `stats`: what `ip` and `bridge` call so.

use clap::{ArgGroup, Args, Subcommand};
use netns_core::{IfName, IpNet, MacAddress};
use std::ffi::OsString;
use std::net::IpAddr;

/// What all of them have.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// In this named namespace.
    #[arg(short = 'n', long, value_name = "NS", global = true)]
    pub(crate) netns: Option<String>,
    /// As JSON, with the keys of `ip -json` and `bridge -json`.
    #[arg(short, long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LinkArguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<LinkCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LinkCommand {
    /// List links.
    #[command(visible_alias = "list")]
    Show {
        /// Only this one.
        name: Option<IfName>,
    },
    /// Make a bridge or a veth pair: `link add br0 type bridge`, `link add a type veth peer name b`.
    Add(LinkAdd),
    /// Change a link: `link set a up master br0`.
    Set(LinkSet),
    /// Delete a link.
    #[command(visible_alias = "del")]
    Delete {
        /// Its name.
        name: IfName,
    },
}

/// What can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LinkType {
    /// A bridge.
    Bridge,
    /// A veth pair.
    Veth,
}

#[derive(Debug, Args)]
pub(crate) struct LinkAdd {
    /// Its name.
    pub(crate) name: IfName,
    /// What it is.
    #[arg(long = "type", value_enum)]
    pub(crate) kind: LinkType,
    /// The name of a veth's other end.
    #[arg(long, required_if_eq("kind", "veth"))]
    pub(crate) peer: Option<IfName>,
    /// The named namespace of a veth's other end.
    #[arg(long, value_name = "NS", requires = "peer")]
    pub(crate) into: Option<String>,
    /// Its MAC address.
    #[arg(long, value_name = "MAC")]
    pub(crate) address: Option<MacAddress>,
    /// Its MTU in bytes.
    #[arg(long, value_name = "BYTES")]
    pub(crate) mtu: Option<u32>,
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group(ArgGroup::new("change").required(true).multiple(true).args(["up", "down", "mtu", "address", "master", "nomaster", "rename", "into"])))]
pub(crate) struct LinkSet {
    /// Its name.
    pub(crate) name: IfName,
    /// Raise it.
    #[arg(long)]
    pub(crate) up: bool,
    /// Take it down.
    #[arg(long, conflicts_with = "up")]
    pub(crate) down: bool,
    /// A new MTU in bytes.
    #[arg(long, value_name = "BYTES")]
    pub(crate) mtu: Option<u32>,
    /// A new MAC address.
    #[arg(long, value_name = "MAC")]
    pub(crate) address: Option<MacAddress>,
    /// The bridge to join.
    #[arg(long, value_name = "BRIDGE")]
    pub(crate) master: Option<IfName>,
    /// Leave the bridge.
    #[arg(long, conflicts_with = "master")]
    pub(crate) nomaster: bool,
    /// A new name.
    #[arg(long, value_name = "NAME")]
    pub(crate) rename: Option<IfName>,
    /// The named namespace to move to.
    #[arg(long, value_name = "NS")]
    pub(crate) into: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AddrArguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<AddrCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AddrCommand {
    /// List addresses.
    #[command(visible_alias = "list")]
    Show {
        /// Of this link.
        #[arg(id = "link")]
        name: Option<IfName>,
        /// Of this link.
        #[arg(long, value_name = "LINK", conflicts_with = "link")]
        dev: Option<IfName>,
    },
    /// Add an address: `addr add 10.1.1.1/24 dev eth0`.
    Add(AddrChange),
    /// Delete an address.
    #[command(visible_alias = "del")]
    Delete(AddrChange),
}

#[derive(Debug, Args)]
pub(crate) struct AddrChange {
    /// The address and the length of its prefix.
    pub(crate) address: IpNet,
    /// The link.
    #[arg(long, value_name = "LINK")]
    pub(crate) dev: IfName,
}

#[derive(Debug, Args)]
pub(crate) struct RouteArguments {
    #[command(flatten)]
    pub(crate) common: Common,
    /// IPv6 routes; otherwise, of those that are listed, IPv4 ones.
    #[arg(short = '6', global = true)]
    pub(crate) six: bool,
    #[command(subcommand)]
    pub(crate) command: Option<RouteCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// List the routes of the main table.
    #[command(visible_alias = "list")]
    Show,
    /// Add a route: `route add default via 10.1.1.254`, `route add 10.2.0.0/16 dev eth0`.
    Add(RouteChange),
    /// Delete a route.
    #[command(visible_alias = "del")]
    Delete(RouteChange),
}

#[derive(Debug, Args)]
pub(crate) struct RouteChange {
    /// A network, or `default`.
    pub(crate) to: String,
    /// The router.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) via: Option<IpAddr>,
    /// The link that packets leave by.
    #[arg(long, value_name = "LINK")]
    pub(crate) dev: Option<IfName>,
    /// The lower, the more it is preferred.
    #[arg(long, value_name = "N")]
    pub(crate) metric: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct NeighArguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<NeighCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NeighCommand {
    /// List neighbours.
    #[command(visible_alias = "list")]
    Show {
        /// Of this link.
        #[arg(long, value_name = "LINK")]
        dev: Option<IfName>,
    },
    /// Add a permanent neighbour, or replace it: `neigh replace 10.1.1.2 lladdr 02:00:00:00:00:02 dev eth0`.
    #[command(visible_alias = "add")]
    Replace {
        /// Its address.
        address: IpAddr,
        /// Its MAC address.
        #[arg(long, value_name = "MAC")]
        lladdr: MacAddress,
        /// The link that it is on.
        #[arg(long, value_name = "LINK")]
        dev: IfName,
    },
    /// Delete a neighbour.
    #[command(visible_alias = "del")]
    Delete {
        /// Its address.
        address: IpAddr,
        /// The link that it is on.
        #[arg(long, value_name = "LINK")]
        dev: IfName,
    },
}

#[derive(Debug, Args)]
pub(crate) struct BridgeArguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: BridgeCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BridgeCommand {
    /// The ports of bridges and their options.
    Link {
        #[command(subcommand)]
        command: Option<PortCommand>,
    },
    /// Which MAC address is behind which port.
    Fdb {
        #[command(subcommand)]
        command: Option<FdbCommand>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PortCommand {
    /// List ports.
    #[command(visible_alias = "list")]
    Show {
        /// Only this one.
        #[arg(long, value_name = "LINK")]
        dev: Option<IfName>,
    },
    /// Change options of a port: `bridge link set dev a isolated on`.
    Set(PortSet),
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group(ArgGroup::new("option").required(true).multiple(true).args(["isolated", "hairpin", "learning", "flood", "mcast_flood", "bcast_flood", "neigh_suppress"])))]
pub(crate) struct PortSet {
    /// The port.
    #[arg(long, value_name = "LINK")]
    pub(crate) dev: IfName,
    /// Whether isolated ports cannot reach each other.
    #[arg(long, value_parser = switch, value_name = "on|off")]
    pub(crate) isolated: Option<bool>,
    /// Whether a frame may leave by the port that it came in by.
    #[arg(long, value_parser = switch, value_name = "on|off")]
    pub(crate) hairpin: Option<bool>,
    /// Whether source addresses are learnt.
    #[arg(long, value_parser = switch, value_name = "on|off")]
    pub(crate) learning: Option<bool>,
    /// Whether frames to unknown addresses go out.
    #[arg(long, value_parser = switch, value_name = "on|off")]
    pub(crate) flood: Option<bool>,
    /// Whether multicast without known listeners goes out.
    #[arg(long = "mcast_flood", value_parser = switch, value_name = "on|off")]
    pub(crate) mcast_flood: Option<bool>,
    /// Whether broadcast goes out.
    #[arg(long = "bcast_flood", value_parser = switch, value_name = "on|off")]
    pub(crate) bcast_flood: Option<bool>,
    /// Whether the bridge answers for neighbours that it knows.
    #[arg(long = "neigh_suppress", value_parser = switch, value_name = "on|off")]
    pub(crate) neigh_suppress: Option<bool>,
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected on or off".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum FdbCommand {
    /// List entries.
    #[command(visible_alias = "list")]
    Show {
        /// Only those of this bridge.
        #[arg(long, value_name = "BRIDGE")]
        br: Option<IfName>,
    },
    /// Add an entry, or replace it: `bridge fdb replace 02:00:00:00:00:02 dev a`.
    #[command(visible_alias = "add")]
    Replace {
        /// The MAC address.
        mac: MacAddress,
        /// The port that it is behind.
        #[arg(long, value_name = "LINK")]
        dev: IfName,
    },
    /// Delete an entry.
    #[command(visible_alias = "del")]
    Delete {
        /// The MAC address.
        mac: MacAddress,
        /// The port that it is behind.
        #[arg(long, value_name = "LINK")]
        dev: IfName,
    },
}

#[derive(Debug, Args)]
pub(crate) struct StatsArguments {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Only this link.
    pub(crate) name: Option<IfName>,
}

const COMMANDS: [&str; 8] = ["link", "addr", "address", "route", "neigh", "neighbour", "bridge", "stats"];

/// `ip` takes its options before the object (`ip -n NS -j link show`); they go behind everything, where ours are too.
fn options_last(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut all: Vec<OsString> = arguments.into_iter().collect();
    let mut end = 1;
    while let Some(word) = all.get(end).and_then(|word| word.to_str()) {
        end += match word {
            "-n" | "--netns" => 2,
            "-j" | "--json" => 1,
            _ => break,
        };
    }
    let object = all.get(end).and_then(|object| object.to_str());
    let is_list = object == Some("netns") && all.get(end + 1).is_some_and(|command| command == "list");
    if is_list || object.is_some_and(|object| COMMANDS.contains(&object)) {
        all[1..].rotate_left(end - 1);
    }
    all
}

/// The words of `ip` that are flags here: `addr add 10.1.1.1/24 dev eth0` reads as with `--dev eth0`. Only behind the
/// names of these commands; as with `ip`, an interface of such a name has to be written otherwise (`--dev=dev`).
pub(crate) fn with_keywords(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut out: Vec<OsString> = Vec::new();
    let (mut ours, mut after_peer, mut fdb) = (false, false, false);
    for (position, argument) in options_last(arguments).into_iter().enumerate() {
        ours |= position == 1 && argument.to_str().is_some_and(|command| COMMANDS.contains(&command));
        fdb |= ours && position == 2 && argument == "fdb";
        let word = argument.to_str().filter(|_| ours && position > 2).unwrap_or_default();
        let flag = match word {
            "peer" => {
                after_peer = true;
                continue;
            }
            "name" if after_peer => "--peer",
            "name" => "--rename",
            "netns" => "--into",
            // Words that say what is so anyway.
            "static" | "permanent" => continue,
            "master" if fdb => continue,
            "dev" | "via" | "metric" | "lladdr" | "master" | "nomaster" | "mtu" | "address" | "type"
            | "up" | "down" | "br" | "isolated" | "hairpin" | "learning" | "flood" | "mcast_flood"
            | "bcast_flood" | "neigh_suppress" => {
                out.push(format!("--{word}").into());
                continue;
            }
            _ => {
                out.push(argument);
                continue;
            }
        };
        out.push(flag.into());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::with_keywords;
    use std::ffi::OsString;

    fn read(line: &str) -> String {
        let words = with_keywords(line.split(' ').map(OsString::from));
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_of_ip_are_flags_behind_commands_of_ip() {
        for (given, read_as) in [
            ("x addr add 10.0.0.1/8 dev a", "x addr add 10.0.0.1/8 --dev a"),
            ("x link add a type veth peer name b netns n", "x link add a --type veth --peer b --into n"),
            ("x link set a name b up", "x link set a --rename b --up"),
            ("x netns exec dev up", "x netns exec dev up"),
            ("x -n ns1 -j link set a up", "x link set a --up -n ns1 -j"),
            ("x --json netns list", "x netns list --json"),
            ("x -n ns1", "x -n ns1"),
            ("x -n", "x -n"),
            (
                "x bridge fdb add 02:00:00:00:00:01 dev a master static",
                "x bridge fdb add 02:00:00:00:00:01 --dev a",
            ),
        ] {
            assert_eq!(read(given), read_as);
        }
    }
}
