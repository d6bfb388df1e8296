//! Traffic control, as far as a program on a port needs it: the clsact qdisc, which gives a link an ingress and an
//! egress hook, and `cls_bpf` filters on them that decide for themselves (direct action).
//!
//! Why not TCX links: attaching and detaching one waits for an RCU grace period with the RTNL lock held, some 10 ms
//! in which nobody else can make a link. A filter goes into the batch that makes the link, for a tenth of a
//! millisecond.

use super::socket::RouteSocket;
use crate::error::Operation;
use crate::wire::{
    Batch, Message, TC_H_CLSACT, TC_H_MIN_EGRESS, TC_H_MIN_INGRESS, TCA_BPF_CLASSID, TCA_BPF_FD,
    TCA_BPF_FLAG_ACT_DIRECT, TCA_BPF_FLAGS, TCA_BPF_ID, TCA_BPF_NAME, TCA_CHAIN, TcMsg,
};
use crate::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd};

const CLSACT: &str = "clsact";
/// The handle that the kernel gives a clsact qdisc, `ffff:`.
const CLSACT_HANDLE: u32 = 0xFFFF_0000;

/// Which way packets go, from the point of view of the link that the filter is on: what the namespace behind a port
/// sends is the port's ingress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// What the link receives.
    Ingress,
    /// What the link sends.
    Egress,
}

impl Direction {
    /// Both, ingress first.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    const fn parent(self) -> u32 {
        CLSACT_HANDLE
            | match self {
                Self::Ingress => TC_H_MIN_INGRESS,
                Self::Egress => TC_H_MIN_EGRESS,
            }
    }
}

/// A `cls_bpf` filter in direct-action mode.
#[derive(Debug, Clone, Copy)]
pub struct Filter<'a> {
    /// The link's index.
    pub index: u32,
    /// The hook.
    pub direction: Direction,
    /// Filters of a hook run in the order of their priorities, lowest first, until one decides. Not 0.
    pub priority: u16,
    /// Distinguishes filters of one priority. Not 0.
    pub handle: u32,
    /// The program, of type `BPF_PROG_TYPE_SCHED_CLS`.
    pub program: BorrowedFd<'a>,
    /// What `tc filter show` calls it.
    pub name: &'a str,
    /// What the program reads as `__sk_buff.tc_classid`; 0 for nothing.
    pub class_id: u16,
}

/// A filter as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilterInfo {
    /// Its priority.
    pub priority: u16,
    /// Its handle within the priority.
    pub handle: u32,
    /// Its classifier: "bpf", "flower".
    pub kind: String,
    /// The id of its program, if its classifier is "bpf".
    pub program_id: Option<u32>,
    /// Its class id, if its classifier is "bpf".
    pub class_id: Option<u32>,
    /// Its name, if its classifier is "bpf".
    pub name: Option<String>,
    /// Its chain: packets meet those of chain 0 alone, unless one of them sends them on.
    pub chain: u32,
}

/// A qdisc as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Qdisc {
    /// The link's index.
    pub index: u32,
    /// "clsact", "noqueue", "fq".
    pub kind: String,
    /// Its handle.
    pub handle: u32,
    /// What it hangs on.
    pub parent: u32,
}

impl Qdisc {
    /// Whether it is the one that filters can be put on.
    #[must_use]
    pub fn is_clsact(&self) -> bool {
        self.kind == CLSACT
    }
}

/// A filter's parent is given in two halves: the hook, and the qdisc.
fn filter_header(index: u32, direction: Direction, priority: u16, handle: u32) -> TcMsg {
    let protocol = (libc::ETH_P_ALL as u16).to_be();
    TcMsg {
        index,
        handle,
        parent: direction.parent(),
        info: u32::from(priority) << 16 | u32::from(protocol),
        ..TcMsg::default()
    }
}

fn clsact_header(index: u32) -> TcMsg {
    TcMsg { index, handle: CLSACT_HANDLE, parent: TC_H_CLSACT, ..TcMsg::default() }
}

