//! Attaching by TCX links: a little cheaper for each frame than a filter, and dear to attach.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use netns_core::RouteSocket;
use netns_core::tc::Direction;

use super::bpf_call::{self, BpfCommand};
use super::hook::{TCX, query};
use super::{Ahead, Monitor, MonitorError, Policy, Slot};

/// [`BPF_F_BEFORE`](https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/bpf.h): before another program, or, if none
/// is named, before all.
const BEFORE: u32 = 1 << 3;

/// The `link_create` member of `bpf_attr`, as far as it is used.
#[repr(C)]
struct LinkAttr {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    /// Before or after which other program, and in which revision of the list: before none in particular, in any.
    relative: u32,
    padding: u32,
    expected_revision: u64,
}

const _: () = assert!(size_of::<LinkAttr>() == 32 && std::mem::offset_of!(LinkAttr, expected_revision) == 24);

/// A port that [`Monitor::attach_tcx`] attached to. The programs are on it for as long as this lives: whatever becomes of
/// the process, the kernel takes them off, and then nothing is enforced any more. Filters stay.
#[derive(Debug)]
#[must_use = "the programs are taken off the port when this is dropped"]
pub struct TcxAttachment {
    ifindex: u32,
    slot: Slot,
    links: [OwnedFd; 2],
}

impl TcxAttachment {
    /// The port.
    #[must_use]
    pub const fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// The slot that it counts in.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.slot
    }
}

impl Monitor {
    /// Attaches to a port that exists, on the network of `socket`, by two [TCX] links (Linux 6.6), with a policy if there
    /// is one, and gives it a slot. For ports that stay, of a monitor that was loaded with [`MonitorOptions::tcx`].
    ///
    /// The hooks cost a frame half of what they cost with the filters of [`Self::attach`] (DESIGN.md). But the
    /// kernel waits for a grace period each time it attaches or detaches such a link, some ten milliseconds, and holds
    /// the lock of the network configuration meanwhile ([`tcx_link_attach`]): nobody on the machine makes a link then.
    ///
    /// These programs run before those that are there already and before all filters. One that somebody puts before them
    /// later, or that they were taken off, [`Self::ahead_of_tcx`] finds. `tc` does not show them, `bpftool net` does; nor does
    /// [`Self::attached`] know of them.
    ///
    /// # Errors
    /// As [`Self::assign`] and [`Self::set_policy`]; [`MonitorError::Missing`] if the kernel has no TCX,
    /// [`MonitorError::Kernel`] with what else it refused. Nothing stays on the port then.
    ///
    /// ```no_run
    /// use netns_core::RouteSocket;
    /// use netns_ebpf::{Monitor, MonitorOptions};
    ///
    /// let monitor = Monitor::load(&MonitorOptions { tcx: true, ..MonitorOptions::default() })?;
    /// let attachment = monitor.attach_tcx(&RouteSocket::open()?, 7, None)?;
    /// println!("{} frames", monitor.counters(attachment.slot()).rx.packets);
    /// monitor.detach_tcx(attachment)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [TCX]: https://docs.ebpf.io/linux/program-type/BPF_PROG_TYPE_SCHED_CLS/#tcx
    /// [`tcx_link_attach`]: https://github.com/torvalds/linux/blob/v6.18/kernel/bpf/tcx.c
    /// [`MonitorOptions::tcx`]: super::MonitorOptions::tcx
    pub fn attach_tcx(
        &self,
        socket: &RouteSocket,
        ifindex: u32,
        policy: Option<&Policy>,
    ) -> Result<TcxAttachment, MonitorError> {
        let operation = || format!("attach to interface {ifindex} by TCX");
        let programs = self.tcx.as_ref().ok_or_else(|| MonitorError::Load {
            operation: operation(),
            source: "the monitor was loaded without the programs for it (MonitorOptions::tcx)".into(),
        })?;
        let failed = |source: io::Error| match source.raw_os_error() {
            // What the kernel answers to a type that it does not know.
            Some(libc::EINVAL) => MonitorError::Missing { what: "TCX links (Linux 6.6)", source },
            _ => MonitorError::Kernel { operation: operation(), source },
        };
        let namespace = socket.namespace().map_err(|error| failed(io::Error::other(error)))?;
        let slot = self.assign(ifindex)?;
        let links = policy.map_or(Ok(()), |policy| self.set_policy(slot, policy)).and_then(|()| {
            // The kernel looks for the port in the caller's namespace.
            let links = namespace.enter(|| {
                let [ingress, egress] = programs;
                Ok([link(ingress.fd(), ifindex, TCX[0])?, link(egress.fd(), ifindex, TCX[1])?])
            });
            links.map_err(io::Error::other).and_then(|links| links).map_err(failed)
        });
        match links {
            Ok(links) => Ok(TcxAttachment { ifindex, slot, links }),
            Err(error) => {
                self.release(slot)?;
                Err(error)
            }
        }
    }

    /// What somebody has put before the programs of [`Self::attach_tcx`]; `None` if one of ours is not there any more. The
    /// kernel sends no notice of that: ask now and then.
    ///
    /// # Errors
    /// [`MonitorError::Kernel`] if the kernel does not say, `ENODEV` if the port is gone.
    pub fn ahead_of_tcx(
        &self,
        socket: &RouteSocket,
        attachment: &TcxAttachment,
    ) -> Result<Option<Vec<Ahead>>, MonitorError> {
        let ifindex = attachment.ifindex;
        let failed =
            |source| MonitorError::Kernel { operation: format!("ask for the programs of {ifindex}"), source };
        let other = |error| failed(io::Error::other(error));
        let Some(programs) = &self.tcx else { return Ok(None) };
        let look = || {
            let mut ahead = Vec::new();
            for (hook, direction) in Direction::BOTH.into_iter().enumerate() {
                let there = query(ifindex, hook)?;
                let Some(ours) = there.iter().position(|&id| id == programs[hook].id) else {
                    return Ok(None);
                };
                ahead.extend(there[..ours].iter().map(|&program| Ahead::Tcx { direction, program }));
            }
            Ok(Some(ahead))
        };
        socket.namespace().map_err(other)?.enter(look).map_err(other)?.map_err(failed)
    }

    /// Takes the programs off a port again, and its slot back as [`Self::release`] does.
    ///
    /// # Errors
    /// [`MonitorError::NotAssigned`] if the slot was released before.
    pub fn detach_tcx(&self, attachment: TcxAttachment) -> Result<(), MonitorError> {
        let TcxAttachment { slot, links, .. } = attachment;
        // When these are closed, the kernel has waited for the last frame.
        drop(links);
        self.release(slot)
    }
}

/// Puts a program before all others at a hook: one of those may decide a frame's fate.
fn link(program: BorrowedFd<'_>, ifindex: u32, attach_type: u32) -> io::Result<OwnedFd> {
    let mut attr = LinkAttr {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        target_ifindex: ifindex,
        attach_type,
        flags: BEFORE,
        relative: 0,
        padding: 0,
        expected_revision: 0,
    };
    // SAFETY: `LinkAttr` is what the command takes, and points to nothing. It answers with a descriptor.
    unsafe { bpf_call::open(BpfCommand::LinkCreate, &mut attr) }
}
