//! DHCP ([RFC 2131](https://www.rfc-editor.org/rfc/rfc2131)) and DHCPv6 ([RFC 8415](https://www.rfc-editor.org/rfc/rfc8415)):
//! who may answer, and for whom a client may ask.
//!
//! A server knows a client by what the message says, not by the frame that it came in. So a client's message is held
//! against the port: its hardware address, the address that it says it has, and the one that it declines. What comes by a
//! relay, the server believes too, and sends its answer where the message says.

use super::header::{UDP_HEADER, header};
use super::{Below, Bytes, Mac, Permissions, Reason, Rules, Span, Steps, Verdict};

/// Where servers and relays listen, and clients.
pub(super) const SERVER: u16 = 67;
pub(super) const CLIENT: u16 = 68;
const SERVER6: u16 = 547;
const CLIENT6: u16 = 546;

/// Where servers and relays of a family listen.
#[inline(always)]
pub(super) const fn server(is_v6: bool) -> u16 {
    if is_v6 { SERVER6 } else { SERVER }
}

/// Judges a datagram that goes to no server by its ports.
#[inline(always)]
pub(super) fn to_client([from, to]: [u16; 2], below: Below, rules: &Rules) -> Verdict {
    let (client, reason) =
        if below.is_v6 { (CLIENT6, Reason::Dhcpv6Server) } else { (CLIENT, Reason::DhcpServer) };
    let is_servers = from == server(below.is_v6) || to == client;
    if is_servers && !rules.permits(Permissions::DHCP_SERVER) { Err(reason) } else { Ok(()) }
}

/// Judges a datagram, whose header is in order, to a server's port by its message.
#[inline(always)]
pub(super) fn to_server<B: Steps + ?Sized>(
    frame: &B,
    datagram: Span,
    below: Below,
    rules: &Rules,
) -> Verdict {
    let [[f0, f1, ..], [l0, l1, ..]] = header::<2, 8>(frame, datagram).ok_or(Reason::UdpHeader)?;
    let is_servers = u16::from_be_bytes([f0, f1]) == server(below.is_v6);
    // What it answers to a relay, and what it passes on as one.
    if is_servers && rules.permits(Permissions::DHCP_SERVER) {
        return Ok(());
    }
    // What other fragments, or the train's other datagrams, say is not seen here. No client needs either.
    if below.is_fragment || below.is_train {
        return Err(Reason::DhcpClient);
    }
    let length = u32::from(u16::from_be_bytes([l0, l1]));
    let message = Span { start: datagram.start + UDP_HEADER, end: datagram.start + length };
    if below.is_v6 {
        to_server6(frame, message, is_servers, rules)
    } else {
        to_server4(frame, message, is_servers, rules)
    }
}

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
/// Ethernet, and how long its addresses are.
const ETHERNET: [u8; 2] = [1, 6];
/// The fields that every message has, those of BOOTP.
const FIXED: u32 = 236;

/// Judges a message to a server or relay, which comes from a server's port or not.
#[inline(always)]
fn to_server4<B: Steps + ?Sized>(frame: &B, message: Span, is_servers: bool, rules: &Rules) -> Verdict {
    if message.start + FIXED > message.end {
        return Err(Reason::DhcpClient);
    }
    let fields = frame.words::<9, 34>(message.start).ok_or(Reason::DhcpClient)?;
    let [kinds, _, _, own, _, _, relay, mac, mac_end] = fields;
    let ([operation, hardware, length, _], [a, b, c, d], [e, f, ..]) =
        (kinds.to_ne_bytes(), mac.to_ne_bytes(), mac_end.to_ne_bytes());
    let is_answer = operation == REPLY;
    let relays = rules.permits(Permissions::DHCP_RELAY);
    if is_answer || (is_servers && !relays) {
        // An answer goes to a relay, which hands it to the client.
        let may = is_answer && rules.permits(Permissions::DHCP_SERVER);
        return if may { Ok(()) } else { Err(Reason::DhcpServer) };
    }
    if relays {
        return Ok(());
    }
    let is_own = operation == REQUEST
        && [hardware, length] == ETHERNET
        && rules.is_mac(Mac::new([a, b, c, d, e, f]))
        && relay == 0
        // What a client renews and releases is the address that it says it has.
        && (own == 0 || rules.has_ipv4(own));
    if !is_own {
        return Err(Reason::DhcpClient);
    }
    let options = Span { start: message.start + FIXED, end: message.end };
    match frame.dhcp_options(options)? {
        Some(declined) if !rules.has_ipv4(declined) => Err(Reason::DhcpClient),
        _ => Ok(()),
    }
}

