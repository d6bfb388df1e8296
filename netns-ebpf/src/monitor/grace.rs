//! Waiting until no program runs any more that began before.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Commands and map types of [bpf.h](https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/bpf.h).
const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_ARRAY_OF_MAPS: u32 = 12;

/// The beginning of the `map_create` member of `bpf_attr`.
#[repr(C)]
struct MapAttr {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
}

/// The member of `bpf_attr` for elements.
#[repr(C)]
struct ElementAttr {
    map_fd: u64,
    key: u64,
    value: u64,
    flags: u64,
}

const _: () = assert!(size_of::<MapAttr>() == 24 && size_of::<ElementAttr>() == 32);

/// Waits until every program has ended that runs now, some ten milliseconds.
///
/// Putting a map into an array of maps returns only when no program runs that could have found the one before: the kernel
/// calls `synchronize_rcu` (`maybe_wait_bpf_programs` in
/// [syscall.c](https://github.com/torvalds/linux/blob/v6.18/kernel/bpf/syscall.c), since Linux 5.0). `membarrier` waits for the
/// same, but not where a CPU is without ticks (`nohz_full`).
pub(super) fn wait() -> io::Result<()> {
    let inner = create(BPF_MAP_TYPE_ARRAY, None)?;
    let outer = create(BPF_MAP_TYPE_ARRAY_OF_MAPS, Some(&inner))?;
    let (key, value) = (0_u32, inner.as_raw_fd());
    let attr = ElementAttr {
        map_fd: u64::from(outer.as_raw_fd().cast_unsigned()),
        key: (&raw const key).expose_provenance() as u64,
        value: (&raw const value).expose_provenance() as u64,
        flags: 0,
    };
    // SAFETY: `attr` is the beginning of a `bpf_attr`, of the size that is passed with it. Key and value are as long as the map's
    // are, and the kernel only reads them.
    let done = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_MAP_UPDATE_ELEM, &raw const attr, size_of::<ElementAttr>())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A map of one element of four bytes.
fn create(map_type: u32, inner: Option<&OwnedFd>) -> io::Result<OwnedFd> {
    let inner_map_fd = inner.map_or(0, |inner| inner.as_raw_fd().cast_unsigned());
    let attr = MapAttr { map_type, key_size: 4, value_size: 4, max_entries: 1, map_flags: 0, inner_map_fd };
    // SAFETY: `attr` is the beginning of a `bpf_attr`, of the size that is passed with it, and has no pointers.
    let map = unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_CREATE, &raw const attr, size_of::<MapAttr>()) };
    match i32::try_from(map) {
        // SAFETY: it is a new descriptor, which nobody else owns.
        Ok(map) if map >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(map) }),
        _ => Err(io::Error::last_os_error()),
    }
}
