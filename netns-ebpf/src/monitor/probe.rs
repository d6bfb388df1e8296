//! Asks the kernel for the three things without which nothing can be loaded, before aya looks at what it can do.
//!
//! aya tries some twenty things out when it is first used, takes every refusal for "not supported", and remembers that for
//! the life of the process. A refusal for want of memory or of file descriptors would stay, and without types (BTF) the
//! verifier follows every call of a global function anew, which takes most of a minute. Here the answer is the kernel's.

use std::error::Error;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use aya::maps::MapType;
use aya::programs::ProgramType;
use aya::sys::{is_map_supported, is_program_supported};

use super::bpf_call::{self, BpfCommand};
use super::kernel_answer::kernel_error;

/// How many file descriptors there must be; loading takes many more.
const SPARE: usize = 8;

/// What the kernel refused, and what it answered.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) what: &'static str,
    /// What it is that a kernel may lack, and the first one that has it.
    pub(super) feature: &'static str,
    pub(super) answer: io::Error,
}

/// Loads a program that does nothing, makes a map and loads types, and throws them away. The program first: where everybody
/// may load the other two (`kernel.unprivileged_bpf_disabled` is 0), a classifier still takes a privilege.
pub(super) fn probe() -> Result<(), Refused> {
    // aya takes several at once when it tries things out.
    let spare: io::Result<Vec<OwnedFd>> =
        (0..SPARE).map(|_| io::stderr().as_fd().try_clone_to_owned()).collect();
    spare.map(drop).map_err(|answer| Refused {
        what: "load a program",
        feature: "classifiers in eBPF (BPF_PROG_TYPE_SCHED_CLS, Linux 4.1)",
        answer,
    })?;
    let not_supported = || io::Error::from_raw_os_error(libc::EINVAL);
    let answered = |error: &(dyn Error + 'static)| {
        let errno = kernel_error(error).and_then(io::Error::raw_os_error);
        errno.map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error)
    };
    let program = match is_program_supported(ProgramType::SchedClassifier) {
        Ok(true) => Ok(()),
        Ok(false) => Err(not_supported()),
        Err(error) => Err(answered(&error)),
    };
    program.map_err(|answer| Refused {
        what: "load a program",
        feature: "classifiers in eBPF (BPF_PROG_TYPE_SCHED_CLS, Linux 4.1)",
        answer,
    })?;
    let map = match is_map_supported(MapType::RingBuf) {
        Ok(true) => Ok(()),
        Ok(false) => Err(not_supported()),
        Err(error) => Err(answered(&error)),
    };
    map.map_err(|answer| Refused {
        what: "create a map",
        feature: "ring buffers (BPF_MAP_TYPE_RINGBUF, Linux 5.8)",
        answer,
    })?;
    load_types(&TYPES).map(drop).map_err(|answer| Refused {
        what: "load types",
        feature: "types of global functions (BTF_FUNC_GLOBAL, Linux 5.6)",
        answer,
    })
}

/// [A header](https://docs.kernel.org/bpf/btf.html#btf-type-and-string-encoding), a function's type without arguments or
/// result, a global function `f` of it, and the two strings.
const TYPES: [u32; 13] = {
    const HEADER: u32 = 24;
    const PROTOTYPE: u32 = 13 << 24;
    const GLOBAL_FUNCTION: u32 = 12 << 24 | 1;
    let strings = u32::from_le_bytes(*b"\0f\0\0");
    [0x1_EB9F, HEADER, 0, 24, 24, 4, 0, PROTOTYPE, 0, 1, GLOBAL_FUNCTION, 1, strings]
};

/// The `btf_load` member of `bpf_attr`, as far as it is used.
#[repr(C)]
struct TypesAttr {
    types: u64,
    log: u64,
    size: u32,
    log_size: u32,
    log_level: u32,
    /// Written by the kernel, since Linux 6.4.
    log_true_size: u32,
}

const _: () = assert!(size_of::<TypesAttr>() == 32 && std::mem::offset_of!(TypesAttr, size) == 16);

/// Loads [types](https://docs.kernel.org/bpf/btf.html) into the kernel.
pub(super) fn load_types(types: &[u32]) -> io::Result<OwnedFd> {
    let size = u32::try_from(size_of_val(types)).map_err(io::Error::other)?;
    let types = types.as_ptr() as u64;
    let mut attr = TypesAttr { types, log: 0, size, log_size: 0, log_level: 0, log_true_size: 0 };
    // SAFETY: `TypesAttr` is what the command takes, and points to `size` bytes, which the kernel only reads. It answers with a
    // descriptor.
    unsafe { bpf_call::open(BpfCommand::BtfLoad, &mut attr) }
}