/// What options begin with; without it, it is BOOTP.
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const PAD: u8 = 0;
const REQUESTED_ADDRESS: u8 = 50;
const OVERLOAD: u8 = 52;
const MESSAGE_TYPE: u8 = 53;
const END: u8 = 255;
const DECLINE: u8 = 4;
/// More than any client sends: some ten.
const MOST_OPTIONS: u32 = 32;
/// No place in a datagram, which has less than 64 KiB, is beyond this one.
const FARTHEST: u32 = 0x1_FFFF;

/// Walks a client's options: the address that the message declines, as it lies in memory (0 if it does not say which);
/// `None` if it is another message.
///
/// # Errors
/// If they are cut off, too many, or say something twice or in another place, so that two servers could read two things.
#[inline(always)]
pub fn options<B: Bytes + ?Sized>(frame: &B, options: Span) -> Result<Option<u32>, Reason> {
    let Span { start, end } = options;
    if start + 4 > end || frame.load::<4>(start) != Some(COOKIE) {
        return Ok(None);
    }
    let (mut at, mut kind_of_message, mut address) = (start + 4, None, None);
    for _ in 0..MOST_OPTIONS {
        let mut option = END;
        if at < end {
            [option] = frame.load(at).ok_or(Reason::DhcpClient)?;
        }
        if option == END {
            let declines = kind_of_message == Some(DECLINE);
            return Ok(declines.then_some(address.unwrap_or(0)));
        }
        let mut size = 1;
        if option != PAD {
            let [length] = frame.load(at + 1).ok_or(Reason::DhcpClient)?;
            size = 2 + u32::from(length);
            if at + size > end {
                return Err(Reason::DhcpClient);
            }
            match (option, length) {
                (MESSAGE_TYPE, 1) if kind_of_message.is_none() => {
                    let [kind] = frame.load(at + 2).ok_or(Reason::DhcpClient)?;
                    kind_of_message = Some(kind);
                }
                (REQUESTED_ADDRESS, 4) if address.is_none() => {
                    let bytes = frame.load(at + 2).ok_or(Reason::DhcpClient)?;
                    address = Some(u32::from_ne_bytes(bytes));
                }
                (MESSAGE_TYPE | REQUESTED_ADDRESS | OVERLOAD, _) => return Err(Reason::DhcpClient),
                _ => {}
            }
        }
        // The kernel's verifier counts how far `at` must have come, and would look at the loop once for each number that
        // it can be. It forgets them here, where a place is below anyway.
        at = (at + size) & FARTHEST;
    }
    Err(Reason::DhcpClient)
}

/// Messages of DHCPv6 that servers send, the last of them to relays; and what a relay sends to a server.
const ADVERTISE: u8 = 2;
const REPLY6: u8 = 7;
const RECONFIGURE: u8 = 10;
const RELAY_FORWARD: u8 = 12;
const RELAY_REPLY: u8 = 13;

/// As [`to_server4`]. Who the client is, its message says by a DUID, which has no rule.
#[inline(always)]
fn to_server6<B: Steps + ?Sized>(frame: &B, message: Span, is_servers: bool, rules: &Rules) -> Verdict {
    if message.start >= message.end {
        return Err(Reason::DhcpClient);
    }
    let [kind] = frame.load(message.start).ok_or(Reason::DhcpClient)?;
    let is_relays = kind == RELAY_FORWARD;
    let relays = is_relays && rules.permits(Permissions::DHCP_RELAY);
    let is_answer = matches!(kind, ADVERTISE | REPLY6 | RECONFIGURE | RELAY_REPLY);
    if is_answer || (is_servers && !relays) {
        let may = is_answer && rules.permits(Permissions::DHCP_SERVER);
        return if may { Ok(()) } else { Err(Reason::Dhcpv6Server) };
    }
    if is_relays && !relays { Err(Reason::DhcpClient) } else { Ok(()) }
}
