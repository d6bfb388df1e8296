//! Loading the object into the kernel.

use std::collections::HashMap;
use std::error::Error;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::{fs, io};

use aya::maps::{Map, MapError};
use aya::programs::{ProgramError, SchedClassifier};
use aya::{Ebpf, EbpfError, EbpfLoader};

use super::log::LogReader;
use super::{MonitorError, MonitorOptions, byte_order};
use crate::layout;

/// The program, compiled. `cargo xtask ebpf build` makes it, `cargo xtask ebpf check` holds it against the source.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../object/netns-ebpf.o");

/// Room in the ring buffer of events: a power of two, as the kernel wants it, for some 3,000.
const EVENTS_BYTES: u32 = 1 << 19;

/// A program in the kernel.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) fd: OwnedFd,
    /// By which the kernel names it, in a filter for instance.
    pub(super) id: u32,
}

impl Program {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What the kernel made of the object.
pub(super) struct Loaded {
    pub(super) maps: Maps,
    pub(super) ingress: Program,
    pub(super) egress: Program,
    /// `None` where it is not known which one it is.
    pub(super) trunk: Option<Program>,
    /// For TCX links, ingress first; `None` unless asked for.
    pub(super) tcx: Option<[Program; 2]>,
    pub(super) log: LogReader,
}

/// The programs' maps, by the names of [`layout`].
pub(super) struct Maps(pub(super) HashMap<String, Map>);

impl Maps {
    /// The names of those that user space uses.
    pub(super) const NAMES: [&'static str; 9] = [
        layout::COUNTERS,
        layout::PORTS,
        layout::NEAR,
        layout::PAIRS,
        layout::LOST,
        layout::POLICIES,
        layout::VIOLATIONS,
        layout::GROUPS,
        layout::EVENTS,
    ];

