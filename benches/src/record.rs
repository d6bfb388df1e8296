//! What this process sends, byte for byte.
//!
//! The floor is the library's own requests without the library. So that the two cannot drift apart, the requests are
//! not written down a second time: they are recorded while the library sends them. Programs that link this crate use
//! its `send` instead of libc's; it makes the same system call.

use std::cell::RefCell;
use std::os::fd::RawFd;

/// Requests that went out in one `send`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The socket.
    pub socket: RawFd,
    /// What was sent.
    pub bytes: Vec<u8>,
}

thread_local! {
    static RECORD: RefCell<Option<Vec<Sent>>> = const { RefCell::new(None) };
}

/// Runs `work` and returns what the calling thread sent meanwhile.
pub fn during<T>(work: impl FnOnce() -> T) -> (T, Vec<Sent>) {
    RECORD.set(Some(Vec::new()));
    let result = work();
    (result, RECORD.take().unwrap_or_default())
}

/// `send(2)`, recorded while a recording runs.
///
/// # Safety
/// As libc's: `buffer` is valid for reads of `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn send(
    socket: libc::c_int,
    buffer: *const libc::c_void,
    length: libc::size_t,
    flags: libc::c_int,
) -> libc::ssize_t {
    // A thread that is ending has no record any more.
    let _ = RECORD.try_with(|record| {
        if let Ok(mut record) = record.try_borrow_mut()
            && let Some(record) = record.as_mut()
        {
            // SAFETY: the caller says that it may be read.
            let bytes = unsafe { std::slice::from_raw_parts(buffer.cast::<u8>(), length) };
            record.push(Sent { socket, bytes: bytes.to_vec() });
        }
    });
    // SAFETY: libc's `send` is this, with a null address; the caller vouches for the buffer.
    unsafe { libc::sendto(socket, buffer, length, flags, std::ptr::null(), 0) }
}
