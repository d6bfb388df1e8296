//! Putting a request into words.
//!
//! Errors name the operation, the object and the attribute that the kernel complains of. All of that is read back
//! from the request's own bytes when something has failed, so that nothing needs to be remembered while all goes well.

use super::{
    IFLA_BR_AGEING_TIME, IFLA_BR_FORWARD_DELAY, IFLA_BR_MCAST_SNOOPING, IFLA_BR_STP_STATE,
    IFLA_BRPORT_BCAST_FLOOD, IFLA_BRPORT_ISOLATED, IFLA_BRPORT_LEARNING, IFLA_BRPORT_MCAST_FLOOD,
    IFLA_BRPORT_MODE, IFLA_BRPORT_NEIGH_SUPPRESS, IFLA_BRPORT_STATE, IFLA_BRPORT_UNICAST_FLOOD, IfAddrMsg,
    IfInfoMsg, Message, NDA_MASTER, NETNSA_FD, NETNSA_NSID, NETNSA_PID, NdMsg, NlAttr, NlMsgHdr, RtGenMsg,
    RtMsg, TC_H_MIN_EGRESS, TC_H_MIN_INGRESS, TCA_BPF_CLASSID, TCA_BPF_FD, TCA_BPF_FLAGS, TCA_BPF_NAME,
    TcMsg, VETH_INFO_PEER, align,
};
use bytemuck::pod_read_unaligned;

/// A request in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    /// What was asked for: "create veth".
    pub(crate) operation: String,
    /// Of what: "v0", "10.1.1.1/24 on interface 5".
    pub(crate) object: String,
}

/// What a request asks for, and of what.
pub(crate) fn describe(request: &Message<'_>) -> Description {
    let (verb, noun) = match request.header.kind {
        libc::RTM_NEWLINK if creates(request) => ("create", "link"),
        libc::RTM_NEWLINK => ("set", "link"),
        libc::RTM_SETLINK => ("set", "bridge port"),
        libc::RTM_DELLINK => ("delete", "link"),
        libc::RTM_GETLINK => ("get", "link"),
        libc::RTM_NEWADDR => ("add", "address"),
        libc::RTM_DELADDR => ("delete", "address"),
        libc::RTM_GETADDR => ("get", "address"),
        libc::RTM_NEWROUTE => ("add", "route"),
        libc::RTM_DELROUTE => ("delete", "route"),
        libc::RTM_GETROUTE => ("get", "route"),
        libc::RTM_NEWNEIGH => ("add", "neighbour"),
        libc::RTM_DELNEIGH => ("delete", "neighbour"),
        libc::RTM_GETNEIGH => ("get", "neighbour"),
        libc::RTM_NEWQDISC => ("add", "qdisc"),
        libc::RTM_DELQDISC => ("delete", "qdisc"),
        libc::RTM_GETQDISC => ("get", "qdisc"),
        libc::RTM_NEWTFILTER => ("add", "filter"),
        libc::RTM_DELTFILTER => ("delete", "filter"),
        libc::RTM_GETTFILTER => ("get", "filter"),
        libc::RTM_GETNSID => ("get", "namespace id"),
        libc::RTM_NEWNSID => ("assign", "namespace id"),
        other => {
            return Description { operation: format!("netlink request {other}"), object: String::new() };
        }
    };
    let dump = i32::from(request.header.flags) & libc::NLM_F_DUMP == libc::NLM_F_DUMP;
    if dump {
        return Description { operation: format!("list {noun}s"), object: String::new() };
    }
    let noun = match (verb, link_kind(request)) {
        ("create", Some(kind)) => kind,
        _ => noun,
    };
    Description { operation: format!("{verb} {noun}"), object: object(request).unwrap_or_default() }
}

fn creates(request: &Message<'_>) -> bool {
    i32::from(request.header.flags) & libc::NLM_F_CREATE != 0
}

/// `IFLA_INFO_KIND` of a link request.
fn link_kind<'a>(request: &Message<'a>) -> Option<&'a str> {
    if request.header.kind != libc::RTM_NEWLINK {
        return None;
    }
    let info = request.attributes_after::<IfInfoMsg>().find(libc::IFLA_LINKINFO)?;
    info.nested().find(libc::IFLA_INFO_KIND)?.text()
}

