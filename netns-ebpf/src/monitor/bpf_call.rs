//! The system call `bpf`, for what aya does not do with it.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// [Commands](https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/bpf.h), by the kernel's numbers.
#[derive(Clone, Copy)]
pub(super) enum BpfCommand {
    MapCreate = 0,
    MapUpdateElem = 2,
    ProgLoad = 5,
    ProgTestRun = 10,
    ProgQuery = 16,
    BtfLoad = 18,
    MapUpdateBatch = 26,
    LinkCreate = 28,
}

/// Makes the call; what the kernel answers, if that is no error.
///
/// # Safety
/// `A` is the beginning of the member of `bpf_attr` that the command takes, without padding. What `attr` points to is valid for
/// what the command does with it: to be read, or to be written, for as long as `attr` says.
pub(super) unsafe fn call<A>(command: BpfCommand, attr: &mut A) -> io::Result<i32> {
    // SAFETY: by the caller's promise; the kernel reads and writes as many bytes of `attr` as are passed with it.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_long, &raw mut *attr, size_of::<A>()) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(answer).map_err(io::Error::other)
}

/// The same for a command that answers with a descriptor.
///
/// # Safety
/// As for [`call`], and the command is one of those.
pub(super) unsafe fn open<A>(command: BpfCommand, attr: &mut A) -> io::Result<OwnedFd> {
    // SAFETY: by the caller's promise. It is a new descriptor, which nobody else owns.
    unsafe { call(command, attr).map(|descriptor| OwnedFd::from_raw_fd(descriptor)) }
}

/// The beginning of the `map_create` member of `bpf_attr`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct MapAttr {
    pub(super) map_type: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) map_flags: u32,
    pub(super) inner_map_fd: u32,
    pub(super) numa_node: u32,
    pub(super) map_name: [u8; 16],
    pub(super) map_ifindex: u32,
    pub(super) btf_fd: u32,
    pub(super) btf_key_type_id: u32,
    pub(super) btf_value_type_id: u32,
}

const _: () = assert!(size_of::<MapAttr>() == 60 && std::mem::offset_of!(MapAttr, btf_fd) == 48);

/// Makes a map.
pub(super) fn create_map(mut attr: MapAttr) -> io::Result<OwnedFd> {
    // SAFETY: `MapAttr` is what the command takes, and points to nothing. It answers with a descriptor.
    unsafe { open(BpfCommand::MapCreate, &mut attr) }
}
