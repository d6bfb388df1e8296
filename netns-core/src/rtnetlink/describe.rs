//! Putting a request of rtnetlink's into words.
//!
//! Errors name the operation, the object and the attribute that the kernel complains of. All of that is read back
//! from the request's own bytes when something has failed, so that nothing needs to be remembered while all goes well.

use super::link::LinkKind;
use super::link::names::LINK;
use crate::error::{Description, Operation};
use crate::wire::{
    IFA_RT_PRIORITY, IfAddrMsg, IfInfoMsg, Message, NDA_FLAGS_EXT, NDA_MASTER, NDA_PROTOCOL, NETNSA_FD,
    NETNSA_NSID, NETNSA_PID, NdMsg, NlMsgHdr, RTA_NH_ID, RTA_PREF, RTA_VIA, RtGenMsg, RtMsg, TC_H_MIN_EGRESS,
    TC_H_MIN_INGRESS, TCA_BPF_CLASSID, TCA_BPF_FD, TCA_BPF_FLAGS, TCA_BPF_NAME, TCA_CHAIN, TcMsg,
};
use crate::wire::{Name, leaf, name as name_in, nest, path};

/// What a request asks for, and of what.
pub(crate) fn describe(request: &Message<'_>) -> Description {
    let dump = i32::from(request.header.flags) & libc::NLM_F_DUMP == libc::NLM_F_DUMP;
    let operation = match request.header.kind {
        libc::RTM_NEWLINK if creates(request) => Operation::CreateLink(link_kind(request).unwrap_or("link")),
        libc::RTM_NEWLINK => Operation::SetLink,
        libc::RTM_SETLINK => Operation::SetBridgePort,
        libc::RTM_DELLINK => Operation::DeleteLink,
        libc::RTM_GETLINK if dump => Operation::ListLinks,
        libc::RTM_GETLINK => Operation::GetLink,
        libc::RTM_NEWADDR => Operation::AddAddress,
        libc::RTM_DELADDR => Operation::DeleteAddress,
        libc::RTM_GETADDR if dump => Operation::ListAddresses,
        libc::RTM_GETADDR => Operation::GetAddress,
        libc::RTM_NEWROUTE => Operation::AddRoute,
        libc::RTM_DELROUTE => Operation::DeleteRoute,
        libc::RTM_GETROUTE if dump => Operation::ListRoutes,
        libc::RTM_GETROUTE => Operation::GetRoute,
        libc::RTM_NEWNEIGH => Operation::AddNeighbour,
        libc::RTM_DELNEIGH => Operation::DeleteNeighbour,
        libc::RTM_GETNEIGH if dump => Operation::ListNeighbours,
        libc::RTM_GETNEIGH => Operation::GetNeighbour,
        libc::RTM_NEWQDISC => Operation::AddQdisc,
        libc::RTM_DELQDISC => Operation::DeleteQdisc,
        libc::RTM_GETQDISC if dump => Operation::ListQdiscs,
        libc::RTM_GETQDISC => Operation::GetQdisc,
        libc::RTM_NEWTFILTER => Operation::AddFilter,
        libc::RTM_DELTFILTER => Operation::DeleteFilter,
        libc::RTM_GETTFILTER if dump => Operation::ListFilters,
        libc::RTM_GETTFILTER => Operation::GetFilter,
        libc::RTM_GETNSID if dump => Operation::ListNamespaceIds,
        libc::RTM_GETNSID => Operation::GetNamespaceId,
        libc::RTM_NEWNSID => Operation::AssignNamespaceId,
        other => return Description { operation: Operation::Netlink(other), object: String::new() },
    };
    let object = if dump { String::new() } else { object(request).unwrap_or_default() };
    Description { operation, object }
}

fn creates(request: &Message<'_>) -> bool {
    i32::from(request.header.flags) & libc::NLM_F_CREATE != 0
}

/// The kind of a link that is made, if it is one of ours.
fn link_kind(request: &Message<'_>) -> Option<&'static str> {
    LinkKind::named(kind_text(request)?).map(|kind| kind.name())
}

/// `IFLA_INFO_KIND` of a link request.
fn kind_text<'a>(request: &Message<'a>) -> Option<&'a str> {
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
                (Some(name), _) if creates(request) => match (kind_text(request), link_kind(request)) {
                    (Some(unknown), None) => format!("{name} of kind {unknown}"),
                    _ => name.to_owned(),
                },
                (Some(name), _) if header.index == 0 => name.to_owned(),
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
        libc::RTM_NEWNSID | libc::RTM_GETNSID => {
            let id: i32 = request.attributes_after::<RtGenMsg>().find(NETNSA_NSID)?.value()?;
            // `NETNSA_NSID_NOT_ASSIGNED` asks for any that is free.
            if id < 0 { String::new() } else { id.to_string() }
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

const ADDRESS: &[Name] = &[
    leaf(libc::IFA_ADDRESS, "IFA_ADDRESS"),
    leaf(libc::IFA_LOCAL, "IFA_LOCAL"),
    leaf(libc::IFA_BROADCAST, "IFA_BROADCAST"),
    leaf(libc::IFA_LABEL, "IFA_LABEL"),
    leaf(libc::IFA_CACHEINFO, "IFA_CACHEINFO"),
    leaf(libc::IFA_FLAGS, "IFA_FLAGS"),
    leaf(IFA_RT_PRIORITY, "IFA_RT_PRIORITY"),
];
const ROUTE: &[Name] = &[
    leaf(libc::RTA_DST, "RTA_DST"),
    leaf(libc::RTA_OIF, "RTA_OIF"),
    leaf(libc::RTA_GATEWAY, "RTA_GATEWAY"),
    leaf(libc::RTA_PRIORITY, "RTA_PRIORITY"),
    leaf(libc::RTA_PREFSRC, "RTA_PREFSRC"),
    leaf(libc::RTA_TABLE, "RTA_TABLE"),
    leaf(libc::RTA_SRC, "RTA_SRC"),
    leaf(libc::RTA_METRICS, "RTA_METRICS"),
    leaf(libc::RTA_MULTIPATH, "RTA_MULTIPATH"),
    leaf(libc::RTA_FLOW, "RTA_FLOW"),
    leaf(RTA_VIA, "RTA_VIA"),
    leaf(RTA_PREF, "RTA_PREF"),
    leaf(RTA_NH_ID, "RTA_NH_ID"),
];
const NEIGHBOUR: &[Name] = &[
    leaf(libc::NDA_DST, "NDA_DST"),
    leaf(libc::NDA_LLADDR, "NDA_LLADDR"),
    leaf(libc::NDA_VLAN, "NDA_VLAN"),
    leaf(NDA_MASTER, "NDA_MASTER"),
    leaf(NDA_PROTOCOL, "NDA_PROTOCOL"),
    leaf(NDA_FLAGS_EXT, "NDA_FLAGS_EXT"),
];
const NAMESPACE_ID: &[Name] =
    &[leaf(NETNSA_NSID, "NETNSA_NSID"), leaf(NETNSA_PID, "NETNSA_PID"), leaf(NETNSA_FD, "NETNSA_FD")];
const TC: &[Name] = &[
    leaf(libc::TCA_KIND, "TCA_KIND"),
    leaf(TCA_CHAIN, "TCA_CHAIN"),
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
            let kind = kind_text(request).and_then(LinkKind::named);
            (kind.map_or(LINK, |kind| kind.attributes()), size_of::<IfInfoMsg>())
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

/// The name of a request's attribute of this kind, not of a nested one.
pub(crate) fn attribute_name(request: &Message<'_>, kind: u16) -> String {
    name_in(kind, names(request).0)
}
