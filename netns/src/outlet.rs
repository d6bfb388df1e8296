//! Where lines go while something is watched: to a reader that may not read them.
//!
//! A pipe that nobody reads is full after 64 KiB, and a write to it blocks. A watcher that blocks notices no signal,
//! judges no new port and restores no enforcement. So a thread writes and waits, and the watcher goes on: while much is
//! waiting, readings are left out, and in the end other lines too.

use crate::output::shown;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How much may wait before readings are left out.
const BACKLOG: usize = 1 << 20;
/// How much may wait before every line is left out.
const LIMIT: usize = 16 << 20;
/// How long, after a request to stop, the reader has for what is waiting.
const GRACE: Duration = Duration::from_millis(200);
/// How long a request to stop may go unnoticed meanwhile.
const TICK: Duration = Duration::from_millis(20);

/// Collects what is written until it is flushed, then hands it to the thread.
#[derive(Debug)]
pub(crate) struct Outlet {
    line: Vec<u8>,
    shared: Arc<SharedOutlet>,
}

#[derive(Debug, Default)]
struct SharedOutlet {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    /// Whether the thread is writing what it took.
    is_writing: bool,
    /// Whether the thread has ended, because it cannot write any more.
    is_over: bool,
    /// How many lines were left out since the last query.
    left_out: u64,
    /// Why it ended, until that is reported.
    error: Option<io::Error>,
    is_closed: bool,
}

impl SharedOutlet {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Every change leaves it consistent.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what arrives until the end, or until it cannot be written.
    fn write_to(&self, mut out: File) {
        let mut queue = self.lock();
        loop {
            if queue.bytes.is_empty() {
                if queue.is_closed {
                    return;
                }
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let bytes = std::mem::take(&mut queue.bytes);
            queue.is_writing = true;
            drop(queue);
            let outcome = out.write_all(&bytes);
            queue = self.lock();
            queue.is_writing = false;
            self.changed.notify_all();
            if let Err(error) = outcome {
                queue.error = Some(error);
                queue.is_over = true;
                queue.bytes = Vec::new();
                return;
            }
        }
    }
}

impl Outlet {
    /// Begins to write to `out`. Nobody else may write to it until [`Self::finish`].
    pub(crate) fn new(out: &impl AsFd) -> io::Result<Self> {
        let out = File::from(out.as_fd().try_clone_to_owned()?);
        let shared = Arc::new(SharedOutlet::default());
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("lines".to_owned()).spawn(move || writer.write_to(out))?;
        Ok(Self { line: Vec::new(), shared })
    }

    /// Whether so much is waiting that a reading must be left out.
    pub(crate) fn is_behind(&self) -> bool {
        self.shared.lock().bytes.len() > BACKLOG
    }

    /// How many lines were left out since the last call, once there is room again to report it.
    pub(crate) fn left_out(&self) -> u64 {
        let mut queue = self.shared.lock();
        if queue.bytes.len() > BACKLOG { 0 } else { std::mem::take(&mut queue.left_out) }
    }

    /// Waits until everything is written, or until `is_stopped` if the reader still does not read.
    pub(crate) fn finish(mut self, is_stopped: impl Fn() -> bool) -> io::Result<()> {
        self.flush()?;
        let mut deadline = None;
        let mut queue = self.shared.lock();
        while !queue.is_over && (queue.is_writing || !queue.bytes.is_empty()) {
            if is_stopped() && Instant::now() >= *deadline.get_or_insert_with(|| Instant::now() + GRACE) {
                break;
            }
            queue = self.shared.changed.wait_timeout(queue, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.error.take().map_or(Ok(()), Err)
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Hands over what was written since the last time, all of it or nothing. An error of the thread is returned once, and
    /// what is written after it is dropped.
    fn flush(&mut self) -> io::Result<()> {
        if let Some(text) = shown(&self.line) {
            self.line = text.into_bytes();
        }
        let mut queue = self.shared.lock();
        if queue.is_over {
            self.line.clear();
            return queue.error.take().map_or(Ok(()), Err);
        }
        if queue.bytes.len() + self.line.len() > LIMIT && !queue.bytes.is_empty() {
            queue.left_out += self.line.split_inclusive(|&byte| byte == b'\n').count() as u64;
        } else {
            queue.bytes.extend_from_slice(&self.line);
        }
        self.line.clear();
        drop(queue);
        self.shared.changed.notify_all();
        Ok(())
    }
}

impl Drop for Outlet {
    /// The thread ends when it has written what is waiting. A thread that waits for a reader ends with the process.
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::{BACKLOG, LIMIT, Outlet};
    use std::io::{Read, Write};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    #[test]
    fn all_that_is_read_is_there_in_its_order() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let read = thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        let mut outlet = Outlet::new(&writer).unwrap();
        drop(writer);
        for line in 0..10_000 {
            writeln!(outlet, "{line}").unwrap();
            outlet.flush().unwrap();
        }
        outlet.finish(|| false).unwrap();
        let text = read.join().unwrap().unwrap();
        assert!(text.lines().eq((0..10_000).map(|line| line.to_string())));
    }

    #[test]
    fn a_reader_that_does_not_read_holds_up_nobody() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut outlet = Outlet::new(&writer).unwrap();
        let line = vec![b'x'; 100_000];
        for _ in 0..LIMIT / 50_000 {
            outlet.write_all(&line).unwrap();
            outlet.write_all(b"\n").unwrap();
            outlet.flush().unwrap();
        }
        assert!(outlet.is_behind() && outlet.left_out() == 0);
        assert!(outlet.shared.lock().bytes.len() <= LIMIT);
        // It is read again: what was left out is reported.
        let read = thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        while outlet.shared.lock().bytes.len() > BACKLOG {
            thread::sleep(Duration::from_millis(1));
        }
        let left_out = outlet.left_out();
        assert!(left_out > 0);
        outlet.finish(|| false).unwrap();
        drop(writer);
        let lines = read.join().unwrap().unwrap() / (line.len() as u64 + 1);
        assert_eq!(lines + left_out, (LIMIT / 50_000) as u64);
    }

    #[test]
    fn a_request_to_stop_waits_for_no_reader() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut outlet = Outlet::new(&writer).unwrap();
        outlet.write_all(&vec![b'x'; 200_000]).unwrap();
        let stop = AtomicBool::new(false);
        outlet.finish(|| stop.swap(true, Ordering::Relaxed)).unwrap();
        drop(reader);
    }

    #[test]
    fn a_reader_that_went_is_an_error() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut outlet = Outlet::new(&writer).unwrap();
        outlet.write_all(b"x\n").unwrap();
        let error = outlet.finish(|| false).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn after_the_error_nothing_waits_for_a_thread_that_ended() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut outlet = Outlet::new(&writer).unwrap();
        let error = loop {
            outlet.write_all(b"x\n").unwrap();
            if let Err(error) = outlet.flush() {
                break error;
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        outlet.write_all(b"y\n").unwrap();
        outlet.finish(|| false).unwrap();
    }
}
