//! Numbers of the kernel that `ip` and `bridge` have words for.

use bytemuck::Pod;
use std::fmt;

/// A number that has words.
pub(crate) trait Word: Copy {
    /// What the kernel has it as.
    type Raw: Pod + Into<u64> + TryFrom<u64>;
    /// Its words.
    const WORDS: &'static [(&'static str, u64)];

    fn raw(self) -> Self::Raw;
    fn from_raw(raw: Self::Raw) -> Self;

    fn number(self) -> u64 {
        self.raw().into()
    }

    fn from_number(number: u64) -> Option<Self> {
        Self::Raw::try_from(number).ok().map(Self::from_raw)
    }
}

/// Declares a number, a constant for each value that has a word, and how `ip` writes those that have none.
macro_rules! words {
    (
        $(#[$meta:meta])*
        $name:ident: $type:ty, else $other:literal => {
            $( $(#[$value_meta:meta])* $constant:ident = $value:literal $word:literal; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $type);

        impl Word for $name {
            type Raw = $type;
            const WORDS: &'static [(&'static str, u64)] = &[ $( ($word, $value), )* ];

            fn raw(self) -> $type {
                self.0
            }

            fn from_raw(raw: $type) -> Self {
                Self(raw)
            }
        }

        impl $name {
            $( $(#[$value_meta])* pub const $constant: Self = Self($value); )*

            /// The word that iproute2 has for it, if there is one.
            #[must_use]
            pub const fn word(self) -> Option<&'static str> {
                match self.0 {
                    $( $value => Some($word), )*
                    _ => None,
                }
            }

            /// The value of this word, if iproute2 has it.
            #[must_use]
            pub fn named(word: &str) -> Option<Self> {
                match word {
                    $( $word => Some(Self($value)), )*
                    _ => None,
                }
            }
        }

        /// As iproute2 writes it: its word, or else the number.
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.word() {
                    Some(word) => formatter.pad(word),
                    None => write!(formatter, $other, self.0),
                }
            }
        }
    };
}

words! {
    /// How far an address or the destination of a route is, `RT_SCOPE_*` of
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/rtnetlink.h>.
    Scope: u8, else "{}" => {
        /// Anywhere.
        GLOBAL = 0 "global";
        /// Within the site (IPv6; deprecated by RFC 3879).
        SITE = 200 "site";
        /// On the link itself.
        LINK = 253 "link";
        /// On this host.
        HOST = 254 "host";
        /// Nowhere.
        NOWHERE = 255 "nowhere";
    }
}

words! {
    /// Who made a route or a neighbour, `RTPROT_*` of
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/rtnetlink.h>. A number of one's own can be
    /// named in a file of iproute2's, which is not read here.
    Protocol: u8, else "{}" => {
        /// Nobody said.
        UNSPEC = 0 "unspec";
        /// An ICMP redirect.
        REDIRECT = 1 "redirect";
        /// The kernel, for an address.
        KERNEL = 2 "kernel";
        /// An administrator, who said nothing else: what [`super::route::add`] and `ip route add` say.
        BOOT = 3 "boot";
        /// An administrator, to be left alone by routing daemons.
        STATIC = 4 "static";
        /// `GateD`.
        GATED = 8 "gated";
        /// A router advertisement.
        RA = 9 "ra";
        /// The Merit MRT.
        MRT = 10 "mrt";
        /// Zebra, FRR.
        ZEBRA = 11 "zebra";
        /// BIRD.
        BIRD = 12 "bird";
        /// `DECnet`'s daemon.
        DNROUTED = 13 "dnrouted";
        /// XORP.
        XORP = 14 "xorp";
        /// Netsukuku.
        NTK = 15 "ntk";
        /// A DHCP client.
        DHCP = 16 "dhcp";
        /// Keepalived.
        KEEPALIVED = 18 "keepalived";
        /// Babel.
        BABEL = 42 "babel";
        /// Open/R.
        OPENR = 99 "openr";
        /// BGP.
        BGP = 186 "bgp";
        /// IS-IS.
        ISIS = 187 "isis";
        /// OSPF.
        OSPF = 188 "ospf";
        /// RIP.
        RIP = 189 "rip";
        /// EIGRP.
        EIGRP = 192 "eigrp";
    }
}

words! {
    /// What a route does with a packet, `RTN_*` of
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/rtnetlink.h>.
    RouteKind: u8, else "{}" => {
        /// Not said.
        UNSPEC = 0 "none";
        /// Sends it on.
        UNICAST = 1 "unicast";
        /// Takes it: an address of this host.
        LOCAL = 2 "local";
        /// Takes it, or sends it to all on the link.
        BROADCAST = 3 "broadcast";
        /// Takes it, as one of several hosts with the address.
        ANYCAST = 4 "anycast";
        /// Sends it to a group.
        MULTICAST = 5 "multicast";
        /// Drops it silently.
        BLACKHOLE = 6 "blackhole";
        /// Refuses it: host unreachable.
        UNREACHABLE = 7 "unreachable";
        /// Refuses it: administratively prohibited.
        PROHIBIT = 8 "prohibit";
        /// Leaves it to the next table.
        THROW = 9 "throw";
        /// Translates its address; no kernel does any more.
        NAT = 10 "nat";
        /// Asks a program; no kernel does.
        XRESOLVE = 11 "xresolve";
    }
}

words! {
    /// How much an IPv6 route is preferred among those of equal metric, RFC 4191; `ICMPV6_ROUTER_PREF_*` of
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/icmpv6.h>.
    Preference: u8, else "{}" => {
        /// As any other.
        MEDIUM = 0 "medium";
        /// More.
        HIGH = 1 "high";
        /// Less.
        LOW = 3 "low";
    }
}

words! {
    /// What kind of hardware a link is, or looks like, `ARPHRD_*` of
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_arp.h>: those that today's drivers give.
    LinkType: u16, else "[{}]" => {
        /// Ethernet, and all that looks like it: veth, bridge, dummy, macvlan, tap.
        ETHER = 1 "ether";
        /// AX.25 packet radio.
        AX25 = 3 "ax25";
        /// IP over `FireWire`.
        IEEE1394 = 24 "ieee1394";
        /// IP over `InfiniBand`.
        INFINIBAND = 32 "infiniband";
        /// Serial line IP.
        SLIP = 256 "slip";
        /// Controller area network.
        CAN = 280 "can";
        /// Point-to-point protocol.
        PPP = 512 "ppp";
        /// Cisco's HDLC.
        HDLC = 513 "hdlc";
        /// IPv4 in IPv4.
        TUNNEL = 768 "ipip";
        /// IPv4 or IPv6 in IPv6.
        TUNNEL6 = 769 "tunnel6";
        /// This host.
        LOOPBACK = 772 "loopback";
        /// IPv6 in IPv4.
        SIT = 776 "sit";
        /// GRE over IPv4.
        IPGRE = 778 "gre";
        /// A multicast router's register.
        PIMREG = 779 "pimreg";
        /// Wireless frames.
        IEEE80211 = 801 "ieee802.11";
        /// Wireless frames, with what the receiver says of them.
        IEEE80211_RADIOTAP = 803 "ieee802.11/radiotap";
        /// Low-rate wireless.
        IEEE802154 = 804 "ieee802.15.4";
        /// GRE over IPv6.
        IP6GRE = 823 "gre6";
        /// A copy of netlink's messages.
        NETLINK = 824 "netlink";
        /// IPv6 over low-power networks.
        SIX_LOW_PAN = 825 "6lowpan";
        /// Bare IP packets: tun, `WireGuard`.
        NONE = 65534 "none";
        /// Nothing known.
        VOID = 65535 "void";
    }
}

words! {
    /// What raises a link's operational state, `IF_LINK_MODE_*` of
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if.h>.
    LinkMode: u8, else "{}" => {
        /// Its carrier.
        DEFAULT = 0 "DEFAULT";
        /// A program that has still to agree, 802.1X say.
        DORMANT = 1 "DORMANT";
    }
}

words! {
    /// What a port of a bridge does, `BR_STATE_*` of
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_bridge.h>.
    PortState: u8, else "{}" => {
        /// Nothing: it, or the bridge, is down.
        DISABLED = 0 "disabled";
        /// Listens to the spanning tree protocol.
        LISTENING = 1 "listening";
        /// Learns addresses too.
        LEARNING = 2 "learning";
        /// Forwards.
        FORWARDING = 3 "forwarding";
        /// Is kept from forwarding, by the spanning tree protocol or by hand.
        BLOCKING = 4 "blocking";
    }
}

words! {
    /// Who else on the same link a macvlan reaches, `MACVLAN_MODE_*` of
    /// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_link.h>.
    MacvlanMode: u32, else "{}" => {
        /// No other one.
        PRIVATE = 1 "private";
        /// Others, by a switch at the other end of the link.
        VEPA = 2 "vepa";
        /// Others, directly.
        BRIDGE = 4 "bridge";
        /// There is no other: it takes the whole link.
        PASSTHRU = 8 "passthru";
        /// It takes frames from certain MAC addresses.
        SOURCE = 16 "source";
    }
}

words! {
    /// The tag of a VLAN, `ETH_P_8021Q` and `ETH_P_8021AD`.
    VlanProtocol: u16, else "{}" => {
        /// A VLAN.
        DOT1Q = 0x8100 "802.1Q";
        /// A VLAN that has VLANs in it.
        DOT1AD = 0x88A8 "802.1ad";
    }
}

words! {
    /// What a program has of a TAP or TUN, `IFF_TUN` and `IFF_TAP`.
    TunType: u8, else "{}" => {
        /// IP packets.
        TUN = 1 "tun";
        /// Ethernet frames.
        TAP = 2 "tap";
    }
}
