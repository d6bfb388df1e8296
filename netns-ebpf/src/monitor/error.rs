//! What can go wrong in user space.

use netns_core::ErrorKind;
use std::error::Error;
use std::path::PathBuf;
use std::{fmt, io};

use super::Slot;
use super::kernel_answer::kernel_error;
use crate::layout::{MAX_GROUPS, MAX_SLOTS};
use crate::packet::EgressPrefix;

/// Why the monitor could not do what it was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum MonitorError {
    /// The options ask for no slots at all.
    NoSlots,
    /// The kernel does not let this process load eBPF programs.
    Privilege {
        /// What it refused.
        refused: String,
        /// Whether the process has all capabilities for it, in the initial user namespace, so that something else forbids
        /// it.
        is_capable: bool,
    },
    /// The kernel refused a program, and is older than the first that knows all of its instructions.
    TooOld {
        /// The kernel's version, as it calls itself.
        kernel: String,
        /// What the verifier wrote, if it came to that.
        log: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// Loading takes more file descriptors than this process, or the machine, has left.
    Descriptors {
        /// What was being done.
        operation: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The kernel has not what is needed.
    Missing {
        /// What is missing, and since when kernels have it.
        what: &'static str,
        /// What the kernel answered when it was asked for it.
        source: io::Error,
    },
    /// The compiled program is for machines of the other byte order: it is little-endian, this machine is not.
    ByteOrder,
    /// The verifier refused a program.
    Verifier {
        /// The program.
        program: &'static str,
        /// The kernel's version, as it calls itself.
        kernel: String,
        /// What the verifier wrote about it, many lines.
        log: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The programs that were to be opened again are in the kernel no more.
    Gone {
        /// The id of one that is missing.
        program: u32,
    },
    /// The programs that were to be opened again are of a version whose maps are laid out in another way.
    OtherLayout {
        /// The id of one of them.
        program: u32,
    },
    /// An operation of aya's failed in a way that has no name of its own here.
    Load {
        /// What was being done, and to what.
        operation: String,
        /// Why it failed.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A system call failed.
    Kernel {
        /// What was being done, and to what.
        operation: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// Every slot is in use.
    SlotsExhausted {
        /// How many there are.
        limit: u16,
    },
    /// The port has a slot already.
    Assigned {
        /// The port.
        ifindex: u32,
        /// Its slot.
        slot: Slot,
    },
    /// The slot belongs to no port.
    NotAssigned {
        /// The slot.
        slot: Slot,
    },
    /// The port has no policy that could be enforced.
    NoPolicy {
        /// Its slot.
        slot: Slot,
    },
    /// A policy was to be enforced, and the programs cannot see where the checksum of a frame was left to be written, so that
    /// what is delivered could be something else than what was judged. To observe is possible.
    ChecksumsUnseen {
        /// Why they cannot.
        why: &'static str,
    },
    /// A port was to have limits, and the programs were loaded without them: [`MonitorOptions::limits`](super::MonitorOptions::limits).
    Unlimited,
    /// Scopes were asked for, and the programs were loaded without them: [`MonitorOptions::scopes`](super::MonitorOptions::scopes).
    Unscoped,
    /// There is no group of this number.
    NoGroup {
        /// The number.
        group: u8,
    },
    /// The monitor looks for no egress policies: [`MonitorOptions::egress`](super::MonitorOptions::egress) asked for none.
    EgressOff,
    /// There are as many egress policies as were asked for.
    EgressPolicies {
        /// How many that is.
        limit: u16,
    },
    /// There is no such egress policy.
    NoEgressPolicy {
        /// Its number.
        policy: u16,
    },
    /// The egress policy is a port's.
    EgressInUse {
        /// The policy.
        policy: u16,
        /// The slot of one that has it.
        slot: Slot,
    },
    /// An egress policy says more of a network than there is room for.
    EgressFull {
        /// The network.
        prefix: EgressPrefix,
    },
    /// The port could not be attached to, or detached from.
    Port {
        /// Which of the two.
        operation: &'static str,
        /// The port.
        ifindex: u32,
        /// What was refused.
        source: netns_core::Error,
    },
    /// A bridge could not be observed, or not any longer.
    Bridge {
        /// The bridge.
        bridge: netns_core::IfName,
        /// What was refused.
        source: netns_core::Error,
    },
    /// The bridge is being observed already.
    Observed {
        /// The journal that the other observer writes.
        journal: PathBuf,
    },
    /// What an observer that was killed left on a bridge's ports could not be removed.
    Left {
        /// The bridge.
        bridge: netns_core::IfName,
        /// What was refused.
        source: netns_core::Error,
    },
    /// The barrier behind a bridge's ports could not be made, looked at or taken away. [`netns_core::ErrorKind::Unsupported`]
    /// on a kernel without nftables for bridges.
    Barrier(netns_core::Error),
    /// Somebody put an `ingress` qdisc on the port, which takes clsact's place and has no egress hook.
    IngressQdisc {
        /// The port.
        ifindex: u32,
    },
}

impl MonitorError {
    /// Of what [`Monitor::load`](super::Monitor::load) failed with: whether the kernel does not run the programs for this
    /// process, for whatever reason, so that one may go on without them. If not, the caller made a mistake, or has used up
    /// its file descriptors.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Privilege { .. }
                | Self::ByteOrder
                | Self::TooOld { .. }
                | Self::Missing { .. }
                | Self::Verifier { .. }
                | Self::Load { .. }
                | Self::Kernel { .. }
        )
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSlots | Self::NoGroup { .. } | Self::EgressOff | Self::EgressFull { .. } => {
                ErrorKind::Invalid
            }
            Self::Privilege { .. } => ErrorKind::Permission,
            Self::TooOld { .. }
            | Self::Missing { .. }
            | Self::ByteOrder
            | Self::OtherLayout { .. }
            | Self::ChecksumsUnseen { .. }
            | Self::Unlimited
            | Self::Unscoped
            | Self::Verifier { .. } => ErrorKind::Unsupported,
            Self::Descriptors { .. } | Self::SlotsExhausted { .. } | Self::EgressPolicies { .. } => {
                ErrorKind::Exhausted
            }
            Self::Gone { .. }
            | Self::NotAssigned { .. }
            | Self::NoPolicy { .. }
            | Self::NoEgressPolicy { .. } => ErrorKind::NotFound,
            Self::Assigned { .. } => ErrorKind::Exists,
            Self::Observed { .. } | Self::IngressQdisc { .. } | Self::EgressInUse { .. } => ErrorKind::Busy,
            Self::Load { source, .. } => kernel_error(&**source).map_or(ErrorKind::Other, ErrorKind::of),
            Self::Kernel { source, .. } => ErrorKind::of(source),
            Self::Port { source, .. }
            | Self::Bridge { source, .. }
            | Self::Left { source, .. }
            | Self::Barrier(source) => source.kind(),
        }
    }

    /// The kernel's error number, if the kernel refused something and it is known.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::TooOld { source, .. }
            | Self::Descriptors { source, .. }
            | Self::Missing { source, .. }
            | Self::Verifier { source, .. }
            | Self::Kernel { source, .. } => source.raw_os_error(),
            Self::Load { source, .. } => kernel_error(&**source)?.raw_os_error(),
            Self::Port { source, .. }
            | Self::Bridge { source, .. }
            | Self::Left { source, .. }
            | Self::Barrier(source) => source.errno(),
            _ => None,
        }
    }

    /// What the verifier wrote about a program that it refused: some hundred lines, which [`Display`](fmt::Display) leaves
    /// out.
    #[must_use]
    pub fn verifier_log(&self) -> Option<&str> {
        match self {
            Self::Verifier { log, .. } | Self::TooOld { log, .. } if !log.is_empty() => Some(log),
            _ => None,
        }
    }
}

