//! Named namespaces: bind mounts in the folder that `ip netns` uses, made and removed the way it does, so that what
//! either makes the other sees. The steps are those of `netns_add` in
//! <https://github.com/iproute2/iproute2/blob/v6.1.0/ip/ipnetns.c>.

use super::{Namespace, NamespaceId, c_string};
use crate::error::{Cause, Operation, SystemCall};
use crate::sys;
use crate::{Error, Result};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// `NETNS_RUN_DIR`.
pub(super) const FOLDER: &str = "/var/run/netns";

impl Namespace {
    /// Makes a named namespace: `ip netns add NAME`. The calling thread stays where it is.
    ///
    /// The folder is made, and made a shared mount, if it is not yet; many callers may do so at once.
    ///
    /// # Errors
    /// `EEXIST` if the name is taken; `EPERM` without `CAP_SYS_ADMIN`; if the name is not one of a file. Nothing is
    /// left then.
    ///
    /// ```no_run
    /// use netns_core::Namespace;
    ///
    /// let made = Namespace::create("ns1")?;
    /// assert_eq!(Namespace::list()?, ["ns1"]);
    /// assert_eq!(Namespace::open("ns1")?.id()?, made.id()?);
    /// Namespace::delete("ns1")?;
    /// # Ok::<(), netns_core::Error>(())
    /// ```
    #[doc(alias = "mount")]
    pub fn create(name: &str) -> Result<Self> {
        // Asked first, so that a name that is taken costs no namespace; `bind_as` makes sure.
        let path = path_of(Operation::CreateNamespace, name)?;
        if path.exists() {
            let taken = io::Error::from_raw_os_error(libc::EEXIST);
            return Err(Error::system(Operation::CreateNamespace, name, SystemCall::Open)(taken));
        }
        let namespace = Self::anonymous()?;
        namespace.bind_as(Operation::CreateNamespace, name)?;
        Ok(namespace)
    }

    /// Gives the namespace a name, or one more: `ip netns attach NAME PID`.
    ///
    /// # Errors
    /// As [`Namespace::create`].
    ///
    /// ```no_run
    /// use netns_core::Namespace;
    ///
    /// // Its identity is known before it can be seen.
    /// let namespace = Namespace::anonymous()?;
    /// println!("{:?} will be ns1", namespace.id()?);
    /// namespace.bind("ns1")?;
    /// # Ok::<(), netns_core::Error>(())
    /// ```
    pub fn bind(&self, name: &str) -> Result<()> {
        self.bind_as(Operation::NameNamespace, name)
    }

