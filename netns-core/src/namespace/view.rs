//! What a command sees of the system in a named namespace: its own `/sys`, and the files of `/etc/netns/NAME`.

use super::{Namespace, c_string};
use crate::error::{Operation, SystemCall};
use crate::sys;
use crate::{Error, Result};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

/// `NETNS_ETC_DIR`.
const ETC: &str = "/etc/netns";

impl Namespace {
    /// Runs `f` inside the namespace with the system looking as it does to `ip netns exec NAME`: `/sys` shows the
    /// devices of the namespace, and each file in `/etc/netns/NAME` stands in the place of the one in `/etc`. Commands
    /// that `f` starts, or becomes, see the same.
    ///
    /// That is done by mounts that nobody else sees, in a thread that ends with `f`; so the calling thread stays
    /// where and as it is. The steps are those of `netns_switch` in
    /// <https://github.com/iproute2/iproute2/blob/v6.1.0/lib/namespace.c>. What of `/etc/netns/NAME` could not be put
    /// in its place, commonly because `/etc` has no file of that name, is reported to `f`; `ip` warns and goes on.
    ///
    /// # Errors
    /// If the namespace cannot be entered or the mounts cannot be made; `f` was not called then.
    ///
    /// ```no_run
    /// use netns_core::Namespace;
    /// use std::process::Command;
    ///
    /// let listed = Namespace::open("ns1")?.enter_view("ns1", |_| Command::new("ls").arg("/sys/class/net").output())?;
    /// # Ok::<(), netns_core::Error>(())
    /// ```
    pub fn enter_view<R: Send>(&self, name: &str, f: impl FnOnce(&[Error]) -> R + Send) -> Result<R> {
        let files = Path::new(ETC).join(Self::path(name)?.file_name().unwrap_or_default());
        self.with_own_mounts(name, || {
            mount_sys().map_err(failed("/sys"))?;
            let missing = bind_files(&files).map_err(failed(&files.to_string_lossy()))?;
            Ok(f(&missing))
        })
    }

    /// Runs `f` in a thread that ends with it, inside the namespace, with mounts that nobody else sees: what it mounts, it and the
    /// processes that it starts see alone.
    pub(super) fn with_own_mounts<R: Send>(
        &self,
        name: &str,
        f: impl FnOnce() -> Result<R> + Send,
    ) -> Result<R> {
        let body = || {
            sys::namespace::setns(self.fd.as_fd(), libc::CLONE_NEWNET).map_err(Error::system(
                Operation::EnterNamespace,
                name,
                SystemCall::Setns,
            ))?;
            sys::namespace::unshare(libc::CLONE_NEWNS).map_err(failed(name))?;
            // Nothing of this is to reach anybody else's view.
            sys::namespace::mount(c"", c"/", Some(c"none"), libc::MS_SLAVE | libc::MS_REC)
                .map_err(failed("/"))?;
            f()
        };
        thread::scope(|scope| {
            let thread = thread::Builder::new().spawn_scoped(scope, body).map_err(Error::system(
                Operation::EnterNamespace,
                name,
                SystemCall::Clone,
            ))?;
            thread.join().unwrap_or_else(|payload| resume_unwind(payload))
        })
    }
}

/// The refusal of a mount that a view takes.
pub(super) fn failed(object: &str) -> impl FnOnce(io::Error) -> Error {
    Error::system(Operation::PrepareView, object.to_owned(), SystemCall::Mount)
}

/// Mounts a `/sys` that shows the namespace of the calling thread, over the present one.
///
/// `ip` takes the present one away first. In a user namespace the kernel lets nobody see more of a sysfs than before
/// (`mount_too_revealing` in <https://github.com/torvalds/linux/blob/v6.12/fs/namespace.c>): where none is left it
/// mounts none, and where the present one is read-only only another read-only one.
fn mount_sys() -> io::Result<()> {
    let mount = |flags| sys::namespace::mount(c"netns", c"/sys", Some(c"sysfs"), flags);
    match mount(0) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => mount(libc::MS_RDONLY),
        other => other,
    }
}

/// Binds each file of the folder over the one of the same name in `/etc`; those that could not be.
fn bind_files(folder: &Path) -> io::Result<Vec<Error>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut missing = Vec::new();
    for entry in entries {
        let source = entry?.path();
        let target = Path::new("/etc").join(source.file_name().unwrap_or_default());
        let [from, to] = [&source, &target].map(|path| c_string(path.as_os_str().as_encoded_bytes()));
        if let Err(error) = sys::namespace::mount(&from?, &to?, Some(c"none"), libc::MS_BIND) {
            let object = format!("{} on {}", source.display(), target.display());
            missing.push(Error::system(Operation::BindFile, object, SystemCall::Mount)(error));
        }
    }
    Ok(missing)
}
