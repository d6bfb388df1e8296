//! Every unsafe line of the tests.

use std::ffi::{CStr, CString};
use std::io::{self, Read, Write};
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_long(result: libc::c_long) -> io::Result<libc::c_int> {
    libc::c_int::try_from(result).map_err(|_| io::Error::other("out of range")).and_then(check)
}

/// New network and mount namespaces for the calling thread.
pub(crate) fn unshare_network_and_mounts() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) })?;
    Ok(())
}

/// Puts the calling thread into a new network namespace, and leaves it there.
///
/// # Errors
/// The kernel's.
pub fn unshare_network() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    Ok(())
}

/// Raises this process's limit of open descriptors to at least this many. Beyond the hard limit this takes
/// `CAP_SYS_RESOURCE`.
///
/// # Errors
/// The kernel's.
pub fn allow_descriptors(count: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes a limit.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.rlim_cur < count {
        limit = libc::rlimit { rlim_cur: count, rlim_max: limit.rlim_max.max(count) };
        // SAFETY: it reads one.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(())
}

/// Puts the calling process, which has no other thread, into a new user namespace.
///
/// # Errors
/// The kernel's.
pub fn unshare_user() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWUSER) })?;
    Ok(())
}

/// The original destination of a connection that was redirected to this host.
///
/// # Errors
/// The kernel's: `ENOENT` for one that is not tracked.
pub fn original_destination(stream: &TcpStream) -> io::Result<SocketAddr> {
    // IPv6 has the same number (`IP6T_SO_ORIGINAL_DST`).
    const SO_ORIGINAL_DST: libc::c_int = 80;
    // SAFETY: both structures are plain numbers, for which zeros are valid.
    let (mut v4, mut v6) = unsafe { (zeroed::<libc::sockaddr_in>(), zeroed::<libc::sockaddr_in6>()) };
    let is_ipv4 = stream.local_addr()?.is_ipv4();
    let (level, target, length) = if is_ipv4 {
        (libc::SOL_IP, (&raw mut v4).cast(), size_of::<libc::sockaddr_in>())
    } else {
        (libc::SOL_IPV6, (&raw mut v6).cast(), size_of::<libc::sockaddr_in6>())
    };
    let mut length = length as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes of the structure of the socket's family.
    check(unsafe { libc::getsockopt(stream.as_raw_fd(), level, SO_ORIGINAL_DST, target, &raw mut length) })?;
    Ok(if is_ipv4 {
        (Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr)), u16::from_be(v4.sin_port)).into()
    } else {
        (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port)).into()
    })
}

/// Later mounts are visible in this mount namespace only.
pub(crate) fn make_mounts_private() -> io::Result<()> {
    mount(c"none", c"/", c"none", libc::MS_REC | libc::MS_PRIVATE)
}

/// An empty file system of this kind on `folder`.
pub(crate) fn mount_empty(kind: &CStr, folder: &str) -> io::Result<()> {
    mount(c"tests", &CString::new(folder)?, kind, libc::MS_NODEV | libc::MS_NOSUID)
}

/// Removes a mount, and what is on it, from this mount namespace.
pub(crate) fn unmount(target: &Path) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_encoded_bytes())?;
    // SAFETY: the string ends with NUL and outlives the call.
    check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) })?;
    Ok(())
}

fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the strings end with NUL and outlive the call; the data may be null.
    check(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, ptr::null()) })?;
    Ok(())
}

/// Runs `check` in a fork of this process, which has one thread, and returns its result. Anything that the check
/// changes is changed in the fork only.
///
/// # Errors
/// What `check` returned, or the signal that ended the fork.
///
/// # Panics
/// If the kernel makes no process.
pub fn in_fork(check: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let (mut reader, mut writer) = io::pipe().expect("a pipe");
    // SAFETY: the child has a copy of everything, with no thread but this one. It calls nothing that waits for another
    // thread but the allocator, which the C library keeps usable in a fork, and ends without running anything of the
    // parent's.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", io::Error::last_os_error());
    if child == 0 {
        drop(reader);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
        let why = match outcome {
            Ok(Ok(())) => "",
            Ok(Err(why)) => &format!("E{why}"),
            Err(_) => "Epanicked",
        };
        let _ = writer.write_all(why.as_bytes());
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(0) };
    }
    drop(writer);
    let mut why = String::new();
    reader.read_to_string(&mut why).expect("a pipe");
    let mut status = 0;
    // SAFETY: the pointer is to `status`, which outlives the call.
    check_pid(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    match why.strip_prefix('E') {
        Some(why) => Err(why.to_owned()),
        None if status != 0 => Err(format!("it ended with status {status:#x}")),
        None => Ok(()),
    }
}

