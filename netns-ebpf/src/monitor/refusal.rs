//! Why the kernel does not load the programs, in our words.

use std::io;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;

use super::MonitorError;
use super::kernel_answer::kernel_error;
use super::machine::KernelVersion;
use super::probe::Refused;
use crate::layout;

/// From where on the kernel knows every instruction of the programs: `cmpxchg`, which makes the lines of pairs, came with
/// [Linux 5.12](https://github.com/torvalds/linux/commit/5ffa25502b5ab3d639829a2d1e316cff7f59a41e).
const OLDEST: (u32, u32) = (5, 12);

/// Something was refused before aya was asked for anything.
pub(super) fn of_probe(refused: Refused) -> MonitorError {
    let Refused { what, feature, answer } = refused;
    explain(what.to_owned(), Some(feature), answer, String::new())
}

/// The kernel did not take the programs' types.
pub(super) fn of_types() -> MonitorError {
    refused_to_aya("load the programs' types (BTF)")
}

/// The kernel did not take constants.
pub(super) fn of_constants() -> MonitorError {
    refused_to_aya("load the programs' constants (read-only globals)")
}

/// aya was refused something, and does not say with what answer.
fn refused_to_aya(operation: &str) -> MonitorError {
    let source = "the kernel refused them, perhaps for want of memory".into();
    MonitorError::Load { operation: operation.to_owned(), source }
}

/// The maps could not be made.
pub(super) fn of_object(error: EbpfError) -> MonitorError {
    let map = match &error {
        EbpfError::MapError(MapError::CreateError { name, .. }) => Some(name.clone()),
        _ => None,
    };
    let operation =
        map.as_ref().map_or("load the program's maps".into(), |map| format!("create the map {map}"));
    match kernel_error(&error).and_then(io::Error::raw_os_error) {
        Some(errno) => {
            let answer = io::Error::from_raw_os_error(errno);
            explain(operation, map.as_deref().and_then(requirement), answer, String::new())
        }
        None => MonitorError::Load { operation, source: error.into() },
    }
}

/// A program could not be loaded.
pub(super) fn of_program(program: &'static str, error: ProgramError) -> MonitorError {
    let operation = format!("load the program {program}");
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return MonitorError::Load { operation, source: error.into() };
    };
    let log = verifier_log.to_string();
    // The verifier refuses with EACCES what takes CAP_PERFMON, arithmetic with pointers into a packet for one
    // (`bypass_spec_v1` in <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/verifier.c>).
    if io_error.raw_os_error() == Some(libc::EACCES) && !may_bypass_mitigations() {
        return MonitorError::Privilege { refused: format!("{operation}: {io_error}"), is_capable: false };
    }
    match explain(operation, None, io_error, log.clone()) {
        // Of want of memory or of file descriptors the verifier has nothing to say.
        MonitorError::Kernel { source, .. } if !log.is_empty() => {
            MonitorError::Verifier { program, kernel: KernelVersion::running().release, log, source }
        }
        error => error,
    }
}

/// What the kernel's answer means for something that needs a `feature` that not every kernel has.
fn explain(operation: String, feature: Option<&'static str>, answer: io::Error, log: String) -> MonitorError {
    let Some(errno) = answer.raw_os_error() else {
        return MonitorError::Kernel { operation, source: answer };
    };
    let kernel = KernelVersion::running();
    match (errno, feature) {
        (libc::EMFILE | libc::ENFILE, _) => MonitorError::Descriptors { operation, source: answer },
        (libc::ENOMEM, _) => MonitorError::Kernel { operation, source: answer },
        (libc::EPERM, _) => {
            MonitorError::Privilege { refused: format!("{operation}: {answer}"), is_capable: is_capable() }
        }
        (libc::ENOSYS, _) => MonitorError::Missing { what: "eBPF (CONFIG_BPF_SYSCALL)", source: answer },
        _ if kernel.is_before(OLDEST.0, OLDEST.1) => {
            MonitorError::TooOld { kernel: kernel.release, log, source: answer }
        }
        (libc::EINVAL, Some(what)) => MonitorError::Missing { what, source: answer },
        _ => MonitorError::Kernel { operation, source: answer },
    }
}

/// Knows file descriptors that ran out, wherever they did.
pub(super) fn without_descriptors(error: MonitorError) -> MonitorError {
    let errno = error.errno();
    match (errno, error) {
        (
            Some(errno @ (libc::EMFILE | libc::ENFILE)),
            MonitorError::Kernel { operation, .. } | MonitorError::Load { operation, .. },
        ) => MonitorError::Descriptors { operation, source: io::Error::from_raw_os_error(errno) },
        (_, error) => error,
    }
}

/// What a map needs of the kernel that not every kernel has.
fn requirement(map: &str) -> Option<&'static str> {
    match map {
        layout::COUNTERS => Some("maps that can be mapped into memory (BPF_F_MMAPABLE, Linux 5.5)"),
        "AYA_LOGS" => Some("ring buffers (BPF_MAP_TYPE_RINGBUF, Linux 5.8)"),
        ".rodata" => Some("read-only globals (BPF_MAP_FREEZE, Linux 5.2)"),
        _ => None,
    }
}

/// Whether this thread has the capabilities that loading programs takes, in the user namespace that counts. `CAP_BPF` is not
/// asked about: who has `CAP_SYS_ADMIN` does not need it, and of the rest it is better said that it may be missing.
fn is_capable() -> bool {
    netns_core::is_in_initial_user_namespace().unwrap_or(false) && netns_core::is_privileged()
}

/// Whether this thread has `CAP_PERFMON`, or `CAP_SYS_ADMIN`, which stands for it.
fn may_bypass_mitigations() -> bool {
    const CAP_SYS_ADMIN: u32 = 21;
    const CAP_PERFMON: u32 = 38;
    [CAP_PERFMON, CAP_SYS_ADMIN].into_iter().any(|number| netns_core::has_capability(number).unwrap_or(true))
}