    fn bind_as(&self, operation: Operation, name: &str) -> Result<()> {
        let path = path_of(operation, name)?;
        let failed = |call| Error::system(operation, name, call);
        prepare_folder()?;
        // O_EXCL is what makes two callers with one name safe.
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_CREAT | libc::O_EXCL)
            .mode(0o000)
            .open(&path)
            .map_err(failed(SystemCall::Open))?;
        let bound = c_string(format!("/proc/thread-self/fd/{}", self.as_fd().as_raw_fd()))
            .and_then(|source| sys::namespace::mount(&source, &c_path(&path)?, Some(c"none"), libc::MS_BIND));
        if bound.is_err() {
            // What can fail is only the removal of a file that nobody needs.
            let _ = fs::remove_file(&path);
        }
        bound.map_err(failed(SystemCall::Mount))
    }

    /// Opens a named namespace, no matter who made it. A name may be a symbolic link, as some engines make them
    /// (`ln -s /proc/PID/ns/net /run/netns/NAME`).
    ///
    /// What is in the folder may be anything: a FIFO or a device is not opened, since that could wait for ever, or do
    /// something.
    ///
    /// # Errors
    /// `ENOENT` if there is none; if it is no namespace.
    pub fn open(name: &str) -> Result<Self> {
        let path = path_of(Operation::OpenNamespace, name)?;
        let failed = |call| Error::system(Operation::OpenNamespace, path.display().to_string(), call);
        // Opened for its place only, which opens neither a FIFO nor a device: see O_PATH in open(2).
        let place = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(&path);
        let place = place.map_err(failed(SystemCall::Open))?;
        if !place.metadata().map_err(failed(SystemCall::Fstat))?.is_file() {
            let object = path.display().to_string();
            return Err(Error::invalid(Operation::OpenNamespace, object, "this is not a network namespace"));
        }
        Self::of_place(&place, &path)
    }

    /// Opens the file that was opened with `O_PATH`.
    fn of_place(place: &File, path: &Path) -> Result<Self> {
        let opened = File::open(descriptor(place));
        let opened = opened.map_err(Error::system(
            Operation::OpenNamespace,
            path.display().to_string(),
            SystemCall::Open,
        ))?;
        Self::check(opened.into(), Operation::OpenNamespace, || path.display().to_string())
    }

    /// The names of all named namespaces, sorted: `ip netns list`.
    ///
    /// # Errors
    /// If the folder cannot be read. That there is none is no error.
    pub fn list() -> Result<Vec<String>> {
        let failed = |error| {
            Error::new(Operation::ListNamespaces, FOLDER, Cause::System { call: SystemCall::Readdir, error })
        };
        let entries = match fs::read_dir(FOLDER) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Removes a name: `ip netns delete NAME`. The namespace itself goes when nothing is in it any more, some
    /// milliseconds later. Of a name that is a symbolic link only the link goes; what it points to stays.
    ///
    /// It removes the name whatever that stands for by now. [`Namespace::unbind`] removes it only if it still is the
    /// name of a certain namespace.
    ///
    /// # Errors
    /// `ENOENT` if there is none.
    #[doc(alias = "umount")]
    pub fn delete(name: &str) -> Result<()> {
        let path = path_of(Operation::DeleteNamespace, name)?;
        let failed = |call| Error::system(Operation::DeleteNamespace, name, call);
        // Detached, so that a process that looks at the file does not make it fail. A file that is not mounted on was
        // left by somebody who was killed while making it: EINVAL, and it is removed all the same. A symbolic link is
        // not followed: what it points to may be another engine's own mount.
        let flags = libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW;
        let unmounted = c_path(&path).and_then(|path| sys::namespace::unmount(&path, flags));
        match unmounted {
            Err(error) if !matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => {
                return Err(failed(SystemCall::Umount)(error));
            }
            _ => {}
        }
        fs::remove_file(&path).map_err(failed(SystemCall::Unlink))
    }

    /// Takes a name away from this namespace, if it has it: the reverse of [`Namespace::bind`]. Whether it had it; a
    /// name that is another namespace's, or nobody's, is left alone.
    ///
    /// What was looked at is what is unmounted, even if somebody else changes the name meanwhile: it is held open in
    /// between.
    ///
    /// # Errors
    /// If the kernel refuses.
    ///
    /// ```no_run
    /// use netns_core::Namespace;
    ///
    /// let made = Namespace::create("ns1")?;
    /// // ... somebody else deletes it and makes another of that name ...
    /// if !made.unbind("ns1")? {
    ///     println!("ns1 is another namespace by now");
    /// }
    /// # Ok::<(), netns_core::Error>(())
    /// ```
    pub fn unbind(&self, name: &str) -> Result<bool> {
        let path = path_of(Operation::DeleteNamespace, name)?;
        let failed = |call| Error::system(Operation::DeleteNamespace, name, call);
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let unmounted = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            // With no descriptor left there is still the path, which somebody could change between the two steps. What
            // ran out of descriptors is to be taken down too.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                let found = match fs::symlink_metadata(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                    other => other.map_err(failed(SystemCall::Stat))?,
                };
                if NamespaceId::of(&found) != self.id()? {
                    return Ok(false);
                }
                c_path(&path)
                    .and_then(|path| sys::namespace::unmount(&path, libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW))
            }
            Err(error) => return Err(failed(SystemCall::Open)(error)),
            Ok(place) => {
                // Both are open: the same id is the same namespace.
                if NamespaceId::of(&place.metadata().map_err(failed(SystemCall::Fstat))?) != self.id()? {
                    return Ok(false);
                }
                // By the descriptor, so that it is this mount whatever the path says by now.
                c_path(&descriptor(&place))
                    .and_then(|mount| sys::namespace::unmount(&mount, libc::MNT_DETACH))
            }
        };
        match unmounted {
            // Somebody was quicker.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(false),
            other => other.map_err(failed(SystemCall::Umount))?,
        }
        // The file below the mount. One on which somebody mounted meanwhile is EBUSY (`vfs_unlink` in
        // <https://github.com/torvalds/linux/blob/v6.12/fs/namei.c>), and theirs.
        match fs::remove_file(&path) {
            Err(error) if !matches!(error.raw_os_error(), Some(libc::EBUSY | libc::ENOENT)) => {
                Err(failed(SystemCall::Unlink)(error))
            }
            _ => Ok(true),
        }
    }

    /// Removes a name that stands for nothing: an empty file that is not mounted on, as somebody leaves who is killed
    /// between the two steps of making a name. Whether it was one.
    pub(crate) fn delete_unfinished(name: &str) -> Result<bool> {
        UnfinishedName::find(name)?.map_or(Ok(false), |file| file.delete())
    }

    /// The file that a named namespace has.
    ///
    /// # Errors
    /// If the name is not one of a file.
    pub fn path(name: &str) -> Result<PathBuf> {
        path_of(Operation::FindNamespace, name)
    }
}

