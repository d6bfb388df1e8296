//! What the kernel answered, below aya's words.

use std::error::Error;
use std::io;

/// The kernel's answer somewhere below an error of aya's.
pub(super) fn kernel_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}
