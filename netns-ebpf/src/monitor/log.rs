//! What the programs say of themselves, handed to the `log` facade.
//!
//! No thread does that: a program with a loop calls [`LogReader::flush`] in it. A thread would keep the network
//! namespace alive that it was born in, and a process with two threads can no longer enter a user namespace.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

use super::MonitorError;

/// The ring buffer that aya-log writes in the kernel.
pub(super) struct LogReader {
    logger: Mutex<EbpfLogger<Facade>>,
    /// The ring buffer's, beside the logger's own behind its lock.
    fd: OwnedFd,
}

impl LogReader {
    /// Takes the ring buffer out of what was loaded.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, MonitorError> {
        Self::of(EbpfLogger::init_with_logger(ebpf, Facade))
    }

    /// The ring buffer of a program that is in the kernel.
    pub(super) fn of_program(id: u32) -> Result<Self, MonitorError> {
        Self::of(EbpfLogger::init_from_id_with_logger(id, Facade))
    }

    fn of(logger: Result<EbpfLogger<Facade>, aya_log::Error>) -> Result<Self, MonitorError> {
        let operation = || "read the programs' log".to_owned();
        let logger =
            logger.map_err(|error| MonitorError::Load { operation: operation(), source: error.into() })?;
        let fd = logger.as_fd().try_clone_to_owned();
        let fd = fd.map_err(|source| MonitorError::Kernel { operation: operation(), source })?;
        Ok(Self { logger: Mutex::new(logger), fd })
    }

    /// Hands what was said since the last time to the logger.
    pub(super) fn flush(&self) {
        self.logger.lock().unwrap_or_else(PoisonError::into_inner).flush();
    }

    /// Readable when something was said.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader").field("fd", &self.fd).finish_non_exhaustive()
    }
}

/// Whatever logger the process has when a record comes, not when the monitor was made.
struct Facade;

impl Log for Facade {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level() && log::logger().enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            log::logger().log(record);
        }
    }

    fn flush(&self) {
        log::logger().flush();
    }
}
