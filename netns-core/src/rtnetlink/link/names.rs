//! Names of the attributes of links, for errors.

use super::port::PortOptions;
use crate::wire::{Name, leaf, nest};

/// The attributes of a link, which a veth's other end has as well; what is in `IFLA_LINKINFO` depends on the kind.
pub(crate) const fn link_names(info: &'static [Name]) -> [Name; 15] {
    [
        leaf(libc::IFLA_ADDRESS, "IFLA_ADDRESS"),
        leaf(libc::IFLA_IFNAME, "IFLA_IFNAME"),
        leaf(libc::IFLA_MTU, "IFLA_MTU"),
        leaf(libc::IFLA_LINK, "IFLA_LINK"),
        leaf(libc::IFLA_MASTER, "IFLA_MASTER"),
        nest(libc::IFLA_PROTINFO, "IFLA_PROTINFO", PortOptions::NAMES),
        nest(libc::IFLA_LINKINFO, "IFLA_LINKINFO", info),
        leaf(libc::IFLA_AF_SPEC, "IFLA_AF_SPEC"),
        leaf(libc::IFLA_GROUP, "IFLA_GROUP"),
        leaf(libc::IFLA_NET_NS_FD, "IFLA_NET_NS_FD"),
        leaf(libc::IFLA_NET_NS_PID, "IFLA_NET_NS_PID"),
        leaf(libc::IFLA_NUM_TX_QUEUES, "IFLA_NUM_TX_QUEUES"),
        leaf(libc::IFLA_NUM_RX_QUEUES, "IFLA_NUM_RX_QUEUES"),
        leaf(libc::IFLA_EXT_MASK, "IFLA_EXT_MASK"),
        leaf(libc::IFLA_ALT_IFNAME, "IFLA_ALT_IFNAME"),
    ]
}

/// The attributes of a link of a kind whose `IFLA_INFO_DATA` has these.
macro_rules! names_of_kind {
    ($data:expr) => {{
        const INFO: &[$crate::wire::Name] = &[
            $crate::wire::leaf(libc::IFLA_INFO_KIND, "IFLA_INFO_KIND"),
            $crate::wire::nest(libc::IFLA_INFO_DATA, "IFLA_INFO_DATA", $data),
            $crate::wire::leaf(libc::IFLA_INFO_SLAVE_KIND, "IFLA_INFO_SLAVE_KIND"),
            $crate::wire::nest(
                libc::IFLA_INFO_SLAVE_DATA,
                "IFLA_INFO_SLAVE_DATA",
                $crate::rtnetlink::link::PortOptions::NAMES,
            ),
        ];
        const LINK: &[$crate::wire::Name] = &$crate::rtnetlink::link::names::link_names(INFO);
        LINK
    }};
}
pub(crate) use names_of_kind;

/// The attributes of a link of another kind than ours.
pub(crate) const LINK: &[Name] = names_of_kind!(&[]);
