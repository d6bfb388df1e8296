//! `bridge`: what joins its ports as a switch does.

use crate::MacAddress;
use crate::rtnetlink::option::codec::{
    AddressCodec, Bit, BitOf, Mask, Plain, Ticks, WideBit, WordedNetworkOrder,
};
use crate::rtnetlink::option::table::options;
use crate::rtnetlink::words::VlanProtocol;
use std::time::Duration;

options! {
    /// Options of a bridge; in a request, what is `None` stays. `IFLA_BR_*` of
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_link.h>. Times are kept in hundredths of a second.
    BridgeOptions {
        /// How long a port listens, and then learns, before it forwards, with the spanning tree protocol.
        forward_delay: Duration as Ticks<u32> = IFLA_BR_FORWARD_DELAY 1;
        /// How often a root of the spanning tree says so.
        hello_time: Duration as Ticks<u32> = IFLA_BR_HELLO_TIME 2;
        /// How long the root of the spanning tree is believed.
        max_age: Duration as Ticks<u32> = IFLA_BR_MAX_AGE 3;
        /// How long an address that is no longer heard stays learnt; by default 300 s.
        ageing_time: Duration as Ticks<u32> = IFLA_BR_AGEING_TIME 4;
        /// Whether it speaks the spanning tree protocol, with which a new port waits 30 s before it forwards.
        stp_state: bool as WideBit = IFLA_BR_STP_STATE 5 default 0;
        /// Its priority in the spanning tree: the lowest bridge is the root.
        priority: u16 as Plain = IFLA_BR_PRIORITY 6 default 32768;
        /// Whether it distinguishes VLANs, and lets a port send and receive in its VLANs only. A kernel built without
        /// `CONFIG_BRIDGE_VLAN_FILTERING` refuses it with `EOPNOTSUPP`.
        vlan_filtering: bool as Bit = IFLA_BR_VLAN_FILTERING 7 default 0;
        /// The tags by which it distinguishes VLANs.
        vlan_protocol: VlanProtocol as WordedNetworkOrder = IFLA_BR_VLAN_PROTOCOL 8;
        /// Which frames to 01:80:c2:00:00:0X are forwarded, a bit each.
        group_fwd_mask: u16 as Mask = IFLA_BR_GROUP_FWD_MASK 9 default 0;
        /// The group that it speaks the spanning tree protocol to, one of 01:80:c2:00:00:0X.
        group_addr: MacAddress as AddressCodec = IFLA_BR_GROUP_ADDR 20 name "group_address" key "group_addr";
        /// Whether it is a multicast router: 0 no, 1 if one is heard, 2 yes.
        mcast_router: u8 as Plain = IFLA_BR_MCAST_ROUTER 22 default 1;
        /// Whether it listens to IGMP and MLD to send multicast only where it is wanted.
        mcast_snooping: bool as Bit = IFLA_BR_MCAST_SNOOPING 23 default 1;
        /// Whether its own address is the source of its IGMP queries.
        mcast_query_use_ifaddr: bool as Bit = IFLA_BR_MCAST_QUERY_USE_IFADDR 24 default 0;
        /// Whether it sends IGMP and MLD queries.
        mcast_querier: bool as Bit = IFLA_BR_MCAST_QUERIER 25 default 0;
        /// How many groups it remembers.
        mcast_hash_max: u32 as Plain = IFLA_BR_MCAST_HASH_MAX 27 default 4096;
        /// How many queries follow the leaving of a listener.
        mcast_last_member_count: u32 as Plain = IFLA_BR_MCAST_LAST_MEMBER_CNT 28 key "mcast_last_member_cnt" default 2;
        /// How many queries it begins with.
        mcast_startup_query_count: u32 as Plain = IFLA_BR_MCAST_STARTUP_QUERY_CNT 29 key "mcast_startup_query_cnt" default 2;
        /// The time between queries that follow the leaving of a listener.
        mcast_last_member_interval: Duration as Ticks<u64> = IFLA_BR_MCAST_LAST_MEMBER_INTVL 30 key "mcast_last_member_intvl";
        /// How long a listener is remembered that does not answer.
        mcast_membership_interval: Duration as Ticks<u64> = IFLA_BR_MCAST_MEMBERSHIP_INTVL 31 key "mcast_membership_intvl";
        /// How long another querier is remembered.
        mcast_querier_interval: Duration as Ticks<u64> = IFLA_BR_MCAST_QUERIER_INTVL 32 key "mcast_querier_intvl";
        /// The time between queries.
        mcast_query_interval: Duration as Ticks<u64> = IFLA_BR_MCAST_QUERY_INTVL 33 key "mcast_query_intvl";
        /// How long listeners have to answer.
        mcast_query_response_interval: Duration as Ticks<u64> = IFLA_BR_MCAST_QUERY_RESPONSE_INTVL 34 key "mcast_query_response_intvl";
        /// The time between the queries that it begins with.
        mcast_startup_query_interval: Duration as Ticks<u64> = IFLA_BR_MCAST_STARTUP_QUERY_INTVL 35 key "mcast_startup_query_intvl";
        /// Whether iptables sees what it forwards.
        nf_call_iptables: bool as Bit = IFLA_BR_NF_CALL_IPTABLES 36 default 0;
        /// Whether ip6tables sees what it forwards.
        nf_call_ip6tables: bool as Bit = IFLA_BR_NF_CALL_IP6TABLES 37 default 0;
        /// Whether arptables sees what it forwards.
        nf_call_arptables: bool as Bit = IFLA_BR_NF_CALL_ARPTABLES 38 default 0;
        /// The VLAN of frames without a tag, on a port that is given no other.
        vlan_default_pvid: u16 as Plain = IFLA_BR_VLAN_DEFAULT_PVID 39;
        /// Whether it counts by VLAN.
        vlan_stats_enabled: bool as Bit = IFLA_BR_VLAN_STATS_ENABLED 41;
        /// Whether it counts IGMP and MLD.
        mcast_stats_enabled: bool as Bit = IFLA_BR_MCAST_STATS_ENABLED 42 default 0;
        /// The version of IGMP that it asks with: 2 or 3.
        mcast_igmp_version: u8 as Plain = IFLA_BR_MCAST_IGMP_VERSION 43 default 2;
        /// The version of MLD that it asks with: 1 or 2.
        mcast_mld_version: u8 as Plain = IFLA_BR_MCAST_MLD_VERSION 44 default 1;
        /// Whether it counts by VLAN and port.
        vlan_stats_per_port: bool as Bit = IFLA_BR_VLAN_STATS_PER_PORT 45;
        /// Whether it does not learn from frames to link-local groups (Linux 5.0).
        no_linklocal_learn: bool as BitOf<0> = IFLA_BR_MULTI_BOOLOPT 46 default 0;
        /// How many addresses it learns; 0 is no limit (Linux 6.7).
        fdb_max_learned: u32 as Plain = IFLA_BR_FDB_MAX_LEARNED 49 default 0;
    }
}
