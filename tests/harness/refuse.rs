//! A request to the kernel that is refused: `strace` does so.

use crate::{eventually, oracle};
use std::fs;
use std::panic::resume_unwind;
use std::sync::mpsc;
use std::thread;

/// Runs `f` in a thread of its own, in the namespaces of the calling one, whose system call number `when` of this name fails
/// with this error (`ENOBUFS`).
///
/// # Panics
/// If `f` does, or `strace` does not start.
pub fn refused<T: Send>(call: &str, when: u32, error: &str, f: impl FnOnce() -> T + Send) -> T {
    let (ready, is_ready) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let result = thread::scope(|scope| {
        let thread = scope.spawn(move || {
            ready.send(fs::read_link("/proc/thread-self").expect("/proc")).expect("somebody waits");
            may_go.recv().expect("it is traced");
            f()
        });
        let this = is_ready.recv().expect("a thread");
        let status = std::path::Path::new("/proc").join(&this).join("status");
        let mut strace = oracle("strace");
        strace.args(["-qqq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
        strace.args(["-e", &format!("inject={call}:error={error}:when={when}"), "-p"]);
        let mut strace = strace.arg(this.file_name().expect("its number")).spawn().expect("strace starts");
        eventually("strace is there", || {
            // It stops the thread, and lets it go on when all is set.
            let status = fs::read_to_string(&status).expect("a thread that lives");
            status.contains("State:\tS") && !status.contains("TracerPid:\t0\n")
        });
        go.send(()).expect("the thread waits");
        let result = thread.join();
        // It ends with what it looks at.
        strace.wait().expect("it was started");
        result
    });
    result.unwrap_or_else(|payload| resume_unwind(payload))
}
