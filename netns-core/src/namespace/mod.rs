//! Network namespaces: making, naming, finding, entering them.
#![forbid(unsafe_code)]

mod enter;
mod named;
mod pids;
mod resolving;
mod thread;
mod user;
mod view;
mod watch;

pub use named::Folder;
pub(crate) use named::{Reserved, UnfinishedName};
#[cfg(test)]
pub(crate) use thread::notice_fork;
pub(crate) use thread::{is_main_thread, this_process, this_thread};
pub use user::become_root_of_user_namespace;
pub use watch::{NameEvent, Watch};

use crate::error::{Cause, Operation, SystemCall};
use crate::sys;
use crate::{Error, Result};
pub(crate) use enter::Return;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};

/// A network namespace, kept alive by the fd in it.
///
/// *Anonymous* ones ([`Namespace::anonymous`]) go when the last fd, process and socket in them has gone, even if that
/// is by `SIGKILL`. *Named* ones ([`Namespace::create`]) are also held by a mount in the folder that `ip netns` uses,
/// until [`Namespace::delete`].
///
/// ```
/// use netns_core::Namespace;
/// use std::process::Command;
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let namespace = Namespace::anonymous()?;
/// assert_ne!(namespace.id()?, Namespace::current()?.id()?);
///
/// let status = namespace.run(Command::new("sh").args(["-c", "test $(ls /proc/net/dev | wc -l) = 1"]))?;
/// assert!(status.success());
/// # Ok::<(), netns_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Namespace {
    fd: OwnedFd,
}

/// Distinguishes namespaces: two fds with the same id are of one namespace, as long as both are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceId {
    /// The device of nsfs.
    pub device: u64,
    /// The inode, the number in `net:[4026531840]`.
    pub inode: u64,
}

impl NamespaceId {
    /// Of the namespace that the calling thread is in: one system call, and nothing is opened.
    pub(crate) fn current() -> Result<Self> {
        let metadata = std::fs::metadata(CURRENT).map_err(Error::system(
            Operation::IdentifyNamespace,
            "",
            SystemCall::Stat,
        ))?;
        Ok(Self::of(&metadata))
    }

    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// The calling thread's own. `/proc/self` would be the main thread's.
const CURRENT: &str = "/proc/thread-self/ns/net";
const CURRENT_C: &std::ffi::CStr = c"/proc/thread-self/ns/net";

impl Namespace {
    /// Makes a namespace without a name. The calling thread stays where it is.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN`, over the thread's own namespace too; `ENOSPC` if `user.max_net_namespaces` is
    /// reached.
    #[doc(alias = "unshare")]
    pub fn anonymous() -> Result<Self> {
        let _back = Return::to_current(Operation::CreateNamespace)?;
        sys::namespace::unshare(libc::CLONE_NEWNET).map_err(Error::system(
            Operation::CreateNamespace,
            "",
            SystemCall::Unshare,
        ))?;
        Self::current()
    }

    /// The namespace that the calling thread is in.
    ///
    /// # Errors
    /// If `/proc` is not there.
    pub fn current() -> Result<Self> {
        Self::of_path(CURRENT)
    }

    /// The namespace of a process.
    ///
    /// # Errors
    /// `ENOENT` if there is no such process, `EACCES` if it is not ours to look at.
    pub fn of_pid(pid: u32) -> Result<Self> {
        Self::of_path(format!("/proc/{pid}/ns/net"))
    }

