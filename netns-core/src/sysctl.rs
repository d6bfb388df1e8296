//! Kernel settings of a namespace, `sysctl net.*`.
//!
//! The kernel shows each thread the settings of the namespace that it is in, whatever `/proc` was mounted from
//! (`net_ctl_root` in <https://github.com/torvalds/linux/blob/v6.12/net/sysctl_net.c>), so they are read and written
//! from inside.

use crate::error::{Cause, Operation, SystemCall};
use crate::{Error, Namespace, Result, sys};
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Reads a setting: `get(&namespace, "net.ipv4.ip_forward")`. With `/` instead of `.`, names of interfaces may
/// contain dots.
///
/// # Errors
/// `ENOENT` if there is no such setting.
///
/// ```
/// use netns_core::{Namespace, sysctl};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let namespace = Namespace::anonymous()?;
/// sysctl::set(&namespace, "net.ipv4.ip_forward", "1")?;
/// assert_eq!(sysctl::get(&namespace, "net/ipv4/ip_forward")?, "1");
/// # Ok::<(), netns_core::Error>(())
/// ```
pub fn get(namespace: &Namespace, name: &str) -> Result<String> {
    let path = path(Operation::ReadSysctl, name)?;
    let value = namespace.enter(|| fs::read_to_string(path))?;
    let value = value.map_err(Error::system(Operation::ReadSysctl, name, SystemCall::Read))?;
    Ok(value.trim_end().to_owned())
}

/// Writes a setting.
///
/// # Errors
/// `ENOENT` if there is no such setting, `EINVAL` if it cannot have this value.
pub fn set(namespace: &Namespace, name: &str, value: &str) -> Result<()> {
    let path = path(Operation::WriteSysctl, name)?;
    let written = namespace.enter(|| write(&path, value))?;
    written.map_err(|error| {
        Error::new(
            Operation::WriteSysctl,
            format!("{name}={value}"),
            Cause::System { call: SystemCall::Write, error },
        )
    })
}

/// Not `fs::write`, which would make a file where there is none.
fn write(path: &Path, value: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    io::Write::write_all(&mut file, value.as_bytes())
}

/// As [`set`], for the settings of a link or a namespace that this crate has made itself.
///
/// Container engines mount `/proc/sys` read-only, so that nobody in the container changes what belongs to the machine. A
/// link of our own does not. So where the setting is not as wanted and cannot be written, it is written by a procfs of
/// our own, which is mounted nowhere; that takes `CAP_SYS_ADMIN`, as making a namespace does.
///
/// # Errors
/// As [`set`], if that does not work either.
pub(crate) fn set_own(namespace: &Namespace, name: &str, value: &str) -> Result<()> {
    let refused = match set(namespace, name, value) {
        Err(error)
            if matches!(error.errno(), Some(libc::EROFS | libc::EACCES | libc::EPERM | libc::ENOENT)) =>
        {
            error
        }
        other => return other,
    };
    if get(namespace, name).is_ok_and(|now| now == value) {
        return Ok(());
    }
    let procfs = match sys::procfs::detached() {
        Ok(procfs) => procfs,
        Err(error) => {
            // Where the right is what is missing, that says more than what was refused first.
            let object = format!("{name}={value}");
            let error = Error::system(Operation::WriteSysctl, object, SystemCall::Fsopen)(error);
            return Err(if error.missing_capability().is_some() { error } else { refused });
        }
    };
    let relative = path(Operation::WriteSysctl, name)?;
    let relative = relative.strip_prefix("/proc").unwrap_or(&relative);
    let path = PathBuf::from(format!("/proc/self/fd/{}", procfs.as_raw_fd())).join(relative);
    // What was refused first says more.
    namespace.enter(|| write(&path, value))?.map_err(|_| refused)
}

fn path(operation: Operation, name: &str) -> Result<PathBuf> {
    let relative = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    if relative.split('/').any(|part| matches!(part, "" | "." | "..")) || !relative.starts_with("net/") {
        return Err(Error::invalid(operation, format!("{name:?}"), "it is no name of a net setting"));
    }
    Ok(PathBuf::from("/proc/sys").join(relative))
}

const IP_FORWARD: &str = "net/ipv4/ip_forward";
const INTERFACES: &str = "/proc/sys/net/ipv4/conf";

/// IPv4 forwarding of a namespace, switched on, and what it was before.
///
/// Writing `ip_forward` also sets `forwarding` of every interface (`inet_forward_change` in
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/devinet.c>), so those are remembered too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ipv4Forwarding {
    /// The interfaces that forwarded already; `None` if the namespace did, and nothing was changed.
    pub interfaces: Option<Vec<String>>,
}

impl Ipv4Forwarding {
    /// What it is now; nothing is changed.
    ///
    /// # Errors
    /// If the settings cannot be read.
    pub fn observe(namespace: &Namespace) -> Result<Self> {
        if get(namespace, IP_FORWARD)? == "1" {
            return Ok(Self { interfaces: None });
        }
        let names = namespace.enter(|| -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(INTERFACES)? {
                names.extend(entry?.file_name().into_string());
            }
            Ok(names)
        })?;
        let mut names =
            names.map_err(Error::system(Operation::ListInterfaces, INTERFACES, SystemCall::Readdir))?;
        names.retain(|name| get(namespace, &setting(name)).is_ok_and(|value| value == "1"));
        Ok(Self { interfaces: Some(names) })
    }

    /// Switches forwarding on, if it is not.
    ///
    /// # Errors
    /// If the settings cannot be read or written.
    pub fn enable(namespace: &Namespace) -> Result<Self> {
        let before = Self::observe(namespace)?;
        if before.interfaces.is_some() {
            set(namespace, IP_FORWARD, "1")?;
        }
        Ok(before)
    }

    /// Puts everything back as it was. Interfaces that are gone are passed over.
    ///
    /// # Errors
    /// If the settings cannot be written.
    pub fn restore(self, namespace: &Namespace) -> Result<()> {
        let Some(names) = self.interfaces else { return Ok(()) };
        set(namespace, IP_FORWARD, "0")?;
        for name in names {
            match set(namespace, &setting(&name), "1") {
                Err(error) if error.errno() != Some(libc::ENOENT) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn setting(interface: &str) -> String {
    format!("net/ipv4/conf/{interface}/forwarding")
}