/// Appends the addition of a clsact qdisc.
#[doc(alias = "RTM_NEWQDISC")]
pub fn encode_add_clsact(batch: &mut Batch, index: u32) {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    batch.message(libc::RTM_NEWQDISC, flags, &clsact_header(index), |attributes| {
        attributes.text(libc::TCA_KIND, CLSACT);
    });
}

/// Gives the link with this index an ingress and an egress hook.
///
/// # Errors
/// `EEXIST` if it has them: they are somebody else's then, and not to be deleted.
///
/// ```
/// use netns_core::{Namespace, RouteSocket, tc};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// tc::add_clsact(&mut socket, 1)?;
/// assert!(tc::list_qdiscs(&mut socket, 1)?.iter().any(tc::Qdisc::is_clsact));
/// tc::delete_clsact(&mut socket, 1)?;
/// # Ok::<(), netns_core::Error>(())
/// ```
#[doc(alias = "RTM_NEWQDISC")]
pub fn add_clsact(socket: &mut RouteSocket, index: u32) -> Result<()> {
    let mut batch = Batch::new();
    encode_add_clsact(&mut batch, index);
    socket.execute(&mut batch)
}

/// Appends the deletion of a clsact qdisc.
pub fn encode_delete_clsact(batch: &mut Batch, index: u32) {
    batch.message(libc::RTM_DELQDISC, 0, &clsact_header(index), |attributes| {
        attributes.text(libc::TCA_KIND, CLSACT);
    });
}

/// Takes the hooks off the link with this index, and with them every filter, ours or not.
///
/// # Errors
/// `EINVAL` or `ENOENT` if it has none.
#[doc(alias = "RTM_DELQDISC")]
pub fn delete_clsact(socket: &mut RouteSocket, index: u32) -> Result<()> {
    let mut batch = Batch::new();
    encode_delete_clsact(&mut batch, index);
    socket.execute(&mut batch)
}

