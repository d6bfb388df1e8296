//! The map of pairs, read and cleared many entries at a time: `bpf(2)`'s batch commands, which aya does not wrap.

use std::os::fd::{AsFd, AsRawFd};
use std::{io, ptr};

use aya::maps::{HashMap, Map, MapData, MapError};

use crate::layout::{PairCounters, PairKey};

/// [The commands](https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/bpf.h), known since Linux 5.6.
const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;
const BPF_MAP_DELETE_BATCH: libc::c_long = 27;

/// Entries per system call, unless a bucket of the map holds more.
const CHUNK: usize = 4096;

/// The [`batch` member](https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/bpf.h) of `bpf_attr`.
#[derive(Default)]
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
    assert!(size_of::<BatchAttr>() == 56 && align_of::<BatchAttr>() == 8);
    assert!(std::mem::offset_of!(BatchAttr, count) == 32);
    assert!(std::mem::offset_of!(BatchAttr, elem_flags) == 40);
};

/// The map, of which it is known that its keys are [`PairKey`]s and its values [`PairCounters`].
#[derive(Debug)]
pub(super) struct PairMap {
    map: MapData,
}

impl PairMap {
    /// Takes the map, if it is a hash map of the right sizes.
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        HashMap::<_, PairKey, PairCounters>::try_from(&map)?;
        match map {
            Map::HashMap(map) => Ok(Self { map }),
            _ => Err(MapError::InvalidMapType { map_type: 0 }),
        }
    }

    /// Every entry, in no order.
    ///
    /// One that the program inserts meanwhile may be among them or not; one that was there before and stays is among
    /// them once.
    pub(super) fn entries(&self) -> io::Result<Vec<(PairKey, PairCounters)>> {
        let mut keys = vec![PairKey::default(); CHUNK];
        let mut values = vec![PairCounters::default(); CHUNK];
        // The number of the bucket where the next batch begins.
        let mut position = 0_u32;
        let mut started = false;
        let mut entries = Vec::new();
        loop {
            let position = ptr::from_mut(&mut position).expose_provenance() as u64;
            let mut batch = BatchAttr {
                in_batch: if started { position } else { 0 },
                out_batch: position,
                keys: keys.as_mut_ptr().expose_provenance() as u64,
                values: values.as_mut_ptr().expose_provenance() as u64,
                count: u32::try_from(keys.len()).unwrap_or(u32::MAX),
                ..BatchAttr::default()
            };
            // SAFETY: both vectors hold `count` entries, whose sizes are the map's (`new` saw to it) and for which any
            // bytes will do; a hash map's position is the 32 bits that are there for it.
            let end = match unsafe { self.command(BPF_MAP_LOOKUP_BATCH, &mut batch) } {
                Ok(()) => false,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    // One bucket has more entries than there is room for, and nothing was read.
                    keys.resize(keys.len() * 2, PairKey::default());
                    values.resize(values.len() * 2, PairCounters::default());
                    continue;
                }
                Err(error) => return Err(error),
            };
            started = true;
            entries.extend(keys.iter().copied().zip(values.iter().copied()).take(batch.count as usize));
            if end {
                return Ok(entries);
            }
        }
    }

    /// Deletes entries. It is no error if some are not there.
    pub(super) fn delete(&self, keys: &[PairKey]) -> io::Result<()> {
        let mut rest = keys;
        while !rest.is_empty() {
            let mut batch = BatchAttr {
                keys: rest.as_ptr().expose_provenance() as u64,
                count: u32::try_from(rest.len()).unwrap_or(u32::MAX),
                ..BatchAttr::default()
            };
            // SAFETY: `rest` holds `count` keys of the map's size (`new` saw to it), and the kernel only reads them.
            match unsafe { self.command(BPF_MAP_DELETE_BATCH, &mut batch) } {
                Ok(()) => rest = &rest[batch.count as usize..],
                // The one after the last that was deleted was not there.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    rest = &rest[rest.len().min(batch.count as usize + 1)..];
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Runs a batch command on the map.
    ///
    /// # Safety
    /// The addresses in `batch` are null or valid for what the command does with them, for `count` entries of the
    /// map's sizes.
    unsafe fn command(&self, command: libc::c_long, batch: &mut BatchAttr) -> io::Result<()> {
        batch.map_fd = self.map.fd().as_fd().as_raw_fd().cast_unsigned();
        // SAFETY: `batch` is the beginning of a `bpf_attr`, of the size that is passed with it; the caller vouches for
        // what it points to.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_mut(batch), size_of::<BatchAttr>()) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
