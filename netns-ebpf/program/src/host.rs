//! What is about to reach the host, at the ingress hook of a bridge: judged by the rules of the port that it came in by.

use core::mem;

use aya_ebpf::bindings::{
    __sk_buff, bpf_fib_lookup, bpf_sock, bpf_sock_tuple,
    bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 as Ipv4Tuple,
    bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 as Ipv6Tuple,
};
use aya_ebpf::helpers::generated::{
    bpf_fib_lookup as fib_lookup, bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp,
};
use aya_ebpf::programs::TcContext;
use netns_packet::layout::control;
use netns_packet::{Admission, ChecksumPlace, Flow, Host, Rules, Service, admit};

use crate::frame::{self, Frame};
use crate::rules;
use crate::skb::Skb;
use crate::steps::Judged;
use crate::violation::{self, NO_REASON};

/// No code of a reason, either: the frame is kept from the host without one.
const KEPT: u32 = NO_REASON - 1;

/// Decides on a frame that is at a bridge, by the port that it came in by, whose slot it carried; not 0 if it is to be
/// dropped.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn at_host(skb: *mut __sk_buff) -> u32 {
    let slot = frame::carried(&TcContext::new(skb));
    let control = rules::control_at(slot);
    let mode = control & control::MODE;
    if !matches!(mode, control::OBSERVE | control::ENFORCE) {
        return 0;
    }
    let is_dropped = match admitted(skb, slot, control) {
        NO_REASON => false,
        KEPT => mode == control::ENFORCE,
        reason => violation::counted(skb, slot, control, reason) != 0,
    };
    u32::from(is_dropped)
}

/// Judges what a port may send to the host: the code of a reason, [`KEPT`] or [`NO_REASON`]. A function of its own in the
/// kernel too, as those of `validate`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn admitted(skb: *mut __sk_buff, slot: u32, control: u32) -> u32 {
    let frame = Frame::read(&TcContext::new(skb), slot);
    let Some(rules) = rules::rules_at(slot, control) else { return NO_REASON };
    match admit(
        &Judged { skb: Skb(skb), slot, control },
        frame::facts(&frame, ChecksumPlace::NONE.to_bits()),
        rules,
    ) {
        Admission::Admitted => NO_REASON,
        Admission::Kept => KEPT,
        Admission::Refused(reason) => u32::from(reason.code()),
    }
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// The loopback device of every network namespace.
const LOOPBACK: u32 = 1;
/// What [`bpf_fib_lookup`] answers of a packet that is for this host or for nobody, and where the device does not forward
/// (`BPF_FIB_LKUP_RET_*` in [bpf.h](https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/bpf.h)).
const NOT_FORWARDED: i64 = 4;
const FORWARDING_DISABLED: i64 = 5;
/// The namespace that the device is in.
const CURRENT_NAMESPACE: u64 = u64::MAX;
/// A socket that waits for connections (`TCP_LISTEN`).
const LISTENING: u32 = 10;

impl Host for Judged {
    /// By the host's own routes, so that no list of its addresses has to be kept.
    #[inline(always)]
    fn passes_on(&self, flow: &Flow) -> bool {
        // SAFETY: as in `Frame::read`.
        let bridge = unsafe { (*self.skb.0).ifindex };
        let outcome = route(self.skb.0, flow, bridge);
        let outcome = if outcome == FORWARDING_DISABLED && flow.is_v6 {
            // IPv6 forwards if `all` says so, which the device may not know of (`ip6_forward` in
            // <https://github.com/torvalds/linux/blob/v6.18/net/ipv6/ip6_output.c>).
            route(self.skb.0, flow, LOOPBACK)
        } else {
            outcome
        };
        !matches!(outcome, NOT_FORWARDED | FORWARDING_DISABLED)
    }

    #[inline(always)]
    fn is_talking(&self, flow: &Flow) -> bool {
        talks(self.skb.0, flow)
    }

    #[inline(always)]
    fn is_let(&self, service: Service, is_any_port: bool, _: &Rules) -> bool {
        lets(self.slot, self.control, service.to_word(), u32::from(is_any_port)) != 0
    }
}

/// [`Host::is_let`], by the rules of this slot. By itself, since its branches would multiply the paths after it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn lets(slot: u32, control: u32, service: u32, is_any_port: u32) -> u32 {
    let Some(rules) = rules::rules_at(slot, control) else { return 0 };
    u32::from(rules.lets(Service::from_word(service), is_any_port != 0))
}

/// Asks for the route of a packet that came in by a device.
#[inline(always)]
fn route(skb: *mut __sk_buff, flow: &Flow, ifindex: u32) -> i64 {
    // SAFETY: all of its fields may be zero.
    let mut question: bpf_fib_lookup = unsafe { mem::zeroed() };
    question.family = if flow.is_v6 { AF_INET6 } else { AF_INET };
    question.l4_protocol = flow.protocol;
    [question.sport, question.dport] = flow.ports;
    question.ifindex = ifindex;
    question.__bindgen_anon_3.ipv6_src = flow.source;
    question.__bindgen_anon_4.ipv6_dst = flow.destination;
    // SAFETY: `question` is as long as is said.
    unsafe { fib_lookup(skb.cast(), &raw mut question, size_of::<bpf_fib_lookup>() as i32, 0) }
}

/// Whether a socket of the host has a connection that the packet belongs to. The kernel's answer is one that waits for
/// connections, or, of UDP, for packets from anybody, if there is no other.
#[inline(always)]
fn talks(skb: *mut __sk_buff, flow: &Flow) -> bool {
    const TCP: u8 = 6;
    // SAFETY: all of its fields may be zero.
    let mut tuple: bpf_sock_tuple = unsafe { mem::zeroed() };
    let [sport, dport] = flow.ports;
    let length = if flow.is_v6 {
        let (saddr, daddr) = (flow.source, flow.destination);
        tuple.__bindgen_anon_1.ipv6 = Ipv6Tuple { saddr, daddr, sport, dport };
        size_of::<Ipv6Tuple>()
    } else {
        let ([saddr, ..], [daddr, ..]) = (flow.source, flow.destination);
        tuple.__bindgen_anon_1.ipv4 = Ipv4Tuple { saddr, daddr, sport, dport };
        size_of::<Ipv4Tuple>()
    } as u32;
    // SAFETY: `tuple` is as long as is said. The reference that is had is given back, and used only before.
    unsafe {
        let is_tcp = flow.protocol == TCP;
        let socket: *mut bpf_sock = if is_tcp {
            bpf_skc_lookup_tcp(skb.cast(), &raw mut tuple, length, CURRENT_NAMESPACE, 0)
        } else {
            bpf_sk_lookup_udp(skb.cast(), &raw mut tuple, length, CURRENT_NAMESPACE, 0)
        };
        if socket.is_null() {
            return false;
        }
        let talks = if is_tcp {
            (&raw const (*socket).state).read_volatile() != LISTENING
        } else {
            (&raw const (*socket).dst_port).read_volatile() != 0
        };
        bpf_sk_release(socket.cast());
        talks
    }
}
