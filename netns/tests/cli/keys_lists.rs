//! Which of our commands are compared with which of `ip` and `bridge`, and the keys that only one of the two prints.

/// Keys that only one side prints, separated by white space, and why. A key stands for everything below it, too.
pub(crate) type Only = &'static [(&'static str, &'static str)];

/// One comparison: two commands, and the keys that name an entry of their lists.
pub(crate) struct Pair {
    pub(crate) ours: &'static str,
    pub(crate) theirs: &'static str,
    pub(crate) names: &'static [&'static str],
    /// What they print and we do not.
    pub(crate) missing: Only,
    /// What we print and they do not.
    pub(crate) more: Only,
}

const LINK_LAYER: &str = "of the driver, or of who listens in; netns-core makes no use of it";

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
        (
            "linkinfo.info_data.user linkinfo.info_data.group",
            "the names of those that may attach to a TAP; we have their numbers, as `owner` and `owner_group`",
        ),
        (
            "linkinfo.info_data.bridge_id linkinfo.info_data.root_id \
             linkinfo.info_data.root_port linkinfo.info_data.root_path_cost linkinfo.info_data.topology_change \
             linkinfo.info_data.topology_change_detected linkinfo.info_data.hello_timer \
             linkinfo.info_data.tcn_timer linkinfo.info_data.topology_change_timer linkinfo.info_data.gc_timer \
             linkinfo.info_data.fdb_n_learned",
            "what a bridge found out, no option",
        ),
        (
            "linkinfo.info_data.mcast_vlan_snooping linkinfo.info_data.mst_enabled",
            "bits of an attribute that holds several: of those we have the first",
        ),
        ("linkinfo.info_data.mcast_hash_elasticity", "without meaning since Linux 4.20"),
        ("linkinfo.info_data.usedbcqueuelen", "what a macvlan's link below has"),
        (
            "linkinfo.info_data.port_range linkinfo.info_data.df linkinfo.info_data.udp_csum \
             linkinfo.info_data.udp_zero_csum6_tx linkinfo.info_data.udp_zero_csum6_rx",
            "options of VXLANs that netns-core does not set",
        ),
        (
            "linkinfo.info_slave_data.id linkinfo.info_slave_data.no linkinfo.info_slave_data.designated_port \
             linkinfo.info_slave_data.designated_cost linkinfo.info_slave_data.bridge_id \
             linkinfo.info_slave_data.root_id linkinfo.info_slave_data.hold_timer \
             linkinfo.info_slave_data.message_age_timer linkinfo.info_slave_data.forward_delay_timer \
             linkinfo.info_slave_data.topology_change_ack linkinfo.info_slave_data.config_pending",
            "what a port found out, no option",
        ),
        ("linkinfo.info_slave_data.group_fwd_mask_str", "the same as `group_fwd_mask`"),
    ],
    more: &[
        ("linkinfo.info_data.owner linkinfo.info_data.owner_group", "the numbers of `user` and `group`"),
        ("linkinfo.info_slave_data.mab", "printed since iproute2 6.2"),
        ("linkinfo.info_slave_data.neigh_vlan_suppress", "printed since iproute2 6.4"),
        ("linkinfo.info_data.fdb_max_learned", "printed since iproute2 6.7"),
    ],
};

pub(crate) const ADDRESSES: Pair = Pair {
    ours: "addr show",
    theirs: "ip addr show",
    names: &["ifindex"],
    missing: &[(
        "addr_info.protocol",
        "printed since iproute2 6.3: who made the address, which netns-core never says",
    )],
    more: &[],
};

pub(crate) const ROUTES: Pair = Pair {
    ours: "route show",
    theirs: "ip -4 route show",
    names: &["type", "dst", "metric", "dev"],
    missing: &[],
    more: &[],
};

pub(crate) const ROUTES_6: Pair = Pair {
    ours: "route -6 show",
    theirs: "ip -6 route show",
    missing: &[("mode segs", "the details of an encapsulation, of which `encap` says the kind")],
    ..ROUTES
};

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
    missing: &[],
    more: &[
        (
            "link_index link_netnsid",
            "where the other end is, as `ip link` prints it: see `keys::honest_link`",
        ),
        ("proxy_arp proxy_arp_wifi group_fwd_mask", "printed by `ip link` only"),
        ("mab neigh_vlan_suppress", "printed since iproute2 6.2 and 6.4"),
    ],
};

pub(crate) const FORWARDING: Pair = Pair {
    ours: "bridge fdb show",
    theirs: "bridge -statistics fdb show",
    names: &["mac", "ifname", "master", "vlan"],
    missing: &[
        ("used updated", "ages; a bridge forgets an address after its `ageing`"),
        ("viaIf", "of VXLANs; the link says what it is on"),
    ],
    more: &[],
};

pub(crate) const STATS: Pair = Pair {
    ours: "stats",
    theirs: "ip -statistics link show",
    names: &["ifindex"],
    missing: &[(
        "flags mtu qdisc operstate linkmode group txqlen link_type address broadcast master link link_index \
         link_netnsid altnames ifalias",
        "`link show` prints it",
    )],
    more: &[],
};
