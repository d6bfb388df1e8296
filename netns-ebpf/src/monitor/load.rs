//! Loading the object into the kernel.

use std::array;
use std::collections::HashMap;
use std::error::Error;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya::maps::{Map, MapError};
use aya::programs::{ProgramError, SchedClassifier};
use aya::{Ebpf, EbpfError, EbpfLoader};

use super::log::LogReader;
use super::{MonitorError, MonitorOptions, byte_order, cast, kernel_types, machine, probe, refusal};
use crate::layout::{self, ConversationSeed};

/// The program, compiled. `cargo xtask ebpf build` makes it, `cargo xtask ebpf check` holds it against the source.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!("../../object/netns-ebpf.o");

/// Room in the ring buffer of events: a power of two, as the kernel wants it, for some 3,000.
const EVENTS_BYTES: u32 = 1 << 19;

/// The same of quotas that were reached, for some 2,700 of them.
const QUOTA_EVENTS_BYTES: u32 = 1 << 16;

/// A program in the kernel.
#[derive(Debug)]
pub(super) struct LoadedProgram {
    pub(super) fd: OwnedFd,
    /// By which the kernel names it, in a filter for instance.
    pub(super) id: u32,
}

impl LoadedProgram {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What the kernel made of the object.
pub(super) struct Loaded {
    pub(super) maps: Maps,
    pub(super) ingress: LoadedProgram,
    pub(super) egress: LoadedProgram,
    /// `None` where it is not known which one it is.
    pub(super) trunk: Option<LoadedProgram>,
    /// For TCX links, ingress first; `None` unless asked for.
    pub(super) tcx: Option<[LoadedProgram; 2]>,
    pub(super) log: LogReader,
}

/// The programs' maps, by the names of [`layout`].
pub(super) struct Maps(pub(super) HashMap<String, Map>);

impl Maps {
    /// The names of those that user space uses.
    pub(super) const NAMES: [&'static str; 22] = [
        layout::COUNTERS,
        layout::PORTS,
        layout::NEAR,
        layout::PAIRS,
        layout::LOST,
        layout::SENDERS,
        layout::PAIR_USE,
        layout::POLICIES,
        layout::VIOLATIONS,
        layout::GROUPS,
        layout::EVENTS,
        layout::EGRESS_PORTS,
        layout::EGRESS_POLICIES,
        layout::EGRESS_EPOCHS,
        layout::EGRESS_SHARERS,
        layout::METERS,
        layout::QUOTA_EVENTS,
        layout::SCOPES,
        layout::SCOPE_COUNTERS,
        layout::VERDICTS,
        layout::VERDICT_SENDERS,
        layout::VERDICT_USE,
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
pub(super) fn load(options: &MonitorOptions, stamp: u32) -> Result<Loaded, MonitorError> {
    byte_order::check(OBJECT)?;
    let cpus = machine::cpu_lines()?;
    probe::probe().map_err(refusal::of_probe)?;
    check_features()?;
    let mut ebpf = load_object(options, cpus, stamp).map_err(refusal::of_object)?;
    // The shortest one first.
    let trunk = Some(load_program(&mut ebpf, layout::TRUNK)?);
    check_types(&ebpf)?;
    let ingress = load_program(&mut ebpf, layout::INGRESS)?;
    let egress = load_program(&mut ebpf, layout::EGRESS)?;
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
fn load_object(options: &MonitorOptions, cpus: u32, stamp: u32) -> Result<Ebpf, EbpfError> {
    let slots = u32::from(options.slots);
    let pair_bits = if options.pairs > 0 { layout::pair_bits(options.pairs) } else { 0 };
    let verdict_bits = if options.verdicts > 0 { layout::pair_bits(options.verdicts) } else { 0 };
    let egress = u32::from(options.egress);
    let preemptible = u8::from(machine::is_preemptible());
    let types = kernel_types::kernel_types().ok();
    let checksum_fields = types.map_or(0, |types| types.fields.to_word());
    let object = types.and_then(|types| types.cast).map(|function| cast::with_calls(OBJECT, function));
    EbpfLoader::new()
        // The one kernel structure that the program follows is looked up once a process (`kernel_types`).
        .btf(None)
        .override_global(layout::CPUS, &cpus, true)
        .override_global(layout::PAIR_BITS, &pair_bits, true)
        .override_global(layout::STAMP, &stamp, true)
        .override_global(layout::PREEMPTIBLE, &preemptible, true)
        .override_global(layout::EGRESS_LIMIT, &egress, true)
        .override_global(layout::METERED, &u8::from(options.limits), true)
        .override_global(layout::SCOPED, &u8::from(options.scopes), true)
        .override_global(layout::VERDICT_BITS, &verdict_bits, true)
        .override_global(layout::VERDICT_SEED, &RandomState::new().build_hasher().finish(), true)
        .override_global(layout::CHECKSUM_FIELDS, &checksum_fields, true)
        .map_max_entries(layout::COUNTERS, (slots + 1).saturating_mul(cpus))
        .map_max_entries(layout::POLICIES, slots + 1)
        .map_max_entries(layout::VIOLATIONS, slots + 1)
        .map_max_entries(layout::EGRESS_PORTS, if egress > 0 { slots + 1 } else { 1 })
        .map_max_entries(layout::EGRESS_POLICIES, egress.max(1))
        .map_max_entries(layout::EGRESS_EPOCHS, egress.max(1))
        .map_max_entries(
            layout::EGRESS_CACHE,
            if egress > 0 { cpus.saturating_mul(layout::EGRESS_CACHE_LINES) } else { 1 },
        )
        .override_global(layout::CONVERSATION_SEED, &secret(), true)
        .map_max_entries(layout::CONVERSATIONS, if egress > 0 { layout::CONVERSATION_LINES } else { 1 })
        .map_max_entries(layout::EVENTS, EVENTS_BYTES)
        .map_max_entries(layout::METERS, if options.limits { slots + 1 } else { 1 })
        .map_max_entries(layout::SCOPES, layout::MAX_SCOPES)
        .map_max_entries(
            layout::SCOPE_COUNTERS,
            if options.scopes { (slots + 1).saturating_mul(cpus) } else { 1 },
        )
        .map_max_entries(layout::QUOTA_EVENTS, QUOTA_EVENTS_BYTES)
        .map_max_entries(layout::PORTS, slots + 2 * layout::MAX_TRUNKS)
        // More than the kernel has numbers for it refuses.
        .map_max_entries(layout::PAIRS, 1_u32.checked_shl(pair_bits).unwrap_or(u32::MAX))
        .map_max_entries(layout::LOST, cpus)
        .map_max_entries(layout::SENDERS, slots + 1)
        .map_max_entries(layout::VERDICTS, 1_u32.checked_shl(verdict_bits).unwrap_or(u32::MAX))
        .map_max_entries(layout::VERDICT_SENDERS, if verdict_bits > 0 { slots + 1 } else { 1 })
        .load(object.as_deref().unwrap_or(OBJECT))
}

/// Numbers that nobody can guess: the hasher of the standard library has its keys from the kernel.
fn secret() -> ConversationSeed {
    let state = RandomState::new();
    array::from_fn(|number| state.hash_one(number))
}

/// Whether aya found out that the kernel has what the object cannot be loaded without.
fn check_features() -> Result<(), MonitorError> {
    let features = aya::features();
    if !features.bpf_global_data() {
        return Err(refusal::of_constants());
    }
    match features.btf() {
        Some(types) if types.btf_func_global() => Ok(()),
        _ => Err(refusal::of_types()),
    }
}

/// Whether the kernel has the object's types. aya goes on without them if it does not take them; but without them the
/// verifier follows each call of a global function on every path, and that takes most of a minute before it gives up.
fn check_types(ebpf: &Ebpf) -> Result<(), MonitorError> {
    let info = ebpf.program(layout::TRUNK).map(aya::programs::Program::info);
    match info {
        Some(Ok(info)) if info.btf_id().is_some() => Ok(()),
        _ => Err(refusal::of_types()),
    }
}

/// Puts one program through the verifier.
fn load_program(ebpf: &mut Ebpf, name: &'static str) -> Result<LoadedProgram, MonitorError> {
    let failed = |error| refusal::of_program(name, error);
    let program = ebpf.program_mut(name).ok_or(ProgramError::UnexpectedProgramType).map_err(failed)?;
    let program: &mut SchedClassifier = program.try_into().map_err(failed)?;
    program.load().map_err(failed)?;
    let fd =
        program.fd().map_err(failed)?.as_fd().try_clone_to_owned().map_err(|source| {
            MonitorError::Kernel { operation: format!("keep the program {name}"), source }
        })?;
    Ok(LoadedProgram { fd, id: program.info().map_err(failed)?.id() })
}
