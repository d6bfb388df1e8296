//! `tun`: what the kernel calls TAPs and TUNs, which [`crate::tap`] makes and rtnetlink describes.

use crate::rtnetlink::option::codec::{Plain, Switch, Worded};
use crate::rtnetlink::option::table::options;
use crate::rtnetlink::words::TunType;

options! {
    /// What is known of a TAP; none of it can be changed by rtnetlink. `IFLA_TUN_*` of
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_link.h>.
    TunOptions {
        /// The user that may attach to it, if one is named.
        owner: u32 as Plain = IFLA_TUN_OWNER 1;
        /// The group that may attach to it, if one is named.
        owner_group: u32 as Plain = IFLA_TUN_GROUP 2;
        /// Whether its program has frames or packets.
        tun_type: TunType as Worded = IFLA_TUN_TYPE 3 name "type" key "type";
        /// Whether each of them begins with flags and a protocol.
        pi: bool as Switch = IFLA_TUN_PI 4;
        /// Whether each of them begins with a `virtio_net_hdr`.
        vnet_hdr: bool as Switch = IFLA_TUN_VNET_HDR 5;
        /// Whether it stays when no program is attached.
        persist: bool as Switch = IFLA_TUN_PERSIST 6;
        /// Whether it has several queues.
        multi_queue: bool as Switch = IFLA_TUN_MULTI_QUEUE 7;
        /// How many queues are in use, if it has several.
        numqueues: u32 as Plain = IFLA_TUN_NUM_QUEUES 8;
        /// How many queues are switched off, if it has several.
        numdisabled: u32 as Plain = IFLA_TUN_NUM_DISABLED_QUEUES 9;
    }
}
