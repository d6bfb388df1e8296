//! System calls that std does not have.

use std::ffi::CStr;
use std::io;
use std::ptr;
use std::time::Duration;

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// New network and mount namespaces for the calling thread.
pub(crate) fn unshare_network_and_mounts() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) })
}

/// Later mounts are visible in this mount namespace only.
pub(crate) fn make_mounts_private() -> io::Result<()> {
    mount(c"none", c"/", c"none", libc::MS_REC | libc::MS_PRIVATE)
}

/// An empty file system in memory on `folder`.
pub(crate) fn mount_empty(folder: &CStr) -> io::Result<()> {
    mount(c"benches", folder, c"tmpfs", libc::MS_NODEV | libc::MS_NOSUID)
}

fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the strings end with NUL and outlive the call; the data may be null.
    check(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, ptr::null()) })
}

/// Raises this process's limit of descriptors as far as it is allowed.
pub(crate) fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid to be written to.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is valid to be read.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_max)
}

/// Gives the calling thread, and what it starts from now on, priority over everything that is not the kernel's.
pub(crate) fn raise_priority() -> io::Result<()> {
    const FIRST_OF_ALL: libc::c_int = -20;
    // SAFETY: no pointers.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, FIRST_OF_ALL) })
}

/// Whose processor time is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhoseTime {
    /// The calling thread's.
    Thread,
    /// That of the child processes that have ended.
    Children,
}

/// The time that processors have spent, in the kernel and outside.
pub(crate) fn processor_time(whose: WhoseTime) -> io::Result<Duration> {
    let who = match whose {
        WhoseTime::Thread => libc::RUSAGE_THREAD,
        WhoseTime::Children => libc::RUSAGE_CHILDREN,
    };
    // SAFETY: numbers, which may all be zero.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid to be written to.
    check(unsafe { libc::getrusage(who, &raw mut usage) })?;
    let of = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    Ok(of(usage.ru_utime) + of(usage.ru_stime))
}

/// Keeps the calling thread on one CPU, if it may run there; on a machine without that CPU it is not restricted.
///
/// # Errors
/// The kernel's.
pub fn stay_on_cpu(cpu: usize) -> io::Result<()> {
    // SAFETY: a set of CPUs is bits, for which zero is none.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid to be written to, and has room for this size.
    check(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) })?;
    // SAFETY: libc checks the number against the set's size.
    if !unsafe { libc::CPU_ISSET(cpu, &set) } {
        return Ok(());
    }
    // SAFETY: as above.
    unsafe {
        libc::CPU_ZERO(&mut set);
        libc::CPU_SET(cpu, &mut set);
    }
    // SAFETY: `set` is valid to be read, of this size.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) })
}

/// The system calls that make a sandbox, as they are: for [`crate::floor`].
pub(crate) mod raw {
    use super::check;
    use std::ffi::CStr;
    use std::io;
    use std::mem::zeroed;
    use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
    use std::ptr;

    /// The calling thread's network namespace.
    pub(crate) const CURRENT: &CStr = c"/proc/thread-self/ns/net";

    /// Looks at a file.
    pub(crate) fn stat(path: &CStr) -> io::Result<()> {
        // SAFETY: all zeroes is a valid `stat`.
        let mut status: libc::stat = unsafe { zeroed() };
        // SAFETY: the path ends with NUL, and `status` is valid to be written to.
        check(unsafe { libc::stat(path.as_ptr(), &raw mut status) })
    }

    /// An empty file.
    pub(crate) fn mknod(path: &CStr) -> io::Result<()> {
        // SAFETY: the path ends with NUL.
        check(unsafe { libc::mknod(path.as_ptr(), libc::S_IFREG, 0) })
    }

    /// Moves the calling thread to a new network namespace.
    pub(crate) fn unshare() -> io::Result<()> {
        // SAFETY: no pointers.
        check(unsafe { libc::unshare(libc::CLONE_NEWNET) })
    }

    /// Moves the calling thread to a network namespace.
    pub(crate) fn setns(namespace: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: no pointers.
        check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) })
    }

    /// A route socket.
    pub(crate) fn route_socket() -> io::Result<OwnedFd> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: no pointers. A result that is not negative is a new descriptor that nobody else owns.
        unsafe {
            let fd = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE);
            check(fd)?;
            Ok(OwnedFd::from_raw_fd(fd))
        }
    }

    /// Mounts the current namespace on a file.
    pub(crate) fn bind_current(path: &CStr) -> io::Result<()> {
        // SAFETY: the strings end with NUL; the data may be null.
        check(unsafe {
            libc::mount(CURRENT.as_ptr(), path.as_ptr(), c"none".as_ptr(), libc::MS_BIND, ptr::null())
        })
    }

    /// Removes a mounted name.
    pub(crate) fn unbind(path: &CStr) -> io::Result<()> {
        // SAFETY: the path ends with NUL.
        check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) })?;
        // SAFETY: as above.
        check(unsafe { libc::unlink(path.as_ptr()) })
    }

    /// Sends.
    pub(crate) fn send(socket: RawFd, bytes: &[u8]) -> io::Result<()> {
        // SAFETY: pointer and length are those of `bytes`; the address may be null.
        let sent = unsafe { libc::sendto(socket, bytes.as_ptr().cast(), bytes.len(), 0, ptr::null(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Receives a datagram, without waiting.
    pub(crate) fn receive(socket: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: all zeroes is a valid `sockaddr_nl` and a valid `msghdr`.
        let (mut address, mut header): (libc::sockaddr_nl, libc::msghdr) = unsafe { (zeroed(), zeroed()) };
        let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        header.msg_name = ptr::from_mut(&mut address).cast();
        header.msg_namelen = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        header.msg_iov = &raw mut slice;
        header.msg_iovlen = 1;
        // SAFETY: `header` points at `address` and `slice`, `slice` at `buffer`; all outlive the call, with their lengths.
        let length = unsafe { libc::recvmsg(socket, &raw mut header, libc::MSG_DONTWAIT) };
        usize::try_from(length).map_err(|_| io::Error::last_os_error())
    }

    /// Receives two datagrams, without waiting; the length of a missing one is 0.
    pub(crate) fn receive_two(socket: RawFd, buffers: [&mut [u8]; 2]) -> io::Result<[usize; 2]> {
        // SAFETY: all zeroes is a valid `sockaddr_nl`, `iovec` and `mmsghdr`.
        let (mut addresses, mut slices, mut messages): (
            [libc::sockaddr_nl; 2],
            [libc::iovec; 2],
            [libc::mmsghdr; 2],
        ) = unsafe { (zeroed(), zeroed(), zeroed()) };
        for (((buffer, address), slice), message) in
            buffers.into_iter().zip(&mut addresses).zip(&mut slices).zip(&mut messages)
        {
            slice.iov_base = buffer.as_mut_ptr().cast();
            slice.iov_len = buffer.len();
            message.msg_hdr.msg_name = ptr::from_mut(address).cast();
            message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
            message.msg_hdr.msg_iov = ptr::from_mut(slice);
            message.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: each of the two `messages` points at its own `addresses` and `slices` entry, which points at its own
        // buffer, with their lengths. All outlive the call. The time limit may be null.
        check(unsafe {
            let messages = messages.as_mut_ptr();
            libc::recvmmsg(socket, messages, 2, libc::MSG_DONTWAIT as _, ptr::null_mut())
        })?;
        Ok(messages.map(|message| message.msg_len as usize))
    }
}
