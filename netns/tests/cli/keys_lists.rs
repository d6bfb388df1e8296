//! Which of our commands are held against which of `ip` and `bridge`, and the keys that only one of them tells.

/// Keys that only one side tells, separated by white space, and why. One stands for all that is under it, too.
pub(crate) type Only = &'static [(&'static str, &'static str)];

/// One comparison: two commands, and what names an entry of their lists.
pub(crate) struct Pair {
    pub(crate) ours: &'static str,
    pub(crate) theirs: &'static str,
    pub(crate) names: &'static [&'static str],
    /// What they tell and we do not.
    pub(crate) missing: Only,
    /// What we tell and they do not.
    pub(crate) more: Only,
}

const LINK_LAYER: &str = "of the driver, or of who listens in; netns-core makes no use of it";

const OTHER_NAMES: &str = "told where a link has further names; netns-core knows it by its first";

pub(crate) const LINKS: Pair = Pair {
    ours: "link show",
    theirs: "ip -details -statistics link show",
    names: &["ifindex"],
    missing: &[
        (
            "promiscuity allmulti min_mtu max_mtu gso_max_size gso_max_segs tso_max_size tso_max_segs gro_max_size \
             gso_ipv4_max_size gro_ipv4_max_size parentbus parentdev",
            LINK_LAYER,
        ),
        ("altnames", OTHER_NAMES),
        (
            "linkinfo.info_data.type linkinfo.info_data.pi linkinfo.info_data.vnet_hdr \
             linkinfo.info_data.multi_queue linkinfo.info_data.numqueues linkinfo.info_data.numdisabled \
             linkinfo.info_data.persist linkinfo.info_data.user linkinfo.info_data.group",
            "options of tun, which netns-core does not make",
        ),
        (
            "linkinfo.info_data.forward_delay linkinfo.info_data.hello_time linkinfo.info_data.max_age \
             linkinfo.info_data.priority linkinfo.info_data.bridge_id linkinfo.info_data.root_id \
             linkinfo.info_data.root_port linkinfo.info_data.root_path_cost linkinfo.info_data.topology_change \
             linkinfo.info_data.topology_change_detected linkinfo.info_data.hello_timer \
             linkinfo.info_data.tcn_timer linkinfo.info_data.topology_change_timer linkinfo.info_data.gc_timer",
            "of the spanning tree protocol, which netns-core can only switch on",
        ),
        (
            "linkinfo.info_data.vlan_protocol \
             linkinfo.info_data.vlan_default_pvid linkinfo.info_data.vlan_stats_enabled \
             linkinfo.info_data.vlan_stats_per_port linkinfo.info_data.group_fwd_mask \
             linkinfo.info_data.group_addr linkinfo.info_data.no_linklocal_learn \
             linkinfo.info_data.mcast_vlan_snooping linkinfo.info_data.mcast_router \
             linkinfo.info_data.mcast_query_use_ifaddr linkinfo.info_data.mcast_querier \
             linkinfo.info_data.mcast_hash_elasticity linkinfo.info_data.mcast_hash_max \
             linkinfo.info_data.mcast_last_member_cnt linkinfo.info_data.mcast_startup_query_cnt \
             linkinfo.info_data.mcast_last_member_intvl linkinfo.info_data.mcast_membership_intvl \
             linkinfo.info_data.mcast_querier_intvl linkinfo.info_data.mcast_query_intvl \
             linkinfo.info_data.mcast_query_response_intvl linkinfo.info_data.mcast_startup_query_intvl \
             linkinfo.info_data.mcast_stats_enabled linkinfo.info_data.mcast_igmp_version \
             linkinfo.info_data.mcast_mld_version linkinfo.info_data.nf_call_iptables \
             linkinfo.info_data.nf_call_ip6tables linkinfo.info_data.nf_call_arptables \
             linkinfo.info_data.fdb_n_learned linkinfo.info_data.fdb_max_learned",
            "options of bridges that netns-core does not set",
        ),
        (
            "linkinfo.info_slave_data.id linkinfo.info_slave_data.no linkinfo.info_slave_data.designated_port \
             linkinfo.info_slave_data.designated_cost linkinfo.info_slave_data.bridge_id \
             linkinfo.info_slave_data.root_id linkinfo.info_slave_data.hold_timer \
             linkinfo.info_slave_data.message_age_timer linkinfo.info_slave_data.forward_delay_timer \
             linkinfo.info_slave_data.topology_change_ack linkinfo.info_slave_data.config_pending",
            "of the spanning tree protocol, which netns-core can only switch on",
        ),
        (
            "linkinfo.info_slave_data.guard linkinfo.info_slave_data.root_block \
             linkinfo.info_slave_data.fastleave linkinfo.info_slave_data.proxy_arp \
             linkinfo.info_slave_data.proxy_arp_wifi linkinfo.info_slave_data.multicast_router \
             linkinfo.info_slave_data.mcast_to_unicast linkinfo.info_slave_data.group_fwd_mask \
             linkinfo.info_slave_data.group_fwd_mask_str linkinfo.info_slave_data.vlan_tunnel \
             linkinfo.info_slave_data.locked linkinfo.info_slave_data.mab linkinfo.info_slave_data.neigh_vlan_suppress",
            "options of ports that netns-core does not set",
        ),
    ],
    more: &[],
};

pub(crate) const ADDRESSES: Pair = Pair {
    ours: "addr show",
    theirs: "ip addr show",
    names: &["ifindex"],
    missing: &[
        ("altnames", OTHER_NAMES),
        ("addr_info.protocol", "told since iproute2 6.3: who made the address, which netns-core never says"),
    ],
    more: &[],
};

pub(crate) const ROUTES: Pair = Pair {
    ours: "route show",
    theirs: "ip -4 route show",
    names: &["type", "dst", "metric", "dev"],
    missing: &[
        ("metrics", "limits of a route (mtu, hoplimit): netns-core sets none"),
        (
            "nexthops",
            "of routes over several routers, which netns-core does not make; `Route` has room for one",
        ),
    ],
    more: &[],
};

pub(crate) const ROUTES_6: Pair = Pair { ours: "route -6 show", theirs: "ip -6 route show", ..ROUTES };

pub(crate) const NEIGHBOURS: Pair = Pair {
    ours: "neigh show",
    theirs: "ip -details -statistics neigh show",
    names: &["dst", "dev"],
    missing: &[("refcnt used confirmed updated probes", "ages; the state says what follows from them")],
    more: &[],
};

pub(crate) const PORTS: Pair = Pair {
    ours: "bridge link show",
    theirs: "bridge -details link show",
    names: &["ifindex"],
    missing: &[(
        "guard root_block fastleave mcast_router mcast_to_unicast vlan_tunnel locked mab neigh_vlan_suppress",
        "options of ports that netns-core does not set",
    )],
    more: &[(
        "link_index link_netnsid",
        "where the other end is, as `ip link` tells it: see `keys::honest_link`",
    )],
};

pub(crate) const FORWARDING: Pair = Pair {
    ours: "bridge fdb show",
    theirs: "bridge -statistics fdb show",
    names: &["mac", "ifname", "master", "vlan"],
    missing: &[("used updated", "ages; a bridge forgets an address after its `ageing`")],
    more: &[],
};

pub(crate) const STATS: Pair = Pair {
    ours: "stats",
    theirs: "ip -statistics link show",
    names: &["ifindex"],
    missing: &[(
        "flags mtu qdisc operstate linkmode group txqlen link_type address broadcast master link link_index \
         link_netnsid altnames",
        "`link show` tells it",
    )],
    more: &[],
};
