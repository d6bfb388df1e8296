//! `vlan`: one VLAN of an Ethernet link.

use crate::rtnetlink::option::codec::{Plain, WordedNetworkOrder};
use crate::rtnetlink::option::table::options;
use crate::rtnetlink::words::VlanProtocol;

options! {
    /// Options of a VLAN; the kernel takes them when it is made. `IFLA_VLAN_*` of
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_link.h>.
    VlanOptions {
        /// Its number, 1 to 4094.
        id: u16 as Plain = IFLA_VLAN_ID 1;
        /// Its tag: 802.1Q, or 802.1ad for a VLAN that has VLANs in it.
        protocol: VlanProtocol as WordedNetworkOrder = IFLA_VLAN_PROTOCOL 5;
    }
}