impl fmt::Display for MonitorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlots => write!(f, "a monitor needs at least one slot (MonitorOptions::slots is 0)"),
            Self::Privilege { refused, is_capable: false } => write!(
                f,
                "{refused}: loading eBPF programs needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (or CAP_SYS_ADMIN) in \
                 the initial user namespace; run as root"
            ),
            Self::Privilege { refused, is_capable: true } => write!(
                f,
                "{refused}: this process has the capabilities for loading eBPF programs, so a seccomp filter, kernel \
                 lockdown or another security module forbids it"
            ),
            Self::TooOld { kernel, .. } => write!(
                f,
                "this kernel ({kernel}) is older than the eBPF program needs: Linux 5.12 (atomic compare-and-exchange \
                 in programs)"
            ),
            Self::Descriptors { operation, source } => write!(
                f,
                "{operation}: {source}: loading the eBPF program takes some 30 file descriptors (`ulimit -n` raises \
                 the limit)"
            ),
            Self::Missing { what, source } => write!(f, "this kernel lacks {what}: {source}"),
            Self::ByteOrder => {
                let [program, machine] =
                    if cfg!(target_endian = "little") { ["big", "little"] } else { ["little", "big"] };
                write!(
                    f,
                    "the compiled eBPF program is for {program}-endian machines, and this machine is {machine}-endian"
                )
            }
            Self::Verifier { program, kernel, source, .. } => {
                write!(
                    f,
                    "the verifier of this kernel ({kernel}) refused the eBPF program {program}: {source}"
                )
            }
            Self::Gone { program } => write!(f, "there is no eBPF program with the id {program} any more"),
            Self::OtherLayout { program } => {
                write!(
                    f,
                    "the eBPF program {program} is of another version, which keeps its data in another way"
                )
            }
            Self::Load { operation, source } => {
                write!(f, "{operation}: {source}")?;
                let mut cause = source.source();
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
            Self::Kernel { operation, source } => write!(f, "{operation}: {source}"),
            Self::SlotsExhausted { limit: MAX_SLOTS } => {
                write!(f, "all {MAX_SLOTS} slots are in use, as many as a filter's class id can distinguish")
            }
            Self::SlotsExhausted { limit } => write!(
                f,
                "all {limit} slots are in use; MonitorOptions::slots raises it, the kernel's limit is {MAX_SLOTS}"
            ),
            Self::Assigned { ifindex, slot } => {
                write!(f, "the port with ifindex {ifindex} has slot {slot} already")
            }
            Self::NotAssigned { slot } => write!(f, "slot {slot} belongs to no port"),
            Self::NoPolicy { slot } => write!(f, "slot {slot} has no policy to observe or enforce"),
            Self::ChecksumsUnseen { why } => write!(
                f,
                "enforce a policy: {why}; without that the programs do not see where a checksum is written after they \
                 have judged a frame, and a sender could change by it what was judged"
            ),
            Self::Unlimited => {
                write!(f, "limit a port: the programs were loaded without limits (MonitorOptions::limits)")
            }
            Self::Unscoped => {
                write!(f, "count by scope: the programs were loaded without that (MonitorOptions::scopes)")
            }
            Self::NoGroup { group } => write!(f, "group {group} is not below {MAX_GROUPS}"),
            Self::EgressOff
            | Self::EgressPolicies { .. }
            | Self::NoEgressPolicy { .. }
            | Self::EgressInUse { .. }
            | Self::EgressFull { .. } => self.write_egress(f),
            Self::Port { operation, ifindex, source } => {
                write!(f, "{operation} the port with ifindex {ifindex}: {source}")
            }
            Self::Bridge { bridge, source } => write!(f, "observe the bridge {bridge}: {source}"),
            Self::Observed { journal } => {
                write!(f, "{}: this bridge is being observed already", journal.display())
            }
            Self::Left { bridge, source } => {
                write!(f, "remove what an observer of the bridge {bridge} left: {source}")
            }
            Self::Barrier(source) => write!(f, "keep frames from getting past the program: {source}"),
            Self::IngressQdisc { ifindex } => write!(
                f,
                "attach to the port with ifindex {ifindex}: somebody put an ingress qdisc on it, which takes the place \
                 of the clsact qdisc that is needed"
            ),
        }
    }
}

