//! Running code without privilege.

use crate::sys;
use std::panic::resume_unwind;
use std::thread;

/// Runs `f` in a thread of its own that has no capabilities, and whose children cannot regain any. The thread is in the
/// namespaces of the calling thread.
///
/// # Panics
/// If `f` does, or the kernel refuses to drop the capabilities.
pub fn without_capabilities<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    let name = thread::current().name().unwrap_or("test").to_owned();
    let result = thread::scope(|scope| {
        let body = move || {
            sys::drop_capabilities().expect("drop capabilities");
            f()
        };
        thread::Builder::new().name(name).spawn_scoped(scope, body).expect("a thread").join()
    });
    result.unwrap_or_else(|payload| resume_unwind(payload))
}
