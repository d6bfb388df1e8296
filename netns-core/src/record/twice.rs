//! Undoing once more what a shortage kept from being undone.

use crate::error::Cause;
use crate::{Error, Result};

/// Undoes something, and does so once more if that failed for a reason that passes: the kernel had no memory, room or
/// descriptor, was interrupted or busy, or its answer was lost. What `undo` does may so be done already.
///
/// # Errors
/// What `undo` returned last.
pub fn undo_twice<T>(mut undo: impl FnMut() -> Result<T>) -> Result<T> {
    match undo() {
        Err(error) if passes(&error) => undo(),
        other => other,
    }
}

fn passes(error: &Error) -> bool {
    matches!(error.cause(), Cause::Reply(_) | Cause::Changed(_))
        || matches!(
            error.errno(),
            Some(
                libc::EINTR
                    | libc::EAGAIN
                    | libc::ENOMEM
                    | libc::ENOBUFS
                    | libc::ENOLCK
                    | libc::EMFILE
                    | libc::ENFILE
                    | libc::EBUSY
            )
        )
}