/// The empty file of a name that stands for nothing, not yet or not any more.
#[derive(Debug)]
pub(crate) struct UnfinishedName {
    name: Box<str>,
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl UnfinishedName {
    /// The file of this name, if it is an empty one. It may be mounted on.
    pub(crate) fn find(name: &str) -> Result<Option<Self>> {
        let path = path_of(Operation::DeleteNamespace, name)?;
        let found = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(Error::system(Operation::DeleteNamespace, name, SystemCall::Stat))?,
        };
        let (device, inode) = (found.dev(), found.ino());
        let is_empty = found.is_file() && found.len() == 0;
        Ok(is_empty.then(|| Self { name: name.into(), path, device, inode }))
    }

    /// Removes it, if it still is that file and is not mounted on. Whether it was.
    pub(crate) fn delete(&self) -> Result<bool> {
        if Self::find(&self.name)?.is_none_or(|now| (now.device, now.inode) != (self.device, self.inode)) {
            return Ok(false);
        }
        match fs::remove_file(&self.path) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::ENOENT)) => Ok(false),
            other => other.map(|()| true).map_err(Error::system(
                Operation::DeleteNamespace,
                &*self.name,
                SystemCall::Unlink,
            )),
        }
    }
}

/// A name that was taken and stands for no namespace yet. Dropped before it does, it is free again.
#[derive(Debug)]
pub(crate) struct Reserved {
    path: std::ffi::CString,
    bound: bool,
}

impl Reserved {
    /// Makes the folder ready for names, once for many of them.
    pub(crate) fn prepare() -> Result<()> {
        prepare_folder()
    }

    /// Takes a name; the folder is ready.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let failed = |error| Error::system(Operation::CreateNamespace, name, SystemCall::Mknod)(error);
        let path = c_path(&path_of(Operation::CreateNamespace, name)?).map_err(failed)?;
        sys::namespace::make_file(&path).map_err(failed)?;
        Ok(Self { path, bound: false })
    }

    /// Makes it the name of the namespace that the calling thread is in.
    pub(crate) fn bind_current(mut self) -> Result<()> {
        sys::namespace::mount(super::CURRENT_C, &self.path, Some(c"none"), libc::MS_BIND).map_err(
            |error| {
                Error::system(Operation::NameNamespace, self.path.to_string_lossy(), SystemCall::Mount)(error)
            },
        )?;
        self.bound = true;
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.bound {
            // It was ours alone, and what can fail is only the removal of a file that nobody needs.
            let _ = fs::remove_file(Path::new(&*self.path.to_string_lossy()));
        }
    }
}

/// The rules of `invalid_name` in `ip`, and no NUL.
fn path_of(operation: Operation, name: &str) -> Result<PathBuf> {
    let fault = match name {
        "" => "the name is empty",
        "." | ".." => "the name means a folder",
        _ if name.len() > 255 => "the name is longer than 255 bytes",
        _ if name.contains(['/', '\0']) => "the name contains '/' or NUL",
        _ => return Ok(Path::new(FOLDER).join(name)),
    };
    Err(Error::invalid(operation, format!("{name:?}"), fault))
}

/// The name that an open file has as long as it is open.
fn descriptor(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/thread-self/fd/{}", file.as_raw_fd()))
}

fn c_path(path: &Path) -> io::Result<std::ffi::CString> {
    c_string(path.as_os_str().as_encoded_bytes())
}

/// Holds the lock that `ip netns add` takes while it prepares the folder, so that two do not both mount it on itself.
/// <https://github.com/iproute2/iproute2/commit/a3a5e2c> `None` if the folder was removed while others had the lock.
///
/// The folder and the same one mounted on itself are one inode, and so one lock.
fn lock_folder() -> Result<Option<File>, (SystemCall, io::Error)> {
    let inode = |found: fs::Metadata| (found.dev(), found.ino());
    let folder = File::open(FOLDER).map_err(|error| (SystemCall::Open, error))?;
    sys::retry(|| sys::file::lock_exclusive(folder.as_fd())).map_err(|error| (SystemCall::Flock, error))?;
    let locked = folder.metadata().map(inode).map_err(|error| (SystemCall::Fstat, error))?;
    let is_there = fs::metadata(FOLDER).is_ok_and(|found| inode(found) == locked);
    Ok(is_there.then_some(folder))
}

