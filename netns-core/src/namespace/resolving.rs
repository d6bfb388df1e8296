//! Commands that resolve names by servers of their own.

use super::view::failed;
use super::{Namespace, c_string};
use crate::error::{Cause, Operation, SystemCall};
use crate::sys;
use crate::{Error, Result};
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::process::{Child, Command};

const RESOLV_CONF: &str = "/etc/resolv.conf";

impl Namespace {
    /// As [`Namespace::spawn`], with a `/etc/resolv.conf` that says `text`, which the command and what it starts see, and nobody
    /// else. A named namespace has the same by a file in `/etc/netns/NAME` ([`Namespace::enter_view`]); this takes no name, and
    /// leaves no file behind: the text is in memory that goes with the last of those processes.
    ///
    /// It is made by mounts, in a thread that ends once the command is started. So
    ///
    /// - the calling thread stays where and as it is, and the command is left as it was: [`Namespace::spawn`] starts it without;
    /// - the command is in a mount namespace of its own: what it mounts the machine does not see, and what the machine mounts later
    ///   it sees as far as that is shared;
    /// - a signal that it has asked for at its parent's death (`PR_SET_PDEATHSIG` in a `pre_exec`) comes at once, since the kernel
    ///   takes the thread for the parent (`forget_original_parent` in
    ///   <https://github.com/torvalds/linux/blob/v6.12/kernel/exit.c>).
    ///
    /// Resolvers that ask a daemon of the host by a socket, as `nscd` and `nss-resolve` do, do not read the file. Where `/etc/resolv.conf`
    /// is a symbolic link, it is the file that it leads to whose place is taken.
    ///
    /// # Errors
    /// `ENOENT` if there is no `/etc/resolv.conf` whose place could be taken; if the namespace cannot be entered, the mounts
    /// cannot be made, or the command cannot be started. Nothing was started then.
    ///
    /// ```
    /// use netns_core::Namespace;
    /// use std::process::{Command, Stdio};
    ///
    /// # if !netns_core::is_privileged() || !std::path::Path::new("/etc/resolv.conf").exists() { return Ok(()); }
    /// let namespace = Namespace::anonymous()?;
    /// let mut command = Command::new("cat");
    /// let child = namespace.spawn_with_resolv_conf(
    ///     command.arg("/etc/resolv.conf").stdout(Stdio::piped()),
    ///     "nameserver 192.0.2.53\noptions timeout:1\n",
    /// )?;
    /// let output = child.wait_with_output().expect("it ends");
    /// assert!(output.stdout.starts_with(b"nameserver 192.0.2.53\n"));
    /// # Ok::<(), netns_core::Error>(())
    /// ```
    pub fn spawn_with_resolv_conf(&self, command: &mut Command, text: &str) -> Result<Child> {
        self.with_own_mounts(&self.label(), || {
            cover(text).map_err(failed(RESOLV_CONF))?;
            command.spawn().map_err(|error| {
                let program = command.get_program().to_string_lossy().into_owned();
                Error::new(Operation::RunCommand, program, Cause::System { call: SystemCall::Exec, error })
            })
        })
    }
}

/// Puts a file with this text in the place of the machine's, in the mount namespace of the calling thread, which is nobody else's.
fn cover(text: &str) -> io::Result<()> {
    // A descriptor, since its path is covered for a moment, and opened here, since the kernel mounts on nothing of another
    // mount namespace (`check_mnt` in <https://github.com/torvalds/linux/blob/v6.12/fs/namespace.c>).
    let place = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(RESOLV_CONF)?;
    // A file is bound from a mount only. This one needs a folder to be on, and `/etc` is there.
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    sys::namespace::mount(c"netns", c"/etc", Some(c"tmpfs"), flags)?;
    fs::write(RESOLV_CONF, text)?;
    fs::set_permissions(RESOLV_CONF, Permissions::from_mode(0o644))?;
    let (from, to) =
        (c_string(RESOLV_CONF)?, c_string(format!("/proc/thread-self/fd/{}", place.as_raw_fd()))?);
    sys::namespace::mount(&from, &to, None, libc::MS_BIND)?;
    // The file stays, where it is bound.
    sys::namespace::unmount(c"/etc", libc::MNT_DETACH)
}
