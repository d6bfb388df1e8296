//! The kernel's structures, byte for byte.
//!
//! Each one is `Pod`, so `wire` can turn it into bytes and back without an unsafe line of its own. `kernel_struct!`
//! holds the proof that this is sound, and compares size and offsets with libc's declaration where libc has one, with
//! those of the kernel's uapi header where it has none.

use bytemuck::{Pod, Zeroable};
use core::mem::offset_of;

/// Declares a `#[repr(C)]` structure, proves at compile time that it is plain old data, and that it is laid out as the
/// kernel's.
macro_rules! kernel_struct {
    (
        $(#[$meta:meta])*
        $visibility:vis $name:ident: $size:expr => {
            $( $(#[$field_meta:meta])* $field:ident: $type:ty = $offset:expr; )*
        }
    ) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        $visibility struct $name {
            $( $(#[$field_meta])* pub $field: $type, )*
        }

        const _: () = {
            const fn is_pod<T: Pod>() {}
            $( is_pod::<$type>(); )*
            // No byte of the structure is padding.
            assert!(size_of::<$name>() == 0 $( + size_of::<$type>() )*);
            assert!(size_of::<$name>() == $size);
            $( assert!(offset_of!($name, $field) == $offset); )*
        };

        // SAFETY: every field is `Pod` (checked above), and all zeroes is a value of each.
        unsafe impl Zeroable for $name {}
        // SAFETY: `repr(C)`, `Copy`, `'static`; every field is `Pod` and the sizes of the fields add up to the size of
        // the whole, both checked above, so there is no padding and every bit pattern is valid.
        unsafe impl Pod for $name {}
    };
}

kernel_struct! {
    /// `struct nlmsghdr`: what every netlink message begins with.
    pub NlMsgHdr: size_of::<libc::nlmsghdr>() => {
        /// Length of the message in bytes, this header included.
        length: u32 = offset_of!(libc::nlmsghdr, nlmsg_len);
        /// `RTM_*` or `NLMSG_*`.
        kind: u16 = offset_of!(libc::nlmsghdr, nlmsg_type);
        /// `NLM_F_*`.
        flags: u16 = offset_of!(libc::nlmsghdr, nlmsg_flags);
        /// Answers carry the number of the request.
        sequence: u32 = offset_of!(libc::nlmsghdr, nlmsg_seq);
        /// The port id of the socket that asked.
        port: u32 = offset_of!(libc::nlmsghdr, nlmsg_pid);
    }
}

kernel_struct! {
    /// `struct nlmsgerr` without what follows it.
    pub NlMsgErr: size_of::<libc::nlmsgerr>() => {
        /// 0 for an acknowledgement, else a negative errno.
        error: i32 = offset_of!(libc::nlmsgerr, error);
        /// The header of the request that is answered.
        request: NlMsgHdr = offset_of!(libc::nlmsgerr, msg);
    }
}

kernel_struct! {
    /// `struct nlattr`: what every attribute begins with.
    pub NlAttr: size_of::<libc::nlattr>() => {
        /// Length in bytes, this header included, padding excluded.
        length: u16 = offset_of!(libc::nlattr, nla_len);
        /// `IFLA_*`, `IFA_*` and so on, by message; the two highest bits are flags.
        kind: u16 = offset_of!(libc::nlattr, nla_type);
    }
}

kernel_struct! {
    /// `struct ifinfomsg`, the header of link messages.
    pub IfInfoMsg: size_of::<libc::ifinfomsg>() => {
        /// `AF_UNSPEC`, or `AF_BRIDGE` for port options and FDB.
        family: u8 = offset_of!(libc::ifinfomsg, ifi_family);
        /// Reserved.
        pad: u8 = 1;
        /// `ARPHRD_*`.
        link_type: u16 = offset_of!(libc::ifinfomsg, ifi_type);
        /// Interface index; an `int` in the kernel, and never negative.
        index: u32 = offset_of!(libc::ifinfomsg, ifi_index);
        /// `IFF_*`.
        flags: u32 = offset_of!(libc::ifinfomsg, ifi_flags);
        /// Which of `flags` a request means to change.
        change: u32 = offset_of!(libc::ifinfomsg, ifi_change);
    }
}

kernel_struct! {
    /// `struct ifaddrmsg`, the header of address messages.
    pub IfAddrMsg: size_of::<libc::ifaddrmsg>() => {
        /// `AF_INET` or `AF_INET6`.
        family: u8 = offset_of!(libc::ifaddrmsg, ifa_family);
        /// Prefix length in bits.
        prefix: u8 = offset_of!(libc::ifaddrmsg, ifa_prefixlen);
        /// The low eight of `IFA_F_*`.
        flags: u8 = offset_of!(libc::ifaddrmsg, ifa_flags);
        /// `RT_SCOPE_*`.
        scope: u8 = offset_of!(libc::ifaddrmsg, ifa_scope);
        /// Interface index.
        index: u32 = offset_of!(libc::ifaddrmsg, ifa_index);
    }
}

kernel_struct! {
    /// `struct rtgenmsg` and the padding up to the attributes, the header of messages about namespace ids. libc has no
    /// declaration of it: <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/rtnetlink.h>.
    pub RtGenMsg: 4 => {
        /// `AF_UNSPEC`.
        family: u8 = 0;
        /// Attributes begin at a multiple of four.
        pad: [u8; 3] = 1;
    }
}

kernel_struct! {
    /// `struct rtmsg`, the header of route messages. libc has no declaration of it; offsets from
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/rtnetlink.h>.
    pub RtMsg: 12 => {
        /// `AF_INET` or `AF_INET6`.
        family: u8 = 0;
        /// Length of the destination prefix in bits; 0 with no `RTA_DST` is the default route.
        destination_prefix: u8 = 1;
        /// Length of the source prefix in bits.
        source_prefix: u8 = 2;
        /// Type of service.
        tos: u8 = 3;
        /// `RT_TABLE_*`.
        table: u8 = 4;
        /// `RTPROT_*`.
        protocol: u8 = 5;
        /// `RT_SCOPE_*`.
        scope: u8 = 6;
        /// `RTN_*`.
        kind: u8 = 7;
        /// `RTM_F_*`.
        flags: u32 = 8;
    }
}

kernel_struct! {
    /// `struct ifa_cacheinfo`, how long an address lives: all ones is for ever. libc has no declaration of it; offsets
    /// from <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_addr.h>.
    pub IfaCacheInfo: 16 => {
        /// For how many seconds more it is preferred; the kernel's header spells it `ifa_prefered`.
        preferred: u32 = 0;
        /// For how many seconds more it is valid.
        valid: u32 = 4;
        /// When it was made, in hundredths of a second since the machine was started.
        created: u32 = 8;
        /// When it was changed, likewise.
        updated: u32 = 12;
    }
}

kernel_struct! {
    /// `struct rta_cacheinfo`, what is known of a route besides. libc has no declaration of it; offsets from
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/rtnetlink.h>.
    pub RtaCacheInfo: 32 => {
        /// References to it.
        references: u32 = 0;
        /// Clock ticks since it was last used.
        last_used: u32 = 4;
        /// Clock ticks until it ends, 0 for never, negative if it has.
        expires: i32 = 8;
        /// An errno, 0 for none.
        error: u32 = 12;
        /// How often it was used.
        used: u32 = 16;
        /// An identification of packets; 0 in lists.
        id: u32 = 20;
        /// Not set any more.
        timestamp: u32 = 24;
        /// Not set any more.
        timestamp_age: u32 = 28;
    }
}

kernel_struct! {
    /// `struct ndmsg`, the header of neighbour and FDB messages. libc has no declaration of it; offsets from
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/neighbour.h>.
    pub NdMsg: 12 => {
        /// `AF_INET`, `AF_INET6`, or `AF_BRIDGE` for the FDB.
        family: u8 = 0;
        /// Reserved.
        pad1: u8 = 1;
        /// Reserved.
        pad2: u16 = 2;
        /// Interface index; an `int` in the kernel, and never negative.
        index: u32 = 4;
        /// `NUD_*`.
        state: u16 = 8;
        /// `NTF_*`.
        flags: u8 = 10;
        /// `RTN_*`, in replies.
        kind: u8 = 11;
    }
}

kernel_struct! {
    /// `struct tcmsg`, the header of traffic-control messages. libc has no declaration of it; offsets from
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/rtnetlink.h>.
    pub TcMsg: 20 => {
        /// `AF_UNSPEC`.
        family: u8 = 0;
        /// Reserved.
        pad1: u8 = 1;
        /// Reserved.
        pad2: u16 = 2;
        /// Interface index; an `int` in the kernel, and never negative.
        index: u32 = 4;
        /// The object's own handle.
        handle: u32 = 8;
        /// The qdisc or hook it hangs on.
        parent: u32 = 12;
        /// For filters: priority in the high half, protocol number (network order) in the low.
        info: u32 = 16;
    }
}

kernel_struct! {
    /// `struct nfgenmsg`, the header of netfilter's messages. libc has no declaration of it; offsets from
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter/nfnetlink.h>.
    pub NfGenMsg: 4 => {
        /// `NFPROTO_*`.
        family: u8 = 0;
        /// `NFNETLINK_V0`.
        version: u8 = 1;
        /// Of a batch's begin and end the subsystem, in network order.
        resource: u16 = 2;
    }
}

kernel_struct! {
    /// The first 24 counters of `struct rtnl_link_stats64`, which every kernel since 4.6 sends; offsets from
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_link.h>.
    pub LinkStats64: 192 => {
        /// Packets that the interface handed to the stack.
        rx_packets: u64 = 0;
        /// Packets that the interface sent.
        tx_packets: u64 = 8;
        /// Bytes received, Ethernet header included, checksum excluded.
        rx_bytes: u64 = 16;
        /// Bytes sent, Ethernet header included, checksum excluded.
        tx_bytes: u64 = 24;
        /// Bad packets received.
        rx_errors: u64 = 32;
        /// Transmit problems.
        tx_errors: u64 = 40;
        /// Packets received but not processed.
        rx_dropped: u64 = 48;
        /// Packets dropped on their way out.
        tx_dropped: u64 = 56;
        /// Multicast packets received.
        multicast: u64 = 64;
        /// Collisions.
        collisions: u64 = 72;
        /// Length errors.
        rx_length_errors: u64 = 80;
        /// Receive overruns.
        rx_over_errors: u64 = 88;
        /// Checksum errors.
        rx_crc_errors: u64 = 96;
        /// Frame alignment errors.
        rx_frame_errors: u64 = 104;
        /// FIFO errors.
        rx_fifo_errors: u64 = 112;
        /// Packets missed by the host.
        rx_missed_errors: u64 = 120;
        /// Aborted transmissions.
        tx_aborted_errors: u64 = 128;
        /// Carrier losses.
        tx_carrier_errors: u64 = 136;
        /// FIFO errors.
        tx_fifo_errors: u64 = 144;
        /// Heartbeat errors.
        tx_heartbeat_errors: u64 = 152;
        /// Late collisions.
        tx_window_errors: u64 = 160;
        /// Compressed packets received.
        rx_compressed: u64 = 168;
        /// Compressed packets sent.
        tx_compressed: u64 = 176;
        /// Packets dropped because no handler was found.
        rx_nohandler: u64 = 184;
    }
}

kernel_struct! {
    /// `struct inotify_event` without the name that follows it.
    pub(crate) InotifyEvent: size_of::<libc::inotify_event>() => {
        /// The watch that it belongs to; an `int` in the kernel.
        watch: u32 = offset_of!(libc::inotify_event, wd);
        /// `IN_*`.
        mask: u32 = offset_of!(libc::inotify_event, mask);
        /// Ties the two events of a rename together.
        cookie: u32 = offset_of!(libc::inotify_event, cookie);
        /// Length of the name in bytes, padding included.
        length: u32 = offset_of!(libc::inotify_event, len);
    }
}