fn object(request: &Message<'_>) -> Option<String> {
    let on = |index: i64| format!("interface {index}");
    Some(match request.header.kind {
        libc::RTM_NEWLINK | libc::RTM_SETLINK | libc::RTM_DELLINK | libc::RTM_GETLINK => {
            let header: IfInfoMsg = request.family_header()?;
            let attributes = request.attributes_after::<IfInfoMsg>();
            let name = attributes.find(libc::IFLA_IFNAME).or_else(|| attributes.find(libc::IFLA_ALT_IFNAME));
            let name = name.and_then(|name| name.text());
            let group = attributes.find(libc::IFLA_GROUP).and_then(|group| group.value::<u32>());
            match (name, group) {
                (Some(name), _) if header.index == 0 || creates(request) => name.to_owned(),
                (Some(name), _) => format!("{} ({name})", on(header.index.into())),
                (None, Some(group)) if header.index == 0 => format!("group {group}"),
                _ => on(header.index.into()),
            }
        }
        libc::RTM_NEWADDR | libc::RTM_DELADDR | libc::RTM_GETADDR => {
            let header: IfAddrMsg = request.family_header()?;
            let attributes = request.attributes_after::<IfAddrMsg>();
            let address = attributes.find(libc::IFA_LOCAL).or_else(|| attributes.find(libc::IFA_ADDRESS));
            match address.and_then(|address| address.ip()) {
                Some(address) => format!("{address}/{} on {}", header.prefix, on(header.index.into())),
                None => on(header.index.into()),
            }
        }
        libc::RTM_NEWROUTE | libc::RTM_DELROUTE | libc::RTM_GETROUTE => {
            let header: RtMsg = request.family_header()?;
            let attributes = request.attributes_after::<RtMsg>();
            let mut words = match attributes.find(libc::RTA_DST).and_then(|to| to.ip()) {
                Some(destination) => format!("{destination}/{}", header.destination_prefix),
                None => "default".to_owned(),
            };
            if let Some(gateway) = attributes.find(libc::RTA_GATEWAY).and_then(|via| via.ip()) {
                words = format!("{words} via {gateway}");
            }
            if let Some(index) = attributes.find(libc::RTA_OIF).and_then(|index| index.value::<u32>()) {
                words = format!("{words} on {}", on(index.into()));
            }
            words
        }
        libc::RTM_NEWNEIGH | libc::RTM_DELNEIGH | libc::RTM_GETNEIGH => {
            let header: NdMsg = request.family_header()?;
            let attributes = request.attributes_after::<NdMsg>();
            let address = attributes.find(libc::NDA_DST).and_then(|address| address.ip());
            let mac = attributes.find(libc::NDA_LLADDR).and_then(|mac| mac.mac());
            match (address, mac) {
                (Some(address), Some(mac)) => format!("{address} at {mac} on {}", on(header.index.into())),
                (Some(address), None) => format!("{address} on {}", on(header.index.into())),
                (None, Some(mac)) => format!("{mac} on {}", on(header.index.into())),
                (None, None) => on(header.index.into()),
            }
        }
        _ => {
            let header: TcMsg = request.family_header()?;
            let kind = request.attributes_after::<TcMsg>().find(libc::TCA_KIND).and_then(|kind| kind.text());
            let hook = match header.parent & 0xFFFF {
                TC_H_MIN_INGRESS => "ingress of ",
                TC_H_MIN_EGRESS => "egress of ",
                _ => "",
            };
            format!("{} on {hook}{}", kind.unwrap_or("any kind"), on(header.index.into()))
        }
    })
}

/// An attribute's name, what it holds in front of nested attributes, and those.
struct Name {
    kind: u16,
    text: &'static str,
    header: usize,
    inside: &'static [Name],
}

const fn leaf(kind: u16, name: &'static str) -> Name {
    Name { kind, text: name, header: 0, inside: &[] }
}

const fn nest(kind: u16, name: &'static str, inside: &'static [Name]) -> Name {
    Name { kind, text: name, header: 0, inside }
}

