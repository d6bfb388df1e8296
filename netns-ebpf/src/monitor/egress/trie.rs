//! A policy's trie in the kernel. Elements go in by the thousand at once (`BPF_MAP_UPDATE_BATCH`), which aya does not do.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Map, MapData, MapError};

use crate::layout::{EGRESS_RANGES, EgressEntry, EgressKey};
use crate::monitor::bpf_call::{self, BpfCommand, MapAttr};
use crate::monitor::probe::load_types;
use crate::packet::EgressPrefix;

const WORDS: usize = 1 + EGRESS_RANGES;

/// A trie from addresses to what is allowed there.
pub(super) type EgressTrie = LpmTrie<MapData, [u32; 4], [u64; WORDS]>;

/// How many elements are handed over at once: some 300 KB.
const BATCH: usize = 4096;

/// A type of maps and a flag of [bpf.h](https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/bpf.h).
const BPF_MAP_TYPE_LPM_TRIE: u32 = 11;
const BPF_F_NO_PREALLOC: u32 = 1;
/// What kernels answer that know no batches, at all or of tries (before Linux 5.13).
const ENOTSUPP: i32 = 524;

/// The `batch` member of `bpf_attr`.
#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<BatchAttr>() == 56 && offset_of!(BatchAttr, count) == 32);
};

/// The key, as aya wants it.
pub(super) const fn key(EgressKey { bits, address }: EgressKey) -> Key<[u32; 4]> {
    Key::new(bits, address)
}

/// The key, as aya has it.
pub(super) const fn key_of(key: &Key<[u32; 4]>) -> EgressKey {
    EgressKey { bits: key.prefix_len(), address: key.data() }
}

/// A trie with room for so many elements, and these in it.
pub(super) fn create(room: u32, entries: &[(EgressPrefix, EgressEntry)]) -> Result<EgressTrie, MapError> {
    let io = |call| move |io_error| MapError::SyscallError(aya::sys::SyscallError { call, io_error });
    let map = create_map(room).map_err(io("bpf_map_create"))?;
    let mut trie: EgressTrie =
        Map::LpmTrie(MapData::from_fd(map.try_clone().map_err(io("dup"))?)?).try_into()?;
    for chunk in entries.chunks(BATCH) {
        let keys: Vec<EgressKey> = chunk.iter().map(|(prefix, _)| prefix.key()).collect();
        let values: Vec<[u64; WORDS]> = chunk.iter().map(|(_, entry)| entry.to_words()).collect();
        match update(std::os::fd::AsFd::as_fd(&map), &keys, &values) {
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | ENOTSUPP)) =>
            {
                for (element, value) in keys.iter().zip(&values) {
                    trie.insert(&key(*element), value, 0)?;
                }
            }
            other => other.map_err(io("bpf_map_update_batch"))?,
        }
    }
    Ok(trie)
}

/// The types of keys and values: a header, two structures, of which only the sizes are known, and no names.
///
/// An array of maps takes those alone that are like the first one, and before Linux 6.2 a map without types is not like one
/// with some: what is not in its values is written down as another error (`timer_off` in `bpf_map_meta_equal` of
/// <https://github.com/torvalds/linux/blob/v6.1/kernel/bpf/map_in_map.c>).
const TYPES: [u32; 13] = {
    const HEADER: u32 = 24;
    const STRUCT: u32 = 4 << 24;
    let (key, value) = (size_of::<EgressKey>() as u32, size_of::<EgressEntry>() as u32);
    [0x1_EB9F, HEADER, 0, 24, 24, 4, 0, STRUCT, key, 0, STRUCT, value, 0]
};

fn create_map(room: u32) -> io::Result<OwnedFd> {
    let types = load_types(&TYPES)?;
    bpf_call::create_map(MapAttr {
        map_type: BPF_MAP_TYPE_LPM_TRIE,
        key_size: size_of::<EgressKey>() as u32,
        value_size: size_of::<[u64; WORDS]>() as u32,
        max_entries: room,
        map_flags: BPF_F_NO_PREALLOC,
        map_name: *b"egress_policy\0\0\0",
        btf_fd: types.as_raw_fd().cast_unsigned(),
        btf_key_type_id: 1,
        btf_value_type_id: 2,
        ..MapAttr::default()
    })
}

/// Writes elements, as many values as keys.
fn update(map: BorrowedFd<'_>, keys: &[EgressKey], values: &[[u64; WORDS]]) -> io::Result<()> {
    assert_eq!(keys.len(), values.len());
    let mut attr = BatchAttr {
        in_batch: 0,
        out_batch: 0,
        keys: keys.as_ptr().expose_provenance() as u64,
        values: values.as_ptr().expose_provenance() as u64,
        count: u32::try_from(keys.len()).map_err(io::Error::other)?,
        map_fd: map.as_raw_fd().cast_unsigned(),
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: `BatchAttr` is what the command takes; keys and values are as long as this map's are, there are as many of each as it
    // says, and the kernel only reads them.
    unsafe { bpf_call::call(BpfCommand::MapUpdateBatch, &mut attr).map(drop) }
}

/// The clock by which the program sees that something is over, in nanoseconds.
pub(super) fn now() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid to be written to. The clock exists, so the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.unsigned_abs().saturating_mul(1_000_000_000).saturating_add(now.tv_nsec.unsigned_abs())
}
