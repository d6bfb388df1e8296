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

/// A setting that is written often: its file, and what is written.
#[derive(Debug, Clone)]
pub(crate) struct PreparedSysctl {
    path: PathBuf,
    name: String,
    value: String,
}

impl PreparedSysctl {
    /// Whether there is such a setting is seen when it is written.
    pub(crate) fn new(name: &str, value: &str) -> Result<Self> {
        let path = path(Operation::WriteSysctl, name)?;
        Ok(Self { path, name: name.to_owned(), value: value.to_owned() })
    }

    /// Writes it in the namespace of the calling thread, by three system calls and without heap.
    pub(crate) fn write(&self) -> Result<()> {
        write(&self.path, &self.value).map_err(|error| {
            let object = format!("{}={}", self.name, self.value);
            Error::system(Operation::WriteSysctl, object, SystemCall::Write)(error)
        })
    }
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
    let path = PathBuf::from(format!("/proc/thread-self/fd/{}", procfs.as_raw_fd())).join(relative);
    // What was refused first says more.
    namespace.enter(|| write(&path, value))?.map_err(|_| refused)
}

fn path(operation: Operation, name: &str) -> Result<PathBuf> {
    let relative = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    if relative.split('/').any(|part| matches!(part, "" | "." | "..")) || !relative.starts_with("net/") {
        return Err(Error::invalid(operation, format!("{name:?}"), "it is not the name of a net setting"));
    }
    Ok(PathBuf::from("/proc/sys").join(relative))
}

/// Forwarding of a namespace as a whole, which sets that of all its interfaces when it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GlobalForwarding {
    /// The setting.
    pub(crate) name: &'static str,
    /// The folder of the interfaces' settings.
    interfaces: &'static str,
}

/// `inet_forward_change` in <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/devinet.c>.
const IPV4: GlobalForwarding = GlobalForwarding { name: "net/ipv4/ip_forward", interfaces: "net/ipv4/conf" };
/// `addrconf_fixup_forwarding` in <https://github.com/torvalds/linux/blob/v6.12/net/ipv6/addrconf.c>.
const IPV6: GlobalForwarding =
    GlobalForwarding { name: "net/ipv6/conf/all/forwarding", interfaces: "net/ipv6/conf" };

impl GlobalForwarding {
    /// The one of this name, if it is one.
    pub(crate) fn of(name: &str) -> Option<Self> {
        [IPV4, IPV6].into_iter().find(|global| global.name == name)
    }

    /// Whether a setting is one that switching this off changes: for IPv6 `force_forwarding`, too
    /// (<https://github.com/torvalds/linux/blob/v6.18/Documentation/networking/ip-sysctl.rst>).
    pub(crate) fn changes(self, setting: &str) -> bool {
        let rest = setting.strip_prefix(self.interfaces);
        let names = ["/forwarding", "/force_forwarding"];
        setting != self.name && rest.is_some_and(|rest| names.iter().any(|name| rest.ends_with(name)))
    }

    fn setting(self, interface: &str) -> String {
        format!("{}/{interface}/forwarding", self.interfaces)
    }

    /// The interfaces that forward although the namespace does not; `None` if it does.
    pub(crate) fn interfaces(self, namespace: &Namespace) -> Result<Option<Vec<String>>> {
        if get(namespace, self.name)? == "1" {
            return Ok(None);
        }
        let folder = format!("/proc/sys/{}", self.interfaces);
        let names = namespace.enter(|| -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(&folder)? {
                names.extend(entry?.file_name().into_string());
            }
            Ok(names)
        })?;
        let mut names =
            names.map_err(Error::system(Operation::ListInterfaces, folder, SystemCall::Readdir))?;
        names.retain(|name| get(namespace, &self.setting(name)).is_ok_and(|value| value == "1"));
        Ok(Some(names))
    }

    /// Switches it off, but for these interfaces. Those that are gone are passed over.
    pub(crate) fn restore(self, namespace: &Namespace, interfaces: &[String]) -> Result<()> {
        set(namespace, self.name, "0")?;
        for name in interfaces {
            match set(namespace, &self.setting(name), "1") {
                Err(error) if error.errno() != Some(libc::ENOENT) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

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
        Ok(Self { interfaces: IPV4.interfaces(namespace)? })
    }

    /// Switches forwarding on, if it is not.
    ///
    /// # Errors
    /// If the settings cannot be read or written.
    pub fn enable(namespace: &Namespace) -> Result<Self> {
        let before = Self::observe(namespace)?;
        if before.interfaces.is_some() {
            set(namespace, IPV4.name, "1")?;
        }
        Ok(before)
    }

    /// Puts everything back as it was. Interfaces that are gone are passed over.
    ///
    /// # Errors
    /// If the settings cannot be written.
    pub fn restore(self, namespace: &Namespace) -> Result<()> {
        self.interfaces.map_or(Ok(()), |names| IPV4.restore(namespace, &names))
    }
}