/// The attributes of a link that a veth peer has as well.
const fn link_names(linkinfo: &'static [Name]) -> [Name; 13] {
    [
        leaf(libc::IFLA_ADDRESS, "IFLA_ADDRESS"),
        leaf(libc::IFLA_IFNAME, "IFLA_IFNAME"),
        leaf(libc::IFLA_MTU, "IFLA_MTU"),
        leaf(libc::IFLA_MASTER, "IFLA_MASTER"),
        nest(libc::IFLA_PROTINFO, "IFLA_PROTINFO", PORT),
        nest(libc::IFLA_LINKINFO, "IFLA_LINKINFO", linkinfo),
        leaf(libc::IFLA_AF_SPEC, "IFLA_AF_SPEC"),
        leaf(libc::IFLA_GROUP, "IFLA_GROUP"),
        leaf(libc::IFLA_NET_NS_FD, "IFLA_NET_NS_FD"),
        leaf(libc::IFLA_NET_NS_PID, "IFLA_NET_NS_PID"),
        leaf(libc::IFLA_NUM_TX_QUEUES, "IFLA_NUM_TX_QUEUES"),
        leaf(libc::IFLA_NUM_RX_QUEUES, "IFLA_NUM_RX_QUEUES"),
        leaf(libc::IFLA_EXT_MASK, "IFLA_EXT_MASK"),
    ]
}

const PORT: &[Name] = &[
    leaf(IFLA_BRPORT_STATE, "IFLA_BRPORT_STATE"),
    leaf(IFLA_BRPORT_MODE, "IFLA_BRPORT_MODE"),
    leaf(IFLA_BRPORT_LEARNING, "IFLA_BRPORT_LEARNING"),
    leaf(IFLA_BRPORT_UNICAST_FLOOD, "IFLA_BRPORT_UNICAST_FLOOD"),
    leaf(IFLA_BRPORT_MCAST_FLOOD, "IFLA_BRPORT_MCAST_FLOOD"),
    leaf(IFLA_BRPORT_BCAST_FLOOD, "IFLA_BRPORT_BCAST_FLOOD"),
    leaf(IFLA_BRPORT_NEIGH_SUPPRESS, "IFLA_BRPORT_NEIGH_SUPPRESS"),
    leaf(IFLA_BRPORT_ISOLATED, "IFLA_BRPORT_ISOLATED"),
];
const BRIDGE: &[Name] = &[
    leaf(IFLA_BR_FORWARD_DELAY, "IFLA_BR_FORWARD_DELAY"),
    leaf(IFLA_BR_AGEING_TIME, "IFLA_BR_AGEING_TIME"),
    leaf(IFLA_BR_STP_STATE, "IFLA_BR_STP_STATE"),
    leaf(IFLA_BR_MCAST_SNOOPING, "IFLA_BR_MCAST_SNOOPING"),
];
const KIND: Name = leaf(libc::IFLA_INFO_KIND, "IFLA_INFO_KIND");
const LINK: &[Name] = &link_names(&[KIND, nest(libc::IFLA_INFO_DATA, "IFLA_INFO_DATA", BRIDGE)]);
const LINK_VETH: &[Name] = &link_names(&[
    KIND,
    nest(
        libc::IFLA_INFO_DATA,
        "IFLA_INFO_DATA",
        &[Name {
            kind: VETH_INFO_PEER,
            text: "VETH_INFO_PEER",
            header: size_of::<IfInfoMsg>(),
            inside: LINK,
        }],
    ),
]);
const ADDRESS: &[Name] = &[
    leaf(libc::IFA_ADDRESS, "IFA_ADDRESS"),
    leaf(libc::IFA_LOCAL, "IFA_LOCAL"),
    leaf(libc::IFA_BROADCAST, "IFA_BROADCAST"),
    leaf(libc::IFA_FLAGS, "IFA_FLAGS"),
];
const ROUTE: &[Name] = &[
    leaf(libc::RTA_DST, "RTA_DST"),
    leaf(libc::RTA_OIF, "RTA_OIF"),
    leaf(libc::RTA_GATEWAY, "RTA_GATEWAY"),
    leaf(libc::RTA_PRIORITY, "RTA_PRIORITY"),
    leaf(libc::RTA_PREFSRC, "RTA_PREFSRC"),
    leaf(libc::RTA_TABLE, "RTA_TABLE"),
];
const NEIGHBOUR: &[Name] = &[
    leaf(libc::NDA_DST, "NDA_DST"),
    leaf(libc::NDA_LLADDR, "NDA_LLADDR"),
    leaf(libc::NDA_VLAN, "NDA_VLAN"),
    leaf(NDA_MASTER, "NDA_MASTER"),
];
const NAMESPACE_ID: &[Name] =
    &[leaf(NETNSA_NSID, "NETNSA_NSID"), leaf(NETNSA_PID, "NETNSA_PID"), leaf(NETNSA_FD, "NETNSA_FD")];