    /// Takes a map.
    pub(super) fn take<T>(&mut self, name: &'static str) -> Result<T, MonitorError>
    where
        T: TryFrom<Map, Error = MapError>,
    {
        self.take_with(name, T::try_from)
    }

    /// Takes a map, as `convert` makes something of it.
    pub(super) fn take_with<T>(
        &mut self,
        name: &'static str,
        convert: impl FnOnce(Map) -> Result<T, MapError>,
    ) -> Result<T, MonitorError> {
        let failed = |source: Box<dyn Error + Send + Sync>| MonitorError::Load {
            operation: format!("take the map {name}"),
            source,
        };
        let map = self.0.remove(name).ok_or_else(|| failed("the program has no such map".into()))?;
        convert(map).map_err(|error| failed(error.into()))
    }
}

/// Loads the maps and the programs.
pub(super) fn load(options: &MonitorOptions) -> Result<Loaded, MonitorError> {
    byte_order::check(OBJECT)?;
    let cpus = cpu_lines()?;
    let mut ebpf = load_object(options, cpus).map_err(explain)?;
    let ingress = load_program(&mut ebpf, layout::INGRESS)?;
    let egress = load_program(&mut ebpf, layout::EGRESS)?;
    let trunk = Some(load_program(&mut ebpf, layout::TRUNK)?);
    let tcx = if options.tcx {
        let [ingress, egress] = [layout::TCX_INGRESS, layout::TCX_EGRESS];
        Some([load_program(&mut ebpf, ingress)?, load_program(&mut ebpf, egress)?])
    } else {
        None
    };
    let log = LogReader::new(&mut ebpf)?;
    let maps = Maps::NAMES.iter().filter_map(|&name| Some((name.to_owned(), ebpf.take_map(name)?))).collect();
    Ok(Loaded { maps: Maps(maps), ingress, egress, trunk, tcx, log })
}

/// Makes the maps, with the sizes and constants that the options and the machine ask for.
fn load_object(options: &MonitorOptions, cpus: u32) -> Result<Ebpf, EbpfError> {
    let slots = u32::from(options.slots);
    let pair_bits = if options.pairs > 0 { layout::pair_bits(options.pairs) } else { 0 };
    let preemptible = u8::from(is_preemptible());
    EbpfLoader::new()
        // The program follows no kernel structure, so the kernel's own BTF (megabytes to parse) is of no use here.
        .btf(None)
        .override_global(layout::CPUS, &cpus, true)
        .override_global(layout::PAIR_BITS, &pair_bits, true)
        .override_global(layout::PREEMPTIBLE, &preemptible, true)
        .map_max_entries(layout::COUNTERS, (slots + 1).saturating_mul(cpus))
        .map_max_entries(layout::POLICIES, slots + 1)
        .map_max_entries(layout::VIOLATIONS, slots + 1)
        .map_max_entries(layout::EVENTS, EVENTS_BYTES)
        .map_max_entries(layout::PORTS, slots + 2 * layout::MAX_TRUNKS)
        // More than the kernel has numbers for it refuses.
        .map_max_entries(layout::PAIRS, 1_u32.checked_shl(pair_bits).unwrap_or(u32::MAX))
        .map_max_entries(layout::LOST, cpus)
        .load(OBJECT)
}

/// Puts one program through the verifier.
fn load_program(ebpf: &mut Ebpf, name: &'static str) -> Result<Program, MonitorError> {
    let failed = |error: ProgramError| match error {
        ProgramError::LoadError { io_error, .. } if io_error.raw_os_error() == Some(libc::EPERM) => {
            MonitorError::Privilege { refused: format!("load the program {name}: {io_error}") }
        }
        ProgramError::LoadError { io_error, verifier_log } => {
            MonitorError::Verifier { program: name, log: verifier_log.to_string(), source: io_error }
        }
        error => MonitorError::Load { operation: format!("load the program {name}"), source: error.into() },
    };
    let program = ebpf.program_mut(name).ok_or(ProgramError::UnexpectedProgramType).map_err(failed)?;
    let program: &mut SchedClassifier = program.try_into().map_err(failed)?;
    program.load().map_err(failed)?;
    let fd =
        program.fd().map_err(failed)?.as_fd().try_clone_to_owned().map_err(|source| {
            MonitorError::Kernel { operation: format!("keep the program {name}"), source }
        })?;
    Ok(Program { fd, id: program.info().map_err(failed)?.id() })
}

/// How many lines a slot needs for every CPU to have its own: one more than the highest number that a CPU can have.
fn cpu_lines() -> Result<u32, MonitorError> {
    const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
    let failed = |source| MonitorError::Kernel { operation: format!("read {POSSIBLE}"), source };
    let list = fs::read_to_string(POSSIBLE).map_err(failed)?;
    highest_cpu(&list)
        .and_then(|highest| highest.checked_add(1))
        .ok_or_else(|| failed(io::Error::other(format!("{list:?} is no list of CPUs"))))
}

/// The highest number in the kernel's [list format](https://docs.kernel.org/admin-guide/cputopology.html), which is
/// sorted: `0-3`, `0,2-5`.
fn highest_cpu(list: &str) -> Option<u32> {
    list.trim_end().rsplit([',', '-']).next()?.parse().ok()
}

/// Whether the kernel may let one run of the program preempt another on the same CPU: `PREEMPT_RT`.
fn is_preemptible() -> bool {
    fs::read("/sys/kernel/realtime").is_ok_and(|content| content.starts_with(b"1"))
}

/// The kernel's answer somewhere below an error of aya's.
fn kernel_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        cause = error.source();
    }
    None
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

/// Says in our words why aya could not load the object.
fn explain(error: EbpfError) -> MonitorError {
    let map = match &error {
        EbpfError::MapError(MapError::CreateError { name, .. }) => Some(name.clone()),
        _ => None,
    };
    let operation =
        map.as_ref().map_or("load the program's maps".into(), |map| format!("create the map {map}"));
    let Some(answer) =
        kernel_error(&error).and_then(io::Error::raw_os_error).map(io::Error::from_raw_os_error)
    else {
        return MonitorError::Load { operation, source: error.into() };
    };
    match (answer.raw_os_error(), map.as_deref().and_then(requirement)) {
        (Some(libc::EPERM), _) => MonitorError::Privilege { refused: format!("{operation}: {answer}") },
        (Some(libc::EINVAL), Some(what)) => MonitorError::Missing { what, source: answer },
        (Some(libc::ENOSYS), _) => {
            MonitorError::Missing { what: "eBPF (CONFIG_BPF_SYSCALL)", source: answer }
        }
        _ => MonitorError::Kernel { operation, source: answer },
    }
}

#[cfg(test)]
mod tests;
