//! One change of the kernel's state, and how it reads.

use crate::topology::{
    AddressSpec, BridgeSpec, Cable, Group, LinkName, Place, PortPolicy, PortSpec, RouteSpec, ShellCommand,
    SingleLink, Sysctl, WayOutSpec,
};
use netns_core::bridge::{BridgeOptions, PortOptions};
use netns_core::link::AddrGenMode;
use netns_core::nat::Publication;
use netns_core::option::Options;
use netns_core::{IfName, MacAddress};
use std::fmt;

/// One change of the kernel's state. It reads as a line of a diff: `+` for what is made, `-` for what is removed, `~`
/// for what is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// End a command.
    Stop(ShellCommand),
    /// Remove a route.
    RemoveRoute(RouteSpec),
    /// Remove an address.
    RemoveAddress(AddressSpec),
    /// Set a setting back to what it was.
    RestoreSysctl {
        /// The setting and the value that it was given.
        sysctl: Sysctl,
        /// What it was before.
        before: String,
    },
    /// Remove a bridge, or a cable by one of its ends.
    RemoveLink {
        /// Its place and name.
        link: LinkName,
        /// Its index, for nobody else's link of this name is to be removed.
        index: u32,
        /// The other end of a cable.
        other: Option<LinkName>,
    },
    /// Remove a link of another kind.
    RemoveSingle {
        /// Its place and name.
        link: LinkName,
        /// Its index, for nobody else's link of this name is to be removed.
        index: u32,
    },
    /// Remove a namespace.
    RemoveNamespace(String),
    /// Make a namespace, its `lo` up.
    AddNamespace(String),
    /// Make a bridge, up.
    AddBridge(BridgeSpec),
    /// Make a link of another kind, up.
    AddSingle(SingleLink),
    /// Make a cable, both ends up.
    AddCable(Box<Cable>),
    /// Give a link the name back that it was made with.
    Rename {
        /// Its place and that name.
        link: LinkName,
        /// Its index.
        index: u32,
        /// What it is called now.
        from: IfName,
    },
    /// Give a link the MAC address back that it was made with.
    SetMac {
        /// The link.
        link: LinkName,
        /// What it has now.
        from: Option<MacAddress>,
        /// What it is to have.
        to: MacAddress,
    },
    /// Raise a link.
    Raise(LinkName),
    /// Let a link have no IPv6 address but those that it is given.
    Silence {
        /// The link.
        link: LinkName,
        /// How it comes by its link-local address now.
        from: AddrGenMode,
    },
    /// Change the MTU of a link.
    SetMtu {
        /// The link.
        link: LinkName,
        /// What it is, in bytes.
        from: u32,
        /// What it is to be.
        to: u32,
    },
    /// Change options of a bridge.
    SetBridge {
        /// The bridge.
        link: LinkName,
        /// Those that differ.
        options: BridgeOptions,
    },
    /// Make a link a port of a bridge.
    Attach {
        /// The link.
        link: LinkName,
        /// The bridge.
        bridge: IfName,
    },
    /// Change options of a port.
    SetPort {
        /// The port.
        link: LinkName,
        /// Those that differ.
        options: PortOptions,
    },
    /// Judge what comes in by a port of a bridge, or judge it otherwise.
    SetPolicy {
        /// The port.
        port: LinkName,
        /// The interface whose frames are judged: the other end of the cable.
        inside: LinkName,
        /// What it may send.
        policy: PortPolicy,
        /// Whether it is judged already.
        again: bool,
    },
    /// Do not judge what comes in by a port any more.
    RemovePolicy {
        /// The port.
        port: LinkName,
    },
    /// Judge what comes to the host by a bridge, as the policies of the bridge's ports say.
    JudgeHost {
        /// The bridge.
        bridge: LinkName,
    },
    /// Do not judge what comes to the host any more.
    LeaveHost {
        /// The bridge.
        bridge: LinkName,
    },
    /// Keep two groups of ports from talking to each other, either way.
    PartGroups {
        /// Where the ports are.
        place: Place,
        /// The groups; a group can be kept apart from itself.
        groups: [Group; 2],
        /// Their numbers.
        numbers: [u8; 2],
    },
    /// Let two groups of ports talk to each other again.
    JoinGroups {
        /// Where the ports are.
        place: Place,
        /// The groups.
        groups: [Group; 2],
        /// The numbers by which they were kept apart.
        numbers: [u8; 2],
    },
    /// Add an address.
    AddAddress(AddressSpec),
    /// Give a link its IPv6 link-local address, without which the kernel asks for no neighbour on behalf of packets
    /// that it forwards.
    AddLinkLocal(LinkName),
    /// Set a setting.
    SetSysctl {
        /// The setting and the value that it gets.
        sysctl: Sysctl,
        /// What it is now, if it is there.
        from: Option<String>,
    },
    /// Let what is on a bridge out of the host, or in.
    OpenWayOut {
        /// How.
        spec: WayOutSpec,
        /// Whether there are rules that are not as they are to be.
        again: bool,
    },
    /// Let what is on a bridge neither out of the host nor in any more.
    CloseWayOut {
        /// The bridge.
        bridge: LinkName,
    },
    /// Publish ports of the host.
    Publish {
        /// The bridge that they lead to.
        bridge: LinkName,
        /// The ports.
        publication: Publication,
    },
    /// Withdraw a port of the host.
    Withdraw {
        /// The bridge that it leads to.
        bridge: LinkName,
        /// The port.
        publication: Publication,
    },
    /// Add a route.
    AddRoute(RouteSpec),
    /// Start a command.
    Start(ShellCommand),
}

