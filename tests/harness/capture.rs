//! What a tool sends to the kernel, byte for byte, as `strace` records it.

use crate::oracle;
use std::os::unix::process::CommandExt;
use std::{fs, io};

/// Runs a command (a tool and its arguments, split at white space) that has to succeed, and returns the datagrams that
/// it sent, in order.
///
/// # Panics
/// If it fails, or `strace` does.
#[must_use]
pub fn datagrams(command: &str) -> Vec<Vec<u8>> {
    // Every host has a /run of its own.
    let trace = "/run/strace";
    let mut words = command.split_whitespace();
    let tool = oracle(words.next().expect("a tool"));
    let mut strace = oracle("strace");
    strace.args(["-o", trace, "-e", "trace=sendmsg,sendto", "-e", "signal=none", "-e", "write=all"]);
    // Some requests contain a descriptor's number, so it inherits none from the process that started the tests.
    // SAFETY: close_range(2) may be called in a child before exec, and closes nothing before that.
    unsafe { strace.pre_exec(leave_no_descriptors) };
    let output = strace.arg(tool.get_program()).args(words).output().expect("strace starts");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    parse(&fs::read_to_string(trace).expect("a trace"))
}

/// Closes all descriptors but stdin, stdout and stderr at the next exec.
fn leave_no_descriptors() -> io::Result<()> {
    const CLOEXEC: libc::c_uint = libc::CLOSE_RANGE_CLOEXEC;
    // More than the process that started the tests has open.
    const MOST: libc::c_int = 4096;
    // SAFETY: no pointers; nothing is closed before an exec.
    if unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOEXEC) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    // Before Linux 5.9 there is no such call, before 5.11 it has no such flag.
    if !matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) {
        return Err(error);
    }
    for fd in 3..MOST {
        // SAFETY: no pointers; nothing is closed before an exec. A descriptor that does not exist is no error here.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// A line for the call, one for each buffer of `sendmsg`, and the bytes in lines such as
/// ` | 00010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  ................ |`.
fn parse(trace: &str) -> Vec<Vec<u8>> {
    const HEX: std::ops::Range<usize> = 10..58;
    let mut datagrams: Vec<Vec<u8>> = Vec::new();
    for line in trace.lines() {
        if line.starts_with(" | ") {
            let bytes = line[HEX].split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("hex"));
            datagrams.last_mut().expect("a call before its bytes").extend(bytes);
        } else if line.starts_with("send") {
            datagrams.push(Vec::new());
        }
    }
    datagrams
}