impl MonitorError {
    /// What is wrong with an egress policy.
    fn write_egress(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EgressOff => f.write_str(
                "the eBPF program looks for no egress policies: MonitorOptions::egress says how many there can be",
            ),
            Self::EgressPolicies { limit } => {
                write!(f, "there are {limit} egress policies; MonitorOptions::egress raises the limit")
            }
            Self::NoEgressPolicy { policy } => write!(f, "there is no egress policy {policy}"),
            Self::EgressInUse { policy, slot } => {
                write!(f, "remove the egress policy {policy}: the port of slot {slot} has it")
            }
            Self::EgressFull { prefix } => write!(
                f,
                "an egress policy says more than four things of {prefix}, those of wider networks included"
            ),
            _ => Ok(()),
        }
    }
}

impl Error for MonitorError {
    /// What [`Display`](fmt::Display) does not say already.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // Its sentence says what is missing, and not what the kernel answered.
            Self::TooOld { source, .. } => Some(source),
            Self::Missing { source, .. }
            | Self::Descriptors { source, .. }
            | Self::Verifier { source, .. }
            | Self::Kernel { source, .. } => source.source(),
            Self::Port { source, .. }
            | Self::Bridge { source, .. }
            | Self::Left { source, .. }
            | Self::Barrier(source) => source.source(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
