//! Why a frame is not one that its sender may send: the one table that the program, the text output, JSON and the
//! documentation are made of.

use core::fmt;

/// Room for reasons: as many counters a port has. Codes are smaller.
pub const REASONS: usize = 64;

/// Makes the enumeration and what is known of each reason out of the table.
macro_rules! reasons {
    ($($code:literal $reason:ident $name:literal $description:literal)*) => {
        /// Why a frame is not one that its sender may send. A frame has one reason: the first that is found, in the
        /// order of the checks (see [the front page](crate)).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Reason {
            $(#[doc = $description] $reason = $code,)*
        }

        impl Reason {
            /// Every reason, in the order of the codes.
            pub const ALL: &[Self] = &[$(Self::$reason),*];

            /// The reason with this code.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$reason),)*
                    _ => None,
                }
            }

            /// Its name in output, in JSON and on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)*
                }
            }

            /// What it means, in one line.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$reason => $description,)*
                }
            }
        }
    };
}

// Codes are stored in counters' places and in events: one that was given out keeps its meaning.
reasons! {
    0 FrameShort "frame-short" "The frame ends before the header that its EtherType promises."
    1 SourceMacInvalid "source-mac-invalid" "The source MAC address is a group's, or zero."
    2 SourceMacForeign "source-mac-foreign" "The source MAC address is not the port's."
    3 ReservedDestination "reserved-destination" "The destination is one of 01:80:c2:00:00:00 to 0f, which bridges keep for themselves (STP, LACP, LLDP)."
    4 VlanTag "vlan-tag" "The frame has a VLAN tag and the port may not use any."
    5 EtherType "ether-type" "The port may not use this EtherType."
    6 ArpMalformed "arp-malformed" "Not a request or reply for IPv4 over Ethernet."
    7 ArpSenderMac "arp-sender-mac" "The ARP sender's hardware address is not the port's."
    8 ArpSenderAddress "arp-sender-address" "The ARP sender's protocol address is not the port's."
    9 ArpAnnouncement "arp-announcement" "A gratuitous ARP announcement of an address that is not the port's."
    10 Ipv4Version "ipv4-version" "The version in the IPv4 header is not 4."
    11 Ipv4HeaderLength "ipv4-header-length" "The IPv4 header's length is less than 20 bytes, or more than there are."
    12 Ipv4TotalLength "ipv4-total-length" "The IPv4 packet is longer than its frame, or shorter than its header."
    13 Ipv4Checksum "ipv4-checksum" "The IPv4 header's checksum is wrong."
    14 Ipv4Ttl "ipv4-ttl" "The time to live is 0."
    15 Ipv4SourceInvalid "ipv4-source-invalid" "The IPv4 source is a multicast, broadcast, loopback or reserved address; or unspecified, in something other than a DHCP client's message or a multicast report."
    16 Ipv4SourceForeign "ipv4-source-foreign" "The IPv4 source address is not the port's."
    17 Ipv4Land "ipv4-land" "IPv4 source and destination are the same."
    18 Ipv4Options "ipv4-options" "An IPv4 option is cut off or has an impossible length."
    19 Ipv4SourceRoute "ipv4-source-route" "The IPv4 options ask for source routing."
    20 Ipv4Fragment "ipv4-fragment" "An IPv4 fragment that hides, overlaps or overruns: tiny, into the transport header, beyond 65,535 bytes, or not a multiple of 8; or one of an ICMP error."
    21 Ipv6Version "ipv6-version" "The version in the IPv6 header is not 6."
    22 Ipv6PayloadLength "ipv6-payload-length" "The IPv6 packet is longer than its frame."
    23 Ipv6HopLimit "ipv6-hop-limit" "The hop limit is 0."
    24 Ipv6SourceInvalid "ipv6-source-invalid" "The IPv6 source is a multicast, loopback or IPv4-mapped address."
    25 Ipv6SourceForeign "ipv6-source-foreign" "The IPv6 source address is not the port's."
    26 Ipv6SourceUnspecified "ipv6-source-unspecified" "The IPv6 source is :: in something other than address detection, router solicitation or a multicast report, each to the group it goes to."
    27 Ipv6Land "ipv6-land" "IPv6 source and destination are the same."
    28 Ipv6HopByHop "ipv6-hop-by-hop" "A hop-by-hop header is not the first."
    29 Ipv6Routing "ipv6-routing" "A routing header of type 0."
    30 Ipv6TooMany "ipv6-too-many" "More IPv6 extension headers than any sensible packet has."
    31 Ipv6Truncated "ipv6-truncated" "An IPv6 extension header is cut off."
    32 Ipv6Fragment "ipv6-fragment" "An IPv6 fragment that hides, overlaps or overruns: as for IPv4; or one of neighbour discovery or of an ICMPv6 error."
    33 NdMalformed "nd-malformed" "A neighbour discovery message or option is cut off, has an impossible length, or breaks a rule of RFC 4861."
    34 NdHopLimit "nd-hop-limit" "A neighbour discovery message with a hop limit other than 255, as if it came from another link."
    35 NdLinkLayer "nd-link-layer" "A link-layer address in a neighbour discovery option is not the port's."
    36 NdTarget "nd-target" "The address that is advertised, or tested for duplicates, is not the port's."
    37 NdRouter "nd-router" "A router advertisement from a port that is no router's."
    38 NdRedirect "nd-redirect" "A redirect from a port that is no router's."
    39 TcpHeader "tcp-header" "The TCP header is cut off, or has an impossible length."
    40 TcpFlags "tcp-flags" "A combination of TCP flags that no stack sends: none, SYN with FIN or RST, FIN without ACK."
    41 UdpHeader "udp-header" "The UDP header is cut off, or its length is impossible."
    42 IcmpHeader "icmp-header" "The ICMP, ICMPv6 or IGMP header is cut off; or, in an error, the header of the packet that it quotes."
    43 DhcpServer "dhcp-server" "A DHCP server's message, to a client or to a relay, from a port that is no server's."
    44 Dhcpv6Server "dhcpv6-server" "A DHCPv6 server's message, to a client or to a relay, from a port that is no server's."
    45 Group "group" "The groups of sender and receiver may not talk to each other."
    46 ArpProbe "arp-probe" "An ARP probe (a request from 0.0.0.0) for an address that is not the port's."
    47 IcmpRouter "icmp-router" "An ICMP router advertisement from a port that is no router's."
    48 IcmpRedirect "icmp-redirect" "An ICMP redirect from a port that is no router's."
    49 IcmpError "icmp-error" "An ICMP or ICMPv6 error about a packet that was not sent to one of the port's addresses."
    50 MulticastRouter "multicast-router" "A query or another message of a multicast router (IGMP, MLD, PIM, router discovery) from a port that is no multicast router's."
    51 DhcpClient "dhcp-client" "A DHCP message for somebody else (another's hardware address or lease, or a relay's), or one that no client sends."
    52 Unjudged "unjudged" "The frame got past the program at the port, and the barrier dropped it."
    53 ChecksumPlace "checksum-place" "A checksum was left to be filled in later, in a place that is judged and holds no checksum."
    54 Closed "closed" "The port may send nothing, because no policy applies to it."
    55 Host "host" "To the host, and not among what the port may send there."
    56 Forward "forward" "To be forwarded by the host, which the port may not ask for."
    57 Egress "egress" "To a destination that the port's egress policy refuses."
}

impl Reason {
    /// Its code: its counter's place, and what events carry.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether a frame has it by itself, at a port that may send something; not by who receives it, or where it is seen.
    #[must_use]
    pub const fn is_of_frame(self) -> bool {
        !matches!(
            self,
            Self::Group | Self::Unjudged | Self::Closed | Self::Host | Self::Forward | Self::Egress
        )
    }

    /// The reason of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const _: () = assert!(Reason::ALL.len() <= REASONS);