const TC: &[Name] = &[
    leaf(libc::TCA_KIND, "TCA_KIND"),
    nest(
        libc::TCA_OPTIONS,
        "TCA_OPTIONS",
        &[
            leaf(TCA_BPF_CLASSID, "TCA_BPF_CLASSID"),
            leaf(TCA_BPF_FD, "TCA_BPF_FD"),
            leaf(TCA_BPF_NAME, "TCA_BPF_NAME"),
            leaf(TCA_BPF_FLAGS, "TCA_BPF_FLAGS"),
        ],
    ),
];

/// The names of a request's attributes, and the length of the header in front of them.
fn names(request: &Message<'_>) -> (&'static [Name], usize) {
    match request.header.kind {
        libc::RTM_NEWADDR | libc::RTM_DELADDR | libc::RTM_GETADDR => (ADDRESS, size_of::<IfAddrMsg>()),
        libc::RTM_NEWROUTE | libc::RTM_DELROUTE | libc::RTM_GETROUTE => (ROUTE, size_of::<RtMsg>()),
        libc::RTM_NEWNEIGH | libc::RTM_DELNEIGH | libc::RTM_GETNEIGH => (NEIGHBOUR, size_of::<NdMsg>()),
        libc::RTM_NEWLINK | libc::RTM_SETLINK | libc::RTM_DELLINK | libc::RTM_GETLINK => {
            let veth = link_kind(request) == Some("veth");
            (if veth { LINK_VETH } else { LINK }, size_of::<IfInfoMsg>())
        }
        libc::RTM_GETNSID | libc::RTM_NEWNSID => (NAMESPACE_ID, size_of::<RtGenMsg>()),
        _ => (TC, size_of::<TcMsg>()),
    }
}

/// The path to the attribute at `offset` bytes from the beginning of the request, as `NLMSGERR_ATTR_OFFS` gives it:
/// "`IFLA_LINKINFO/IFLA_INFO_KIND`".
pub(crate) fn attribute_path(request: &Message<'_>, offset: usize) -> Option<String> {
    let (names, header) = names(request);
    let target = offset.checked_sub(size_of::<NlMsgHdr>() + header)?;
    path(request.payload.get(header..)?, target, names)
}

fn path(bytes: &[u8], target: usize, names: &'static [Name]) -> Option<String> {
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + size_of::<NlAttr>()) {
        let header: NlAttr = pod_read_unaligned(header);
        let end = at + header.length as usize;
        let Known { name, skip, inside } = name_of(header.kind, names);
        if at == target {
            return Some(name);
        }
        let first = at + size_of::<NlAttr>() + skip;
        if let Some(rest) = target.checked_sub(first).filter(|_| target < end) {
            let below = path(bytes.get(first..end)?, rest, inside)?;
            return Some(format!("{name}/{below}"));
        }
        if align(header.length as usize) < size_of::<NlAttr>() {
            return None;
        }
        at += align(header.length as usize);
    }
    None
}

/// What is known of an attribute.
struct Known {
    name: String,
    skip: usize,
    inside: &'static [Name],
}

fn name_of(kind: u16, names: &'static [Name]) -> Known {
    let kind = kind & !(libc::NLA_F_NESTED as u16);
    match names.iter().find(|name| name.kind == kind) {
        Some(known) => Known { name: known.text.to_owned(), skip: known.header, inside: known.inside },
        None => Known { name: format!("attribute {kind}"), skip: 0, inside: &[] },
    }
}

/// The name of a request's attribute of this kind, not of a nested one.
pub(crate) fn attribute_name(request: &Message<'_>, kind: u16) -> String {
    name_of(kind, names(request).0).name
}
