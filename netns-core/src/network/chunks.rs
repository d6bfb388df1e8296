//! Requests in as many batches as they need.

use crate::wire::{BATCH_CAPACITY, Batch};
use crate::{Result, RouteSocket};

/// Chunks in as many batches as they need.
pub(super) struct Chunks<'a> {
    socket: &'a mut RouteSocket,
    batch: Batch,
}

impl<'a> Chunks<'a> {
    /// What is left in a batch for one more group of requests.
    const ROOM: usize = 512;

    pub(super) fn new(socket: &'a mut RouteSocket) -> Self {
        Self { socket, batch: Batch::new() }
    }

    /// Lets `write` append less than [`Self::ROOM`] bytes of requests.
    pub(super) fn add(&mut self, write: impl FnOnce(&mut Batch)) -> Result<()> {
        if self.batch.bytes().len() + Self::ROOM > BATCH_CAPACITY {
            self.flush()?;
        }
        write(&mut self.batch);
        Ok(())
    }

    /// Sends what was appended and not sent.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.batch.messages() > 0 {
            self.socket.execute(&mut self.batch)?;
            self.batch.clear();
        }
        Ok(())
    }
}