/// Appends the addition of a filter. The link must have a clsact qdisc by then.
#[doc(alias = "RTM_NEWTFILTER")]
pub fn encode_add_filter(batch: &mut Batch, filter: &Filter<'_>) {
    encode_filter(batch, filter, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
}

/// As [`encode_add_filter`], in a chain that no packet comes to unless a filter of chain 0 sends it there: the filter does not
/// run, and holds its program for as long as the link and its clsact qdisc are there.
#[doc(alias = "RTM_NEWTFILTER")]
pub fn encode_add_held_filter(batch: &mut Batch, filter: &Filter<'_>, chain: u32) {
    encode_filter_in(batch, filter, libc::NLM_F_CREATE | libc::NLM_F_EXCL, chain);
}

/// Appends a filter that takes the place of the one with its priority and handle, if there is one, between two frames.
pub(crate) fn encode_replace_filter(batch: &mut Batch, filter: &Filter<'_>) {
    encode_filter(batch, filter, libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
}

fn encode_filter(batch: &mut Batch, filter: &Filter<'_>, flags: libc::c_int) {
    encode_filter_in(batch, filter, flags, 0);
}

fn encode_filter_in(batch: &mut Batch, filter: &Filter<'_>, flags: libc::c_int, chain: u32) {
    let header = filter_header(filter.index, filter.direction, filter.priority, filter.handle);
    batch.message(libc::RTM_NEWTFILTER, flags, &header, |attributes| {
        attributes.text(libc::TCA_KIND, "bpf");
        attributes.optional(TCA_CHAIN, Some(chain).filter(|&chain| chain != 0));
        attributes.nest(libc::TCA_OPTIONS, |options| {
            options.value(TCA_BPF_FD, filter.program.as_raw_fd());
            options.text(TCA_BPF_NAME, filter.name);
            options.value(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
            if filter.class_id != 0 {
                options.value(TCA_BPF_CLASSID, u32::from(filter.class_id));
            }
        });
    });
}

/// Adds a filter.
///
/// # Errors
/// `EEXIST` if priority and handle are taken, `EINVAL` if the link has no clsact qdisc or the program is of another
/// type; a priority or handle of 0, with which the kernel would choose one itself, is refused here.
#[doc(alias = "RTM_NEWTFILTER")]
pub fn add_filter(socket: &mut RouteSocket, filter: &Filter<'_>) -> Result<()> {
    if filter.priority == 0 || filter.handle == 0 {
        let object = format!("on interface {}", filter.index);
        return Err(Error::invalid(Operation::AddFilter, object, "priority and handle begin at 1"));
    }
    let mut batch = Batch::new();
    encode_add_filter(&mut batch, filter);
    socket.execute(&mut batch)
}

/// Puts a filter in the place of the one with its priority and handle, whatever that runs: each frame meets the one or the
/// other (`cls_bpf_change` in <https://github.com/torvalds/linux/blob/v6.18/net/sched/cls_bpf.c>). If there is none it is
/// added.
///
/// # Errors
/// What the kernel refused. The one that is there stays.
pub fn replace_filter(socket: &mut RouteSocket, filter: &Filter<'_>) -> Result<()> {
    let mut batch = Batch::new();
    encode_replace_filter(&mut batch, filter);
    socket.execute(&mut batch)
}

/// Appends the deletion of the bpf filter with this priority and handle, neither of them 0.
pub fn encode_delete_filter(batch: &mut Batch, index: u32, direction: Direction, priority: u16, handle: u32) {
    let header = filter_header(index, direction, priority, handle);
    batch.message(libc::RTM_DELTFILTER, 0, &header, |attributes| attributes.text(libc::TCA_KIND, "bpf"));
}

/// Appends the deletion of a filter of [`encode_add_held_filter`].
pub fn encode_delete_held_filter(batch: &mut Batch, index: u32, direction: Direction, filter: &FilterInfo) {
    let header = filter_header(index, direction, filter.priority, filter.handle);
    batch.message(libc::RTM_DELTFILTER, 0, &header, |attributes| {
        attributes.text(libc::TCA_KIND, "bpf");
        attributes.optional(TCA_CHAIN, Some(filter.chain).filter(|&chain| chain != 0));
    });
}

/// Deletes the bpf filter with this priority and handle.
///
/// # Errors
/// `ENOENT` if there is none; a priority or handle of 0, which would mean all of them, is refused here.
#[doc(alias = "RTM_DELTFILTER")]
pub fn delete_filter(
    socket: &mut RouteSocket,
    index: u32,
    direction: Direction,
    priority: u16,
    handle: u32,
) -> Result<()> {
    if priority == 0 || handle == 0 {
        return Err(Error::invalid(
            Operation::DeleteFilter,
            format!("on interface {index}"),
            "priority and handle begin at 1",
        ));
    }
    let mut batch = Batch::new();
    encode_delete_filter(&mut batch, index, direction, priority, handle);
    socket.execute(&mut batch)
}

/// Appends the request for a list of the filters on a hook.
pub(crate) fn encode_list_filters(batch: &mut Batch, index: u32, direction: Direction) {
    let header = TcMsg { index, parent: direction.parent(), ..TcMsg::default() };
    batch.message(libc::RTM_GETTFILTER, libc::NLM_F_DUMP, &header, |_| {});
}

/// Lists the filters on a hook of the link with this index, in the order in which they run; none of a link without clsact, or
/// that is not there.
///
/// # Errors
/// If the kernel refuses.
#[doc(alias = "RTM_GETTFILTER")]
pub fn list_filters(socket: &mut RouteSocket, index: u32, direction: Direction) -> Result<Vec<FilterInfo>> {
    // The kernel answers a link without hooks with an empty list, and one that does not exist too.
    let mut batch = Batch::new();
    encode_list_filters(&mut batch, index, direction);
    socket.dump(&mut batch, |message| Ok(parse_filter(message)))
}

fn parse_filter(message: &Message<'_>) -> Option<FilterInfo> {
    let header: TcMsg = message.family_header()?;
    // A classifier's own heading has no handle; its filters follow, each with one.
    if message.header.kind != libc::RTM_NEWTFILTER || header.handle == 0 {
        return None;
    }
    let attributes = message.attributes_after::<TcMsg>();
    let kind = attributes.find(libc::TCA_KIND)?.text()?.to_owned();
    let options = attributes.find(libc::TCA_OPTIONS).filter(|_| kind == "bpf");
    let option = |kind| options.and_then(|options| options.nested().find(kind));
    Some(FilterInfo {
        priority: (header.info >> 16) as u16,
        handle: header.handle,
        program_id: option(TCA_BPF_ID).and_then(|id| id.value()),
        class_id: option(TCA_BPF_CLASSID).and_then(|id| id.value()),
        name: option(TCA_BPF_NAME).and_then(|name| name.text()).map(str::to_owned),
        chain: attributes.find(TCA_CHAIN).and_then(|chain| chain.value()).unwrap_or(0),
        kind,
    })
}

/// Appends the request for a list of qdiscs.
pub(crate) fn encode_list_qdiscs(batch: &mut Batch, index: u32) {
    let header = TcMsg { index, ..TcMsg::default() };
    batch.message(libc::RTM_GETQDISC, libc::NLM_F_DUMP, &header, |_| {});
}

/// Lists the qdiscs of the link with this index.
///
/// # Errors
/// If the kernel refuses, or the list kept changing.
#[doc(alias = "RTM_GETQDISC")]
pub fn list_qdiscs(socket: &mut RouteSocket, index: u32) -> Result<Vec<Qdisc>> {
    let mut batch = Batch::new();
    encode_list_qdiscs(&mut batch, index);
    let mut qdiscs = socket.dump(&mut batch, |message| Ok(parse_qdisc(message)))?;
    qdiscs.retain(|qdisc| qdisc.index == index);
    Ok(qdiscs)
}

/// Appends the question for what is in clsact's place on a link.
pub(crate) fn encode_get_clsact(batch: &mut Batch, index: u32) {
    // Before Linux 6.8 the answer is a notice, which the one that asked gets if it wants the echo (`tc_get_qdisc` in
    // <https://github.com/torvalds/linux/blob/v6.1/net/sched/sch_api.c>).
    let header = TcMsg { handle: 0, ..clsact_header(index) };
    batch.message(libc::RTM_GETQDISC, libc::NLM_F_ECHO, &header, |_| {});
}

/// Whether the link with this index has a clsact qdisc. Unlike [`list_qdiscs`], for which the kernel goes through all links
/// of the namespace, this takes as long however many there are.
///
/// # Errors
/// `ENODEV` if there is no such link.
///
/// ```
/// use netns_core::{Namespace, RouteSocket, tc};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// assert!(!tc::has_clsact(&mut socket, 1)?);
/// tc::add_clsact(&mut socket, 1)?;
/// assert!(tc::has_clsact(&mut socket, 1)?);
/// # Ok::<(), netns_core::Error>(())
/// ```
pub fn has_clsact(socket: &mut RouteSocket, index: u32) -> Result<bool> {
    let mut batch = Batch::new();
    encode_get_clsact(&mut batch, index);
    let is_clsact = |message: &Message<'_>| Ok(parse_qdisc(message).is_some_and(|qdisc| qdisc.is_clsact()));
    match socket.query_optional(&mut batch, is_clsact) {
        // There is none; before Linux 6.8 the kernel refuses where there was one.
        Err(error) if matches!(error.errno(), Some(libc::ENOENT | libc::EINVAL)) => Ok(false),
        other => other.map(|found| found.unwrap_or(false)),
    }
}

fn parse_qdisc(message: &Message<'_>) -> Option<Qdisc> {
    let header: TcMsg = message.family_header()?;
    if message.header.kind != libc::RTM_NEWQDISC {
        return None;
    }
    let kind = message.attributes_after::<TcMsg>().find(libc::TCA_KIND)?.text()?.to_owned();
    Some(Qdisc { index: header.index, kind, handle: header.handle, parent: header.parent })
}
