//! What the kernel says of a frame.

use aya_ebpf::programs::TcContext;
use netns_packet::{ChecksumPlace, Facts};

use super::maps::STAMP;

/// The facts that counting needs, read once.
pub(crate) struct Frame {
    /// The port's slot.
    pub(crate) slot: u32,
    /// Bytes with the Ethernet header: both hooks see the frame with it (on ingress, [`cls_bpf_classify`] pushes it
    /// back). Not with a VLAN tag that the frame had inside: on ingress the kernel has taken it out by then.
    ///
    /// [`cls_bpf_classify`]: https://github.com/torvalds/linux/blob/v6.18/net/sched/cls_bpf.c
    pub(crate) bytes: u64,
    /// Segments that a train of them holds; 1 for an ordinary frame.
    pub(crate) segments: u64,
    /// Whether it is a train.
    pub(crate) is_train: bool,
    /// How many bytes each of its segments carries; 0 if it is no train.
    pub(crate) segment_bytes: u32,
    /// Bytes with the headers that a train's segments would have on a wire. Of meaning on egress only
    /// (`qdisc_pkt_len_init`).
    pub(crate) wire_bytes: u32,
    /// The VLAN tag that the kernel took out, with its EtherType in the upper half; 0 for none.
    pub(crate) tag: u32,
    /// The port that the frame came in by; 0 for one that the host itself sends. Of meaning on egress only.
    pub(crate) from_ifindex: u32,
    /// The slot that [`carry_slot`] wrote when the frame came in by a port. Of meaning only if it came from there by
    /// trunks: it outlives the change of namespaces, and whoever else handles a frame may write to it as well.
    pub(crate) carried: u32,
}

impl Frame {
    /// Reads the facts from the program's context, of a frame at the port of this slot.
    #[inline(always)]
    pub(crate) fn read(context: &TcContext, slot: u32) -> Self {
        // SAFETY: the kernel passes a valid context to the program for as long as it runs, nobody else writes it
        // meanwhile, and the verifier has proven that each of these fields may be read in a classifier.
        let skb = unsafe { &*context.skb.skb };
        Self {
            slot,
            bytes: u64::from(skb.len),
            segments: u64::from(skb.gso_segs.max(1)),
            is_train: skb.gso_size != 0,
            segment_bytes: skb.gso_size,
            wire_bytes: skb.wire_len,
            tag: if skb.vlan_present == 0 {
                0
            } else {
                // The kernel keeps the EtherType in network byte order.
                u32::from(u16::from_be(skb.vlan_proto as u16)) << 16 | skb.vlan_tci
            },
            from_ifindex: skb.ingress_ifindex,
            carried: skb.tc_index,
        }
    }
}

/// The class id of the filter that hands the frame over.
#[inline(always)]
pub(crate) fn class_id(context: &TcContext) -> u32 {
    // SAFETY: as in `Frame::read`.
    unsafe { (*context.skb.skb).tc_classid }
}

/// Keeps what the frame carries in its scratch space (`cb`, which is the traffic control's at this hook, and nobody's
/// after it), for [`carried`]: at a bridge it says which port the frame came in by. The stack has no room for it.
#[inline(always)]
pub(crate) fn remember_carried(context: &TcContext) {
    let skb = context.skb.skb;
    // SAFETY: as in `Frame::read`, and as in `carry_slot`.
    unsafe { (&raw mut (*skb).cb[0]).write_volatile((*skb).tc_index) };
}

/// The slot that the frame carried when this run began.
#[inline(always)]
pub(crate) fn carried(context: &TcContext) -> u32 {
    // SAFETY: as in `Frame::read`.
    unsafe { (&raw const (*context.skb.skb).cb[0]).read_volatile() }
}

/// The link that the frame is at.
#[inline(always)]
pub(crate) fn ifindex(context: &TcContext) -> u32 {
    // SAFETY: as in `Frame::read`.
    unsafe { (*context.skb.skb).ifindex }
}

/// Gives the frame a slot to carry to ports in other namespaces: `tc_index` is one of the few fields that
/// [`skb_scrub_packet`] leaves alone between them, and has the 16 bits of a slot. The kernel itself writes it only for
/// a filter that answers `TC_ACT_OK` ([`tc_run`]), which ours do not.
///
/// [`skb_scrub_packet`]: https://github.com/torvalds/linux/blob/v6.18/net/core/skbuff.c
/// [`tc_run`]: https://github.com/torvalds/linux/blob/v6.18/net/core/dev.c
#[inline(always)]
pub(crate) fn carry_slot(context: &TcContext, slot: u32) {
    // SAFETY: as in `Frame::read`; the verifier has proven that this field may be written in a classifier.
    unsafe { (&raw mut (*context.skb.skb).tc_index).write_volatile(slot) };
}

/// Marks a frame as seen, by its priority: what a bridge takes from a port and is not marked is dropped by a barrier
/// (`netns_core::barrier`), which says why nobody inside can write the mark.
#[inline(always)]
pub(crate) fn stamp(context: &TcContext) {
    let stamp = STAMP.load();
    if stamp != 0 {
        // SAFETY: as in `carry_slot`.
        unsafe { (&raw mut (*context.skb.skb).priority).write_volatile(stamp) };
    }
}

/// Gives a frame that leaves the bridge the priority back that it came with, which crossing a veth had made 0.
#[inline(always)]
pub(crate) fn unstamp(context: &TcContext) {
    let stamp = STAMP.load();
    // SAFETY: as in `Frame::read`, and as in `carry_slot`.
    unsafe {
        if stamp != 0 && (*context.skb.skb).priority == stamp {
            (&raw mut (*context.skb.skb).priority).write_volatile(0);
        }
    }
}

/// What is known of a frame beside its bytes, with a checksum left as [`crate::checksum::left`] says.
#[inline(always)]
pub(crate) const fn facts(frame: &Frame, left: u32) -> Facts {
    Facts {
        length: frame.bytes as u32,
        is_train: frame.is_train,
        has_tag: frame.tag != 0,
        checksum_at: ChecksumPlace::from_bits(left),
    }
}