/// Makes the folder, if it is not there.
pub(super) fn make_folder() -> io::Result<()> {
    match DirBuilder::new().mode(0o755).create(FOLDER) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Makes the folder, and makes it a shared mount, so that names reach mount namespaces that were made before them.
fn prepare_folder() -> Result<()> {
    let failed = |call| Error::system(Operation::PrepareFolder, FOLDER, call);
    let _lock = loop {
        make_folder().map_err(failed(SystemCall::Mkdir))?;
        match lock_folder() {
            Ok(Some(lock)) => break lock,
            Ok(None) => {}
            // Removed in between.
            Err((SystemCall::Open, error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err((call, error)) => return Err(failed(call)(error)),
        }
    };
    let folder = c_string(FOLDER).map_err(failed(SystemCall::Mount))?;
    let share = || sys::namespace::mount(c"", &folder, Some(c"none"), libc::MS_SHARED | libc::MS_REC);
    let shared = match share() {
        // It is no mount yet.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let bound = sys::namespace::mount(&folder, &folder, Some(c"none"), libc::MS_BIND | libc::MS_REC);
            bound.and_then(|()| share())
        }
        other => other,
    };
    shared.map_err(failed(SystemCall::Mount))
}

/// How the folder of named namespaces was found: whether it was there, and whether it was mounted. To make named
/// namespaces for a while and leave nothing, look first and restore it in the end; `ip netns` leaves both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folder {
    /// Whether it was there.
    pub existed: bool,
    /// Whether it was a mount of its own.
    pub mounted: bool,
}

impl Folder {
    /// Looks at the folder.
    ///
    /// # Errors
    /// If the mounts cannot be listed.
    pub fn observe() -> Result<Self> {
        let existed = Path::new(FOLDER).is_dir();
        let mounted = existed
            && is_mounted().map_err(Error::system(Operation::LookAtFolder, FOLDER, SystemCall::Open))?;
        Ok(Self { existed, mounted })
    }

    /// Undoes what [`Namespace::create`] did to the folder since, unless somebody has a name in it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn restore(self) -> Result<()> {
        let failed = |call| Error::system(Operation::RestoreFolder, FOLDER, call);
        let _lock = match lock_folder() {
            Err((_, error)) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err((call, error)) => return Err(failed(call)(error)),
            // Somebody restored it, and another may have made it anew, as its own.
            Ok(None) => return Ok(()),
            Ok(Some(lock)) => lock,
        };
        // Whatever it is called: a name need not be text.
        if fs::read_dir(FOLDER).map_err(failed(SystemCall::Readdir))?.next().is_some() {
            return Ok(());
        }
        let now = Self::observe()?;
        if now.mounted && !self.mounted {
            let folder = c_string(FOLDER).map_err(failed(SystemCall::Umount))?;
            sys::namespace::unmount(&folder, libc::MNT_DETACH).map_err(failed(SystemCall::Umount))?;
        }
        // Still locked: it is nobody's while it is removed.
        if !self.existed {
            match fs::remove_dir(FOLDER) {
                // Somebody has put a name there without the lock, or mounted on it.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTEMPTY | libc::EBUSY)) => {}
                other => other.map_err(failed(SystemCall::Rmdir))?,
            }
        }
        Ok(())
    }
}

/// Whether the folder is the root of a mount. Its path alone does not say so: a mount that another one covers (a `/run`
/// that was mounted anew) is listed with the same path. So the kernel is asked for the mount that the path leads to, and
/// the list for where that one is mounted. `mnt_id` and the fields of `mountinfo`:
/// <https://www.kernel.org/doc/html/v6.12/filesystems/proc.html#proc-pid-fdinfo-information-about-opened-file>
fn is_mounted() -> io::Result<bool> {
    let path = fs::canonicalize(FOLDER)?;
    let folder = File::open(FOLDER)?;
    let described = fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", folder.as_raw_fd()))?;
    let mount = described.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(str::trim);
    let mounts = fs::read("/proc/thread-self/mountinfo")?;
    let mounted = mounts.split(|&byte| byte == b'\n').any(|line| {
        let mut fields = line.split(|&byte| byte == b' ');
        let (id, point) = (fields.next(), fields.nth(3));
        id == mount.map(str::as_bytes) && point == Some(path.as_os_str().as_encoded_bytes())
    });
    Ok(mounted)
}