fn check_pid(waited: libc::pid_t, child: libc::pid_t) {
    assert_eq!(waited, child, "waitpid: {}", io::Error::last_os_error());
}

/// Takes all capabilities from the calling thread, and those that this project needs from what it executes.
///
/// # Errors
/// The kernel's.
pub fn drop_capabilities() -> io::Result<()> {
    // `struct __user_cap_header_struct` and twice `struct __user_cap_data_struct`.
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let none: [u32; 6] = [0; 6];
    // CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN.
    for capability in [12, 13, 21] {
        // SAFETY: no pointers.
        check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) })?;
    }
    // SAFETY: both structures are of the size that version 3 has, and outlive the call. The kernel only reads them.
    check_long(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) })?;
    Ok(())
}

/// Makes the calling process another user's for good: after that it is not dumpable any more. For a fork with one
/// thread: the kernel changes only the calling one.
///
/// # Errors
/// The kernel's.
pub fn become_user(id: u32) -> io::Result<()> {
    // SAFETY: no pointers.
    check_long(unsafe { libc::syscall(libc::SYS_setresuid, id, id, id) })?;
    Ok(())
}

/// Makes this thread one whose real and effective users differ, and whose files in `/proc` are still its own.
///
/// # Errors
/// The kernel's: `EPERM` without the capability for it.
pub fn become_effective_user(real: u32, effective: u32) -> io::Result<()> {
    // SAFETY: no pointers.
    check_long(unsafe { libc::syscall(libc::SYS_setresuid, real, effective, 0) })?;
    // A change of the effective user made the process one that is not dumpable, whose files are root's: proc_pid(5).
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) })?;
    Ok(())
}

/// The port id that the kernel gave a netlink socket.
///
/// # Errors
/// If it is no socket.
pub fn port_id(socket: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: all zeroes is a valid `sockaddr_nl`.
    let mut address: libc::sockaddr_nl = unsafe { zeroed() };
    let mut length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: the pointers are to `address` and to its length, and outlive the call.
    check(unsafe {
        libc::getsockname(socket.as_raw_fd(), ptr::from_mut(&mut address).cast(), &raw mut length)
    })?;
    Ok(address.nl_pid)
}

