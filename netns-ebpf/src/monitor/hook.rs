//! The hooks of a link that programs are attached to by TCX, and which ones are.

use std::io;

use netns_core::tc::Direction;

use super::bpf_call::{self, BpfCommand};

/// Where the program is on a bridge.
pub(super) const AT_HOST: &[Direction] = &[Direction::Ingress];

/// [The attach types](https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/bpf.h), ingress first.
pub(super) const TCX: [u32; 2] = [46, 47];
/// So many programs a hook can have (`BPF_MPROG_MAX` in
/// <https://github.com/torvalds/linux/blob/v6.18/include/linux/bpf_mprog.h>).
const MOST_PROGRAMS: usize = 64;

/// The `query` member of `bpf_attr`.
#[repr(C)]
struct QueryAttr {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    /// How many there is room for, and how many there are.
    count: u32,
    padding: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

const _: () = assert!(size_of::<QueryAttr>() == 64 && std::mem::offset_of!(QueryAttr, revision) == 56);

/// The ids of the programs at a hook, 0 for ingress and 1 for egress, of a link in the thread's namespace, in the order in
/// which they run. `EINVAL` from a kernel without TCX, `ENODEV` if there is no such link. Attaching and detaching sends no
/// notice, so there is nothing but to ask.
pub(super) fn query(ifindex: u32, hook: usize) -> io::Result<Vec<u32>> {
    let mut programs = [0_u32; MOST_PROGRAMS];
    let mut attr = QueryAttr {
        target_ifindex: ifindex,
        attach_type: TCX[hook],
        query_flags: 0,
        attach_flags: 0,
        prog_ids: programs.as_mut_ptr().expose_provenance() as u64,
        count: MOST_PROGRAMS as u32,
        padding: 0,
        prog_attach_flags: 0,
        link_ids: 0,
        link_attach_flags: 0,
        revision: 0,
    };
    // SAFETY: `QueryAttr` is what the command takes. It points to `programs`, which has room for as many as it says and outlives the
    // call; the other arrays it asks for are none.
    unsafe { bpf_call::call(BpfCommand::ProgQuery, &mut attr)? };
    Ok(programs[..(attr.count as usize).min(MOST_PROGRAMS)].to_vec())
}
