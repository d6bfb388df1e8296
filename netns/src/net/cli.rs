//! The arguments of `link`, `addr`, `route`, `neigh`, `bridge` and `stats`: what `ip` and `bridge` call so.

use clap::{Arg, ArgGroup, ArgMatches, Args, Command, FromArgMatches, Subcommand};
use netns_core::bridge::PortOptions;
use netns_core::link::LinkKind;
use netns_core::option::{OptionForm, OptionRow};
use netns_core::{IfName, IpNet, MacAddress};
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
    Add(Box<LinkAdd>),
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