/// The space for what a socket has not read yet, in bytes; the kernel doubles it.
///
/// # Errors
/// If it is no socket.
pub fn set_receive_buffer(socket: BorrowedFd<'_>, bytes: i32) -> io::Result<()> {
    // SAFETY: pointer and length are those of `bytes`, which outlives the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            (&raw const bytes).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// A netlink socket that writes to other processes' netlink sockets, as only root can.
#[derive(Debug)]
pub struct Forger(OwnedFd);

impl Forger {
    /// A forger in the network namespace of the calling thread.
    ///
    /// # Errors
    /// If the kernel gives no socket.
    pub fn open() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: no pointers. A result that is not negative is a new descriptor that nobody else owns.
        unsafe {
            let fd = check(libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE))?;
            Ok(Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// Sends `datagram` to the socket with this port id.
    ///
    /// # Errors
    /// `ECONNREFUSED` if there is none.
    pub fn send(&self, port: u32, datagram: &[u8]) -> io::Result<()> {
        // SAFETY: all zeroes is a valid `sockaddr_nl`.
        let mut address: libc::sockaddr_nl = unsafe { zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_pid = port;
        // SAFETY: pointers and lengths are those of `datagram` and `address`, which outlive the call.
        let sent = unsafe {
            libc::sendto(
                self.0.as_raw_fd(),
                datagram.as_ptr().cast(),
                datagram.len(),
                0,
                ptr::from_ref(&address).cast(),
                size_of::<libc::sockaddr_nl>() as libc::socklen_t,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// A raw socket that sends and receives ICMP messages, in the network namespace of the calling thread. To std it is a
/// datagram socket, which is enough for sending and receiving; what it receives begins with the IP header.
///
/// # Errors
/// `EPERM` without `CAP_NET_RAW`.
pub fn raw_icmp() -> io::Result<UdpSocket> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers. A result that is not negative is a new descriptor that nobody else owns.
    unsafe {
        let fd = check(libc::socket(libc::AF_INET, kind, libc::IPPROTO_ICMP))?;
        Ok(OwnedFd::from_raw_fd(fd).into())
    }
}

/// Sends a signal, whose handler does nothing, to the thread that made this value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interrupter {
    process: libc::pid_t,
    thread: libc::pid_t,
}

impl Interrupter {
    const SIGNAL: libc::c_int = libc::SIGALRM;

    /// Sets the handler, for the whole process.
    pub(crate) fn of_this_thread() -> io::Result<Self> {
        extern "C" fn nothing(_signal: libc::c_int) {}
        // SAFETY: all zeroes is a valid `sigaction`: no flags, so without `SA_RESTART`, and an empty mask.
        let mut action: libc::sigaction = unsafe { zeroed() };
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        // SAFETY: `action` outlives the call, and the old one may be null. The handler does nothing, which is safe at
        // any moment, and stays for the rest of the process.
        check(unsafe { libc::sigaction(Self::SIGNAL, &raw const action, ptr::null_mut()) })?;
        // SAFETY: no arguments.
        let (process, thread) = unsafe { (libc::getpid(), libc::gettid()) };
        Ok(Self { process, thread })
    }

    /// Sends the signal.
    pub(crate) fn interrupt(self) -> io::Result<()> {
        // SAFETY: no pointers. The signal has a handler.
        check_long(unsafe { libc::syscall(libc::SYS_tgkill, self.process, self.thread, Self::SIGNAL) })?;
        Ok(())
    }
}

/// What a classifier decides: `TC_ACT_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// `TC_ACT_UNSPEC`: the next filter decides.
    Continue = -1,
    /// `TC_ACT_OK`: the packet goes on.
    Pass = 0,
    /// `TC_ACT_SHOT`: it is dropped.
    Drop = 2,
}

/// `struct bpf_insn`.
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// The first members of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct LoadProgram {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
}

/// Loads a classifier of two instructions, `return VERDICT`.
///
/// # Errors
/// The kernel's.
pub fn load_program(verdict: Verdict) -> io::Result<OwnedFd> {
    const PROG_LOAD: libc::c_int = 5;
    const SCHED_CLS: u32 = 3;
    let instruction = |code, immediate| Instruction { code, registers: 0, offset: 0, immediate };
    // `BPF_ALU64 | BPF_MOV | BPF_K` to register 0, and `BPF_JMP | BPF_EXIT`.
    let instructions = [instruction(0xB7, verdict as i32), instruction(0x95, 0)];
    let attributes = LoadProgram {
        kind: SCHED_CLS,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"MIT".as_ptr() as u64,
    };
    // SAFETY: the size is that of `attributes`; the pointers in it are to two instructions and a string that ends with
    // NUL; all of them outlive the call. A result that is not negative is a new descriptor that nobody else owns.
    unsafe {
        let size = size_of::<LoadProgram>();
        let fd = check_long(libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const attributes, size))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// The first members of `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
struct CreateLink {
    program: u32,
    index: u32,
    attach_type: u32,
    flags: u32,
    relative: u64,
    revision: u64,
}

/// Attaches a classifier by TCX (Linux 6.6), at the ingress hook of the link with this index in the thread's namespace,
/// before all others. It is detached when the descriptor is closed.
///
/// # Errors
/// The kernel's.
pub fn attach_tcx(program: BorrowedFd<'_>, index: u32) -> io::Result<OwnedFd> {
    const LINK_CREATE: libc::c_int = 28;
    const TCX_INGRESS: u32 = 46;
    const BEFORE: u32 = 1 << 3;
    let attributes = CreateLink {
        program: program.as_raw_fd().cast_unsigned(),
        index,
        attach_type: TCX_INGRESS,
        flags: BEFORE,
        relative: 0,
        revision: 0,
    };
    // SAFETY: the size is that of `attributes`, which has no pointers and outlives the call. A result that is not negative is
    // a new descriptor that nobody else owns.
    unsafe {
        let size = size_of::<CreateLink>();
        let fd = check_long(libc::syscall(libc::SYS_bpf, LINK_CREATE, &raw const attributes, size))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// The first members of `union bpf_attr` for `BPF_OBJ_PIN`.
#[repr(C)]
struct PinObject {
    path: u64,
    fd: u32,
    flags: u32,
}

/// Gives a program a name in a bpf file system.
pub(crate) fn pin_program(program: BorrowedFd<'_>, path: &str) -> io::Result<()> {
    const OBJ_PIN: libc::c_int = 6;
    let path = CString::new(path)?;
    let attributes =
        PinObject { path: path.as_ptr() as u64, fd: program.as_raw_fd().cast_unsigned(), flags: 0 };
    // SAFETY: the size is that of `attributes`; the pointer in it is to a string that ends with NUL; both outlive the
    // call.
    check_long(unsafe {
        libc::syscall(libc::SYS_bpf, OBJ_PIN, &raw const attributes, size_of::<PinObject>())
    })?;
    Ok(())
}
