//! A classifier that does nothing: what running a program costs before it does anything.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// The first members of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct LoadProgram {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
}

/// Loads a classifier of two instructions, `return TC_ACT_UNSPEC`.
///
/// # Errors
/// The kernel's.
pub fn load() -> io::Result<OwnedFd> {
    const PROG_LOAD: libc::c_long = 5;
    const SCHED_CLS: u32 = 3;
    // `BPF_ALU64 | BPF_MOV | BPF_K` of -1 to register 0, and `BPF_JMP | BPF_EXIT`: code, registers, offset, immediate.
    let instructions: [[u8; 8]; 2] = [[0xB7, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let attributes = LoadProgram {
        kind: SCHED_CLS,
        instruction_count: 2,
        instructions: instructions.as_ptr() as u64,
        license: c"MIT".as_ptr() as u64,
    };
    // SAFETY: the size is that of `attributes`; the pointers in it are to two instructions and a string that ends with
    // NUL; all of them outlive the call. A result that is not negative is a new descriptor that nobody else owns.
    unsafe {
        let result = libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const attributes, size_of::<LoadProgram>());
        let fd = i32::try_from(result).map_err(io::Error::other)?;
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}
