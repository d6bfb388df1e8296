//! What counts: the eBPF program, or the kernel alone where it refuses the program.

use crate::failure::{Failure, with_log};
use crate::messages::say;
use netns_core::barrier::{Barrier, BarrierPorts};
use netns_core::tc::{self, Direction, Filter};
use netns_core::{ErrorKind, RouteSocket};
use netns_ebpf::{Monitor, MonitorOptions};

/// What does the counting.
#[derive(Debug)]
pub(crate) enum Counting {
    /// The eBPF program on the ports.
    Program(Box<Monitor>),
    /// The kernel alone, in its port statistics: it refused the program.
    Kernel {
        /// Why, in a sentence.
        why: String,
    },
}

impl Counting {
    /// How [`Self::Kernel`] is reported, as the end of a sentence.
    pub(crate) const INSTEAD: &str = "the kernel's port statistics in place of the program's counters";

    /// Loads the program, and tries in the throw-away namespace of `probe` whether it can be attached to a port.
    ///
    /// Where the kernel refuses, for whatever reason, its own statistics will do, unless an option that takes the program
    /// was given (`needs`). Our own mistakes, and running out of file descriptors, are errors in any case.
    pub(crate) fn decide(
        options: &MonitorOptions,
        needs: Option<&str>,
        probe: Option<&mut RouteSocket>,
    ) -> Result<Self, Failure> {
        let why = match Monitor::load(options) {
            Ok(monitor) => match probe.map_or(Ok(()), |probe| try_on_port(&monitor, probe)) {
                Ok(()) => return Ok(Self::Program(Box::new(monitor))),
                Err(why) => why,
            },
            Err(error) if error.is_refusal() => with_log(&error, error.verifier_log()),
            Err(error) => return Err(error.into()),
        };
        match needs {
            Some(option) => Err(Failure::Kernel(format!("{option} takes the eBPF program: {why}"))),
            None => Ok(Self::Kernel { why }),
        }
    }

    /// The program, if it counts.
    pub(crate) fn monitor(&self) -> Option<&Monitor> {
        match self {
            Self::Program(monitor) => Some(monitor),
            Self::Kernel { .. } => None,
        }
    }
}

/// Whether the kernel can keep frames from getting past the program; tried in the throw-away namespace of `probe`. Where
/// it cannot, enforcement holds against everybody except root inside a namespace who uses this way, and a warning says so.
pub(crate) fn can_bar(probe: Option<&RouteSocket>) -> bool {
    let Some(probe) = probe else { return true };
    let tried = probe.namespace().and_then(|namespace| {
        Barrier::create(&namespace, "probe", BarrierPorts::Listed, 1).and_then(Barrier::delete)
    });
    match tried {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            say(format_args!(
                "warning: {error}: root inside who makes an ifb device there sends what is never judged"
            ));
            false
        }
        // The real attempt reports any other refusal.
        _ => true,
    }
}

/// Puts the program onto `lo`.
fn try_on_port(monitor: &Monitor, socket: &mut RouteSocket) -> Result<(), String> {
    const LO: u32 = 1;
    let missing = |what: &'static str| {
        move |error: netns_core::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::Unsupported => format!("this kernel has no {what}: {error}"),
            _ => error.to_string(),
        }
    };
    tc::add_clsact(socket, LO).map_err(missing("clsact qdisc (CONFIG_NET_SCH_INGRESS)"))?;
    let filter = Filter {
        index: LO,
        direction: Direction::Ingress,
        priority: 1,
        handle: 1,
        program: monitor.ingress_program(),
        name: "probe",
        class_id: 0,
    };
    tc::add_filter(socket, &filter)
        .map_err(missing("bpf classifier (CONFIG_NET_CLS_BPF, CONFIG_NET_CLS_ACT)"))
}
