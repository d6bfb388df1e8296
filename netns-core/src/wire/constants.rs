//! Numbers of the kernel's uapi headers that libc does not declare, or not for every C library. Only those that the
//! crate uses; the rest of `RTM_*`, `IFLA_*`, `IFA_*`, `RTA_*`, `NDA_*` and `NLM_F_*` are libc's.
#![expect(missing_docs, reason = "each is the kernel's constant of the same name")]

// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/veth.h>
pub const VETH_INFO_PEER: u16 = 1;

// `IFLA_BR_*`, `IFLA_BRPORT_*` and those of the other kinds of links are beside the options that they are.
// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_link.h>
/// In `IFLA_AF_SPEC`, under `AF_INET6`.
pub const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
/// Leave statistics out of a link's description.
pub const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;

// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_addr.h>
pub const IFA_RT_PRIORITY: u16 = 9;

// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/neighbour.h>
pub const NDA_MASTER: u16 = 9;
pub const NDA_PROTOCOL: u16 = 12;
pub const NDA_FLAGS_EXT: u16 = 15;

// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/rtnetlink.h>
pub const RTA_VIA: u16 = 18;
pub const RTA_PREF: u16 = 20;
pub const RTA_ENCAP_TYPE: u16 = 21;
pub const RTA_UID: u16 = 25;
pub const RTA_NH_ID: u16 = 30;

// `TCA_BPF_*`, `TC_H_*`: <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/pkt_cls.h>
// and <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/pkt_sched.h>
pub const TCA_BPF_CLASSID: u16 = 3;
pub const TCA_BPF_FD: u16 = 6;
pub const TCA_BPF_NAME: u16 = 7;
pub const TCA_BPF_FLAGS: u16 = 8;
pub const TCA_BPF_ID: u16 = 11;
/// `TCA_CHAIN` of <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/rtnetlink.h>.
pub const TCA_CHAIN: u16 = 11;
pub const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
pub const TC_H_CLSACT: u32 = 0xFFFF_FFF1;
pub const TC_H_MIN_INGRESS: u32 = 0xFFF2;
pub const TC_H_MIN_EGRESS: u32 = 0xFFF3;

// `NLMSGERR_ATTR_*`: <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netlink.h>
pub const NLMSGERR_ATTR_MSG: u16 = 1;
pub const NLMSGERR_ATTR_OFFS: u16 = 2;
pub const NLMSGERR_ATTR_MISS_TYPE: u16 = 5;

// `NETNSA_*`: <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/net_namespace.h>
pub const NETNSA_NSID: u16 = 1;
pub const NETNSA_PID: u16 = 2;
pub const NETNSA_FD: u16 = 3;

// libc declares these three for glibc and not for musl. The kernel has the same numbers under both.
#[cfg(target_env = "gnu")]
const _: () = {
    assert!(NDA_MASTER == libc::NDA_MASTER);
    assert!(RTA_VIA == libc::RTA_VIA);
    assert!(RTA_PREF == libc::RTA_PREF);
};
