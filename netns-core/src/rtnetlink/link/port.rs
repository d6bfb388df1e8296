//! Ports of bridges: the options that `bridge link set` and `ip link set type bridge_slave` change.

use crate::rtnetlink::option::codec::{LinkIndex, Mask, Plain, Switch, Worded};
use crate::rtnetlink::option::table::options;
use crate::rtnetlink::words::PortState;

options! {
    /// Options of a bridge port; in a request, what is `None` stays. `IFLA_BRPORT_*` of
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_link.h>.
    PortOptions {
        /// What it does, for a spanning tree protocol in user space; without one the kernel lets a port be disabled, and no
        /// more (`br_port_state_selection`).
        state: PortState as Worded = IFLA_BRPORT_STATE 1;
        /// Its priority among the bridge's ports, 0 to 63: the lower, the more it is preferred.
        priority: u16 as Plain = IFLA_BRPORT_PRIORITY 2;
        /// What a way through it costs; by default it follows from the link's speed: 2 for a veth's 10 Gbit/s.
        cost: u32 as Plain = IFLA_BRPORT_COST 3;
        /// Whether a frame may leave by the port that it came in by.
        hairpin: bool as Switch = IFLA_BRPORT_MODE 4 default 0;
        /// Whether a spanning tree message that comes in here blocks the port.
        guard: bool as Switch = IFLA_BRPORT_GUARD 5 default 0;
        /// Whether the port may not become the one that leads to the root of the spanning tree.
        root_block: bool as Switch = IFLA_BRPORT_PROTECT 6 default 0;
        /// Whether a multicast group ends here at once when a listener leaves.
        fastleave: bool as Switch = IFLA_BRPORT_FAST_LEAVE 7 default 0;
        /// Whether source addresses are learnt.
        learning: bool as Switch = IFLA_BRPORT_LEARNING 8 default 1;
        /// Whether unicast frames to unknown addresses go out here.
        flood: bool as Switch = IFLA_BRPORT_UNICAST_FLOOD 9 default 1;
        /// Whether the bridge answers ARP requests on behalf of hosts behind other ports.
        proxy_arp: bool as Switch = IFLA_BRPORT_PROXYARP 10 default 0;
        /// The same, as IEEE 802.11 and Hotspot 2.0 have it.
        proxy_arp_wifi: bool as Switch = IFLA_BRPORT_PROXYARP_WIFI 12 default 0;
        /// Whether a multicast router is there: 0 never, 1 if it is heard, 2 always, 3 for a while.
        mcast_router: u8 as Plain = IFLA_BRPORT_MULTICAST_ROUTER 25 key "multicast_router" default 1;
        /// Whether multicast frames without known listeners go out here.
        mcast_flood: bool as Switch = IFLA_BRPORT_MCAST_FLOOD 27 default 1;
        /// Whether multicast frames go to each listener as unicast.
        mcast_to_unicast: bool as Switch = IFLA_BRPORT_MCAST_TO_UCAST 28 default 0;
        /// Whether VLANs are mapped to tunnels here.
        vlan_tunnel: bool as Switch = IFLA_BRPORT_VLAN_TUNNEL 29 default 0;
        /// Whether broadcast frames go out here.
        bcast_flood: bool as Switch = IFLA_BRPORT_BCAST_FLOOD 30 default 1;
        /// Which frames to 01:80:c2:00:00:0X are forwarded, a bit each.
        group_fwd_mask: u16 as Mask = IFLA_BRPORT_GROUP_FWD_MASK 31 default 0;
        /// Whether the bridge answers ARP and neighbour solicitations for addresses that it knows instead of sending
        /// them out here.
        neigh_suppress: bool as Switch = IFLA_BRPORT_NEIGH_SUPPRESS 32 default 0;
        /// Whether isolated ports cannot reach each other, only those that are not.
        isolated: bool as Switch = IFLA_BRPORT_ISOLATED 33 default 0;
        /// The port that traffic goes by when this one has no carrier.
        backup_port: u32 as LinkIndex = IFLA_BRPORT_BACKUP_PORT 34;
        /// Whether only hosts with an entry in the forwarding database may send (Linux 5.16).
        locked: bool as Switch = IFLA_BRPORT_LOCKED 39 default 0;
        /// Whether a locked port notes who tried to send (Linux 6.2).
        mab: bool as Switch = IFLA_BRPORT_MAB 40 default 0;
        /// Whether `neigh_suppress` is decided for each VLAN (Linux 6.4).
        neigh_vlan_suppress: bool as Switch = IFLA_BRPORT_NEIGH_VLAN_SUPPRESS 43 default 0;
    }
}
