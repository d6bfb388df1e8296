//! Waiting until no program runs any more that began before.

use std::io;
use std::os::fd::AsRawFd;

use super::bpf_call::{self, BpfCommand, MapAttr};

/// Types of maps of [bpf.h](https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/bpf.h).
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_ARRAY_OF_MAPS: u32 = 12;

/// The member of `bpf_attr` for elements.
#[repr(C)]
struct ElementAttr {
    map_fd: u64,
    key: u64,
    value: u64,
    flags: u64,
}

const _: () = assert!(size_of::<ElementAttr>() == 32);

/// Waits until every program has ended that runs now, some ten milliseconds.
///
/// Putting a map into an array of maps returns only when no program runs that could have found the one before: the kernel
/// calls `synchronize_rcu` (`maybe_wait_bpf_programs` in
/// [syscall.c](https://github.com/torvalds/linux/blob/v6.18/kernel/bpf/syscall.c), since Linux 5.0). `membarrier` waits for the
/// same, but not where a CPU is without ticks (`nohz_full`).
pub(super) fn wait() -> io::Result<()> {
    // Of one element of four bytes.
    let array = MapAttr {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        ..MapAttr::default()
    };
    let inner = bpf_call::create_map(array)?;
    let outer = bpf_call::create_map(MapAttr {
        map_type: BPF_MAP_TYPE_ARRAY_OF_MAPS,
        inner_map_fd: inner.as_raw_fd().cast_unsigned(),
        ..array
    })?;
    let (key, value) = (0_u32, inner.as_raw_fd());
    let mut attr = ElementAttr {
        map_fd: u64::from(outer.as_raw_fd().cast_unsigned()),
        key: (&raw const key).expose_provenance() as u64,
        value: (&raw const value).expose_provenance() as u64,
        flags: 0,
    };
    // SAFETY: `ElementAttr` is what the command takes. Key and value are as long as the map's are, and the kernel only reads them.
    unsafe { bpf_call::call(BpfCommand::MapUpdateElem, &mut attr).map(drop) }
}
