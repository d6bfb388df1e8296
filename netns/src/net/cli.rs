//! The arguments of `link`, `addr`, `route`, `neigh`, `bridge` and `stats`: what `ip` and `bridge` call so.

use super::option::named;
use clap::{Arg, ArgGroup, ArgMatches, Args, Command, FromArgMatches, Subcommand};
use netns_core::bridge::PortOptions;
use netns_core::link::LinkKind;
use netns_core::option::{OptionForm, OptionRow, Options};
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
    /// With the options of its kind and of its port.
    #[arg(short, long, global = true)]
    pub(crate) details: bool,
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
    /// Make a link: `link add br0 type bridge`, `link add a type veth peer name b`, `link add m0 link a type macvlan`.
    #[command(after_long_help = super::option::help())]
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

/// What `ip` calls the options of a port of a bridge.
pub(super) const PORT: &str = "bridge_slave";

/// The kind of this name.
fn kind(name: &str) -> Result<LinkKind, String> {
    LinkKind::named(name).ok_or_else(|| {
        let known: Vec<_> = LinkKind::ALL.iter().map(LinkKind::name).collect();
        format!("expected one of {}", known.join(", "))
    })
}

#[derive(Debug, Args)]
pub(crate) struct LinkAdd {
    /// Its name.
    pub(crate) name: IfName,
    /// What it is.
    #[arg(long = "type", value_name = "KIND", value_parser = kind)]
    pub(crate) kind: LinkKind,
    /// The link that it is on: a VLAN's, a macvlan's.
    #[arg(long, value_name = "LINK")]
    pub(crate) link: Option<IfName>,
    /// An option of its kind.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) option: Vec<String>,
    /// The name of a veth's other end.
    #[arg(long)]
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
#[command(group(ArgGroup::new("change").required(true).multiple(true).args(["up", "down", "mtu", "address", "master", "nomaster", "rename", "into", "option"])))]
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
    /// What `--option` is of: the kind of link that it is, or `bridge_slave`, a port of a bridge.
    #[arg(long = "type", value_name = "KIND", requires = "option")]
    pub(crate) kind: Option<String>,
    /// An option of its kind, or of its port.
    #[arg(long, value_name = "NAME=VALUE", requires = "kind")]
    pub(crate) option: Vec<String>,
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
pub(crate) struct PortSet {
    /// The port.
    #[arg(long, value_name = "LINK")]
    pub(crate) dev: IfName,
    #[command(flatten)]
    pub(crate) options: PortSettings,
}

/// An option of a port, or several, each by `ip`'s name for it.
#[derive(Debug)]
pub(crate) struct PortSettings {
    /// `NAME=VALUE`.
    pub(crate) settings: Vec<String>,
}

impl Args for PortSettings {
    fn augment_args(command: Command) -> Command {
        let rows = PortOptions::ROWS;
        command.args(rows.iter().map(|row| {
            let value = if row.form == OptionForm::Switch { "on|off" } else { "VALUE" };
            let help = row.help.trim().trim_end_matches('.');
            let check = |text: &str| check(row, text);
            Arg::new(row.name).long(row.name).value_name(value).help(help).value_parser(check)
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Whether an option takes this value. A link is looked up later.
fn check(row: &OptionRow, text: &str) -> Result<String, String> {
    match row.parse(text) {
        None if row.form != OptionForm::Link => Err(format!("expected {}", row.expected())),
        _ => Ok(text.to_owned()),
    }
}

impl FromArgMatches for PortSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |row: &OptionRow| Some(format!("{}={}", row.name, matches.get_one::<String>(row.name)?));
        let settings: Vec<String> = PortOptions::ROWS.iter().filter_map(given).collect();
        if settings.is_empty() {
            let words = "an option is missing, such as --isolated on\n";
            return Err(clap::Error::raw(clap::error::ErrorKind::MissingRequiredArgument, words));
        }
        Ok(Self { settings })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
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
            "-j" | "--json" | "-d" | "--details" => 1,
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
///
/// What follows `type KIND` are options of that kind: `type vlan id 10` reads as `--type vlan --option id=10`.
pub(crate) fn with_keywords(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut out: Vec<OsString> = Vec::new();
    let (mut ours, mut after_peer, mut fdb) = (false, false, false);
    let (mut link, mut add, mut port) = (false, false, false);
    let mut rows: &[OptionRow] = &[];
    let mut arguments = options_last(arguments).into_iter().enumerate().peekable();
    while let Some((position, argument)) = arguments.next() {
        let is = |word: &str| argument.to_str() == Some(word);
        ours |= position == 1 && argument.to_str().is_some_and(|command| COMMANDS.contains(&command));
        link |= position == 1 && is("link");
        add |= link && position == 2 && is("add");
        fdb |= ours && position == 2 && is("fdb");
        port |= ours && !link && position == 2 && is("link");
        let word = argument.to_str().filter(|_| ours && position > 2).unwrap_or_default();
        if let Some((row, value)) = named(rows, word) {
            let value = value.map(OsString::from).or_else(|| arguments.next().map(|(_, value)| value));
            let mut setting = OsString::from(format!("{}=", row.name));
            setting.push(value.unwrap_or_default());
            out.extend(["--option".into(), setting]);
            continue;
        }
        let flag = match word {
            "type" if link => {
                let kind = arguments.peek().and_then(|(_, kind)| kind.to_str()).unwrap_or_default();
                rows = match kind {
                    PORT => PortOptions::ROWS,
                    kind => LinkKind::named(kind).map_or(&[], |kind| kind.rows()),
                };
                "--type"
            }
            "peer" => {
                after_peer = true;
                continue;
            }
            "name" if after_peer => "--peer",
            // `link add link eth0 name eth0.10 type vlan id 10`.
            "name" if add => continue,
            "name" => "--rename",
            "link" if add => "--link",
            "netns" => "--into",
            // Words that say what is so anyway.
            "static" | "permanent" => continue,
            "dev" if link => continue,
            "master" if fdb => continue,
            "dev" | "via" | "metric" | "lladdr" | "master" | "nomaster" | "mtu" | "address" | "type"
            | "up" | "down" | "br" => {
                out.push(format!("--{word}").into());
                continue;
            }
            _ if port && PortOptions::ROWS.iter().any(|row| row.name == word) => {
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
            ("x link set dev a up", "x link set a --up"),
            (
                "x link add link a name a.5 type vlan id 5 protocol 802.1ad",
                "x link add --link a a.5 --type vlan --option id=5 --option protocol=802.1ad",
            ),
            (
                "x link add v type vxlan id 5 dev a nolearning remote 10.0.0.1",
                "x link add v --type vxlan --option id=5 --option dev=a --option learning=off --option group=10.0.0.1",
            ),
            (
                "x link set a type bridge_slave isolated on cost 7",
                "x link set a --type bridge_slave --option isolated=on --option cost=7",
            ),
            (
                "x bridge link set dev a state 3 mcast_router 2",
                "x bridge link set --dev a --state 3 --mcast_router 2",
            ),
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
