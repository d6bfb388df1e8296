//! `vxlan`: Ethernet over UDP.

use crate::rtnetlink::option::codec::{AddressCodec, Flag, LinkIndex, NetworkOrder, Plain, QuietFlag};
use crate::rtnetlink::option::table::options;
use std::net::{Ipv4Addr, Ipv6Addr};

options! {
    /// Options of a VXLAN; in a request, what is `None` stays. `IFLA_VXLAN_*` of
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_link.h>.
    VxlanOptions {
        /// Its number, 0 to 16777215.
        id: u32 as Plain = IFLA_VXLAN_ID 1;
        /// The multicast group that it floods to, or the one host at the other end.
        group: Ipv4Addr as AddressCodec = IFLA_VXLAN_GROUP 2 alias "remote";
        /// The link that it sends by.
        dev: u32 as LinkIndex = IFLA_VXLAN_LINK 3 key "link";
        /// The address that it sends from.
        local: Ipv4Addr as AddressCodec = IFLA_VXLAN_LOCAL 4;
        /// How many routers a packet may pass; 0 is the host's default.
        ttl: u8 as Plain = IFLA_VXLAN_TTL 5;
        /// Whether it learns who is where.
        learning: bool as Flag = IFLA_VXLAN_LEARNING 7 default 1;
        /// How many seconds an address that is no longer heard stays learnt.
        ageing: u32 as Plain = IFLA_VXLAN_AGEING 8 default 300;
        /// Whether it answers ARP for hosts that it knows.
        proxy: bool as QuietFlag = IFLA_VXLAN_PROXY 11 default 0;
        /// Whether it routes without asking the host.
        rsc: bool as QuietFlag = IFLA_VXLAN_RSC 12 default 0;
        /// Whether programs are asked about unknown MAC addresses.
        l2miss: bool as QuietFlag = IFLA_VXLAN_L2MISS 13 default 0;
        /// Whether programs are asked about unknown IP addresses.
        l3miss: bool as QuietFlag = IFLA_VXLAN_L3MISS 14 default 0;
        /// The UDP port of the other end; the kernel's default is 8472, IANA's is 4789.
        dstport: u16 as NetworkOrder = IFLA_VXLAN_PORT 15 key "port";
        /// The group or the other end, as an IPv6 address.
        group6: Ipv6Addr as AddressCodec = IFLA_VXLAN_GROUP6 16 alias "remote" name "group" key "group6";
        /// The address that it sends from, for IPv6.
        local6: Ipv6Addr as AddressCodec = IFLA_VXLAN_LOCAL6 17 name "local" key "local6";
    }
}