/// What a change is for those that make it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeNature {
    /// It removes something. Those come first in a plan.
    Removes,
    /// It takes something off a link that stays. Neither of those makes anything that would have to be found again.
    Loosens,
    /// It makes or changes something.
    Makes,
}

impl Change {
    pub(crate) const fn nature(&self) -> ChangeNature {
        match self {
            Self::Stop(_)
            | Self::RemoveRoute(_)
            | Self::RemoveAddress(_)
            | Self::RestoreSysctl { .. }
            | Self::RemoveLink { .. }
            | Self::RemoveSingle { .. }
            | Self::RemoveNamespace(_)
            | Self::CloseWayOut { .. }
            | Self::Withdraw { .. } => ChangeNature::Removes,
            Self::RemovePolicy { .. } | Self::LeaveHost { .. } | Self::JoinGroups { .. } => {
                ChangeNature::Loosens
            }
            Self::AddNamespace(_)
            | Self::AddBridge(_)
            | Self::AddSingle(_)
            | Self::AddCable(_)
            | Self::Rename { .. }
            | Self::SetMac { .. }
            | Self::Raise(_)
            | Self::Silence { .. }
            | Self::SetMtu { .. }
            | Self::SetBridge { .. }
            | Self::Attach { .. }
            | Self::SetPort { .. }
            | Self::SetPolicy { .. }
            | Self::JudgeHost { .. }
            | Self::PartGroups { .. }
            | Self::AddAddress(_)
            | Self::AddLinkLocal(_)
            | Self::SetSysctl { .. }
            | Self::OpenWayOut { .. }
            | Self::Publish { .. }
            | Self::AddRoute(_)
            | Self::Start(_) => ChangeNature::Makes,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop(ShellCommand { namespace, command }) => write!(f, "- {namespace}: run {command}"),
            Self::RemoveRoute(route) => write!(f, "- {}: route {route}", route.place),
            Self::RemoveAddress(AddressSpec { link, net }) => write!(f, "- {link}: address {net}"),
            Self::RestoreSysctl { sysctl, before } => {
                write!(f, "~ {}: {} {} -> {before}", sysctl.place, sysctl.key, sysctl.value)
            }
            Self::RemoveLink { link, other: None, .. } => write!(f, "- bridge {link}"),
            Self::RemoveLink { link, other: Some(other), .. } => write!(f, "- cable {link} - {other}"),
            Self::RemoveSingle { link, .. } => write!(f, "- link {link}"),
            Self::RemoveNamespace(name) => write!(f, "- namespace {name}"),
            Self::AddNamespace(name) => write!(f, "+ namespace {name}"),
            Self::AddBridge(bridge) => write!(f, "+ bridge {}", bridge.link),
            Self::AddSingle(SingleLink { link, kind, on, .. }) => {
                write!(f, "+ {} {link}", kind.name())?;
                if let Some(on) = on {
                    write!(f, " on {on}")?;
                }
                write_values(f, kind)
            }
            Self::AddCable(cable) => {
                let [near, far] = &cable.ends;
                match (&near.port, &cable.policy) {
                    (None, _) => write!(f, "+ cable {} - {}", near.link, far.link),
                    (Some(PortSpec { bridge, .. }), None) => {
                        write!(f, "+ cable {} - {} (on {bridge})", far.link, near.link)
                    }
                    (Some(PortSpec { bridge, .. }), Some(policy)) => {
                        write!(f, "+ cable {} - {} (on {bridge}) policy {policy}", far.link, near.link)
                    }
                }
            }
            Self::Rename { link, from, .. } => write!(f, "~ {link}: name {from} -> {}", link.name),
            Self::SetMac { link, from: Some(from), to } => write!(f, "~ {link}: mac {from} -> {to}"),
            Self::SetMac { link, from: None, to } => write!(f, "~ {link}: mac {to}"),
            Self::Raise(link) => write!(f, "~ {link}: down -> up"),
            Self::Silence { link, from } => write!(f, "~ {link}: addrgenmode {} -> none", mode(*from)),
            Self::SetMtu { link, from, to } => write!(f, "~ {link}: mtu {from} -> {to}"),
            Self::SetBridge { link, options } => write_options(f, link, options),
            Self::Attach { link, bridge } => write!(f, "~ {link}: bridge {bridge}"),
            Self::SetPort { link, options } => write_options(f, link, options),
            Self::SetPolicy { port, policy, again, .. } => {
                write!(f, "{} {port}: policy {policy}", if *again { '~' } else { '+' })
            }
            Self::RemovePolicy { port } => write!(f, "- {port}: policy"),
            Self::JudgeHost { bridge } => write!(f, "+ {bridge}: policy of what comes to the host"),
            Self::LeaveHost { bridge } => write!(f, "- {bridge}: policy of what comes to the host"),
            Self::PartGroups { place, groups: [one, other], .. } => {
                write!(f, "+ {place}: apart {one} and {other}")
            }
            Self::JoinGroups { place, groups: [one, other], .. } => {
                write!(f, "- {place}: apart {one} and {other}")
            }
            Self::AddAddress(AddressSpec { link, net }) => write!(f, "+ {link}: address {net}"),
            Self::AddLinkLocal(link) => write!(f, "+ {link}: link-local address"),
            Self::SetSysctl { sysctl, from } => match from {
                Some(from) => write!(f, "~ {}: {} {from} -> {}", sysctl.place, sysctl.key, sysctl.value),
                None => write!(f, "+ {}: {} {}", sysctl.place, sysctl.key, sysctl.value),
            },
            Self::OpenWayOut { spec, again } => {
                let what = match () {
                    () if spec.masquerade => "masquerade",
                    () if spec.published.is_empty() => "redirect",
                    () => "way in",
                };
                write!(f, "{} {}: {what}", if *again { '~' } else { '+' }, spec.bridge)
            }
            Self::CloseWayOut { bridge } => write!(f, "- {bridge}: way out and in"),
            Self::Publish { bridge, publication } => write!(f, "+ {bridge}: publish {publication}"),
            Self::Withdraw { bridge, publication } => write!(f, "- {bridge}: publish {publication}"),
            Self::AddRoute(route) => write!(f, "+ {}: route {route}", route.place),
            Self::Start(ShellCommand { namespace, command }) => write!(f, "+ {namespace}: run {command}"),
        }
    }
}

/// As `ip` has it.
const fn mode(mode: AddrGenMode) -> &'static str {
    match mode {
        AddrGenMode::Eui64 => "eui64",
        AddrGenMode::None => "none",
        AddrGenMode::StablePrivacy => "stable_secret",
        AddrGenMode::Random => "random",
    }
}

fn write_options(f: &mut fmt::Formatter<'_>, link: &LinkName, options: &dyn Options) -> fmt::Result {
    write!(f, "~ {link}:")?;
    write_values(f, options)
}

fn write_values(f: &mut fmt::Formatter<'_>, options: &dyn Options) -> fmt::Result {
    for (row, option) in options.rows().iter().enumerate() {
        if let Some(value) = options.get(row) {
            write!(f, " {} {}", option.word(value), option.text(value))?;
        }
    }
    Ok(())
}
