//! Running a program over a frame that nobody sent: `BPF_PROG_TEST_RUN`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use netns_core::tc::Direction;

use super::Monitor;
use super::bpf_call::{self, BpfCommand};

/// What the programs answer for a frame that they drop.
const TC_ACT_SHOT: u32 = 2;

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// Whether the frame would have been dropped.
    pub dropped: bool,
    /// How long a run took, the mean of all.
    pub duration: Duration,
}

/// The `test` member of `bpf_attr`.
#[derive(Default)]
#[repr(C)]
struct TestAttr {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
}

const _: () = assert!(size_of::<TestAttr>() == 64 && std::mem::offset_of!(TestAttr, ctx_in) == 48);

impl Monitor {
    /// Runs the program of a direction over a frame, `repeat` times, in the kernel and without a network. The kernel has
    /// no class id to give it, so it counts for no slot: [`Self::unassigned`], [`Self::set_unassigned_policy`].
    ///
    /// # Errors
    /// The kernel's: `EINVAL` for a frame of less than 14 bytes or more than a page.
    pub fn test_run(&self, direction: Direction, frame: &[u8], repeat: u32) -> io::Result<TestRun> {
        let program = match direction {
            Direction::Ingress => self.ingress_program(),
            Direction::Egress => self.egress_program(),
        };
        test_run(program, frame, repeat)
    }
}

/// Runs any classifier over a frame: as [`Monitor::test_run`].
///
/// # Errors
/// The same.
pub fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<TestRun> {
    let mut attr = TestAttr {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        data_size_in: u32::try_from(frame.len()).map_err(io::Error::other)?,
        data_in: frame.as_ptr().expose_provenance() as u64,
        repeat,
        ..TestAttr::default()
    };
    // SAFETY: `TestAttr` is what the command takes; `data_in` is valid to be read for `data_size_in` bytes, and the other addresses
    // are null.
    unsafe { bpf_call::call(BpfCommand::ProgTestRun, &mut attr)? };
    Ok(TestRun { dropped: attr.retval == TC_ACT_SHOT, duration: Duration::from_nanos(attr.duration.into()) })
}
