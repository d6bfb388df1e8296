//! Log messages: they go to stderr, except while the live view has the screen; then they are kept for the view.

use crate::outlet::Outlet;
use crate::output::shown;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Prints a message on stderr. If stderr is gone, that is no error; `eprintln!` would panic, and what was made would stay.
pub fn say(line: fmt::Arguments<'_>) {
    let text = line.to_string();
    let _ = writeln!(io::stderr(), "{}", shown(text.as_bytes()).unwrap_or(text));
}

/// Whether `--verbose` was given.
static VERBOSE: AtomicBool = AtomicBool::new(false);

pub(crate) fn set_verbose(verbose: bool) {
    VERBOSE.store(verbose, Ordering::Relaxed);
}

pub(crate) fn is_verbose() -> bool {
    VERBOSE.load(Ordering::Relaxed)
}

/// How many lines are kept.
const MOST: usize = 100;

/// `Some` while somebody keeps them.
static KEPT: Mutex<Option<VecDeque<String>>> = Mutex::new(None);

fn kept() -> MutexGuard<'static, Option<VecDeque<String>>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the logger writes to.
#[derive(Debug)]
pub(crate) struct MessageSink;

impl Write for MessageSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *kept() {
            None => match &mut *aside() {
                // If stderr is gone nobody misses the message.
                Some(outlet) => outlet.write_all(bytes).and_then(|()| outlet.flush())?,
                None => match shown(bytes) {
                    Some(text) => io::stderr().write_all(text.as_bytes())?,
                    None => io::stderr().write_all(bytes)?,
                },
            },
            Some(lines) => {
                let text = String::from_utf8_lossy(bytes);
                lines.extend(text.lines().map(str::to_owned));
                while lines.len() > MOST {
                    lines.pop_front();
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `Some` while a thread writes the messages.
static ASIDE: Mutex<Option<Outlet>> = Mutex::new(None);

fn aside() -> MutexGuard<'static, Option<Outlet>> {
    ASIDE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While one exists, logging does not wait for a reader: see [`crate::outlet`].
#[derive(Debug)]
pub(crate) struct Aside(());

impl Aside {
    pub(crate) fn begin() -> io::Result<Self> {
        *aside() = Some(Outlet::new(&io::stderr())?);
        Ok(Self(()))
    }

    /// As [`Outlet::finish`].
    #[expect(clippy::unused_self, reason = "there is one while this is held")]
    pub(crate) fn end(self, is_stopped: impl Fn() -> bool) {
        if let Some(outlet) = aside().take() {
            // If stderr is gone nobody misses the message.
            let _ = outlet.finish(is_stopped);
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        drop(aside().take());
    }
}

/// Keeps messages until it is dropped; then they go to stderr.
#[derive(Debug)]
pub(crate) struct Keep(());

impl Keep {
    pub(crate) fn begin() -> Self {
        kept().get_or_insert_default();
        Self(())
    }

    /// The last one.
    #[expect(clippy::unused_self, reason = "there is one while this is held")]
    pub(crate) fn last(&self) -> Option<String> {
        kept().as_ref()?.back().cloned()
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        let lines = kept().take();
        for line in lines.into_iter().flatten() {
            say(format_args!("{line}"));
        }
    }
}
