//! User namespaces, as far as working without root needs them.

use crate::error::{Cause, Operation, SystemCall};
use crate::sys;
use crate::{Error, Result};
use std::fs;
use std::io::{self, Write};

/// Moves the calling process into a new user namespace, of which it is root, and into a new network namespace that
/// belongs to it: a host of its own, in which it may do everything that this crate does, and nothing outside. There is
/// no way back.
///
/// The process must have no other thread yet; it keeps its files and its rights to them, and its user is called `root`
/// inside. Named namespaces cannot be made there: their folder is not ours to mount on.
///
/// # Errors
/// `EINVAL` if there are other threads; `EPERM`, `ENOSPC` or `EUSERS` if the machine does not allow user namespaces to
/// this user (`user.max_user_namespaces`, and on some distributions a setting or a security module); `EACCES` if the
/// process may not write to its own files in `/proc`, as one that has changed its user, or executed a file that its user
/// may not read (`PR_SET_DUMPABLE`). Then the process is where it was.
///
/// ```no_run
/// use netns_core::{Namespace, become_root_of_user_namespace, is_privileged};
///
/// if !is_privileged() {
///     become_root_of_user_namespace()?;
/// }
/// let namespace = Namespace::anonymous()?;
/// # Ok::<(), netns_core::Error>(())
/// ```
pub fn become_root_of_user_namespace() -> Result<()> {
    let failed = |call| Error::system(Operation::CreateUserNamespace, "", call);
    let (user, group) = sys::namespace::effective_ids();
    // Opening it asks for what will be asked for then; afterwards there is no way back. The file is the process's user's, or
    // root's if the process is not dumpable (proc_pid(5)).
    let map = "/proc/self/uid_map";
    fs::OpenOptions::new().write(true).open(map).map_err(|error| {
        Error::new(Operation::MapUsers, map, Cause::System { call: SystemCall::Open, error })
    })?;
    sys::namespace::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET).map_err(failed(SystemCall::Unshare))?;
    // Without this a process without privilege may not map groups (user_namespaces(7)).
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {user} 1"))?;
    write("/proc/self/gid_map", &format!("0 {group} 1"))
}

/// The kernel wants the whole map in one `write`.
fn write(path: &'static str, map: &str) -> Result<()> {
    let written =
        fs::OpenOptions::new().write(true).open(path).and_then(|mut file| file.write(map.as_bytes()));
    match written {
        Ok(length) if length == map.len() => Ok(()),
        Ok(_) => Err(Error::new(
            Operation::MapUsers,
            path,
            Cause::System { call: SystemCall::Write, error: io::ErrorKind::WriteZero.into() },
        )),
        Err(error) => {
            Err(Error::new(Operation::MapUsers, path, Cause::System { call: SystemCall::Write, error }))
        }
    }
}