    /// The namespace that a file stands for: a bind mount, or `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// If it cannot be opened, or is no network namespace.
    pub fn of_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| {
            let object = path.display().to_string();
            Error::new(Operation::OpenNamespace, object, Cause::System { call: SystemCall::Open, error })
        })?;
        Self::check(file.into(), Operation::OpenNamespace, || path.display().to_string())
    }

    /// Takes an fd if the kernel says that it is one of a network namespace.
    fn check(fd: OwnedFd, operation: Operation, object: impl FnOnce() -> String) -> Result<Self> {
        match sys::namespace::kind(fd.as_fd()) {
            Ok(libc::CLONE_NEWNET) => Ok(Self { fd }),
            // How files answer that have nothing to do with namespaces.
            Err(error)
                if !matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL | libc::EBADF)) =>
            {
                Err(Error::system(operation, object(), SystemCall::Other("ioctl(NS_GET_NSTYPE)"))(error))
            }
            _ => Err(Error::invalid(operation, object(), "this is not a network namespace")),
        }
    }

    /// As `/proc` shows it: it has no other name that is known here.
    pub(crate) fn label(&self) -> String {
        self.id().map_or_else(|_| String::new(), |id| format!("net:[{}]", id.inode))
    }

    /// An fd that the kernel gave as one of a network namespace.
    pub(crate) const fn from_kernel(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// The one that a socket is in; `what` is the socket, for errors.
    pub(crate) fn of_socket(socket: BorrowedFd<'_>, what: &'static str) -> Result<Self> {
        let fd = sys::socket::namespace_of(socket);
        let failed = Error::system(Operation::FindSocketNamespace, what, SystemCall::IoctlNamespace);
        fd.map(Self::from_kernel).map_err(failed)
    }

    /// What distinguishes this namespace from others.
    ///
    /// # Errors
    /// If the fd cannot be looked at.
    pub fn id(&self) -> Result<NamespaceId> {
        let metadata = match self.fd.try_clone() {
            Ok(copy) => File::from(copy).metadata(),
            // With no descriptor left, by the name that this one has.
            Err(_) => std::fs::metadata(format!("/proc/thread-self/fd/{}", self.fd.as_raw_fd())),
        };
        let metadata =
            metadata.map_err(Error::system(Operation::IdentifyNamespace, "", SystemCall::Fstat))?;
        Ok(NamespaceId::of(&metadata))
    }

    /// Whether the calling thread is in it.
    fn is_current(&self) -> Result<bool> {
        Ok(self.id()? == NamespaceId::current()?)
    }

    /// Another handle on the same namespace.
    ///
    /// # Errors
    /// If there are no fds left.
    pub fn try_clone(&self) -> Result<Self> {
        let fd = self.fd.try_clone().map_err(Error::system(
            Operation::DuplicateNamespace,
            "",
            SystemCall::Fcntl,
        ))?;
        Ok(Self { fd })
    }

    /// Runs `f` with the calling thread inside the namespace, and brings the thread back, whether `f` returns or
    /// panics. Sockets opened and processes started inside stay there.
    ///
    /// It takes a closure and gives no guard away, since a guard can be forgotten, or dropped in the wrong order, and
    /// the thread would go on in the wrong namespace. If the kernel does not let the thread back, the process aborts:
    /// whatever it did next would happen to the wrong network.
    ///
    /// Only the network namespace changes: `/sys` still shows the devices of the one that it was mounted in; see
    /// [`Namespace::enter_view`].
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN`, over this namespace and over the thread's own: a thread that may not return is
    /// not let in. `f` was not called then. To enter the namespace that the thread is in already takes no right.
    ///
    /// ```
    /// use netns_core::Namespace;
    /// use std::net::UdpSocket;
    ///
    /// # if !netns_core::is_privileged() { return Ok(()); }
    /// let namespace = Namespace::anonymous()?;
    /// // Every port is free inside, and the socket may be used from anywhere.
    /// let socket = namespace.enter(|| UdpSocket::bind("0.0.0.0:53"))?;
    /// assert!(socket.is_ok());
    /// # Ok::<(), netns_core::Error>(())
    /// ```
    #[doc(alias = "setns")]
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> Result<R> {
        let _back = match Return::to_current(Operation::EnterNamespace) {
            // The kernel asks for the right even where nothing changes.
            Err(error) if error.errno() == Some(libc::EPERM) && self.is_current()? => return Ok(f()),
            other => other?,
        };
        sys::namespace::setns(self.fd.as_fd(), libc::CLONE_NEWNET).map_err(|error| {
            Error::system(Operation::EnterNamespace, self.label(), SystemCall::Setns)(error)
        })?;
        Ok(f())
    }

    /// Starts a command inside the namespace.
    ///
    /// # Errors
    /// As [`Namespace::enter`]; if the command cannot be started.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        // The child inherits the namespace of the thread that makes it.
        self.enter(|| command.spawn())?.map_err(|error| {
            let program = command.get_program().to_string_lossy().into_owned();
            Error::new(Operation::RunCommand, program, Cause::System { call: SystemCall::Exec, error })
        })
    }

    /// Runs a command inside the namespace until it ends: `ip netns exec`.
    ///
    /// # Errors
    /// As [`Namespace::spawn`].
    pub fn run(&self, command: &mut Command) -> Result<ExitStatus> {
        self.spawn(command)?.wait().map_err(|error| {
            let program = command.get_program().to_string_lossy().into_owned();
            Error::new(Operation::WaitForCommand, program, Cause::System { call: SystemCall::Wait, error })
        })
    }
}

impl TryFrom<OwnedFd> for Namespace {
    type Error = Error;

    /// Takes an fd that somebody else opened, after asking the kernel whether it is a network namespace
    /// (`NS_GET_NSTYPE`, Linux 4.11).
    fn try_from(fd: OwnedFd) -> Result<Self> {
        Self::check(fd, Operation::UseAsNamespace, || "an fd".to_owned())
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// For what wants a number, such as tokio's `AsyncFd`; the descriptor stays this one's.
impl AsRawFd for Namespace {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl From<Namespace> for OwnedFd {
    fn from(namespace: Namespace) -> Self {
        namespace.fd
    }
}

/// A path or name for C.
fn c_string(text: impl Into<Vec<u8>>) -> io::Result<std::ffi::CString> {
    std::ffi::CString::new(text).map_err(|_| io::ErrorKind::InvalidInput.into())
}
