//! Names, checked once and then known to be good.

use crate::error::Operation;
use crate::{Error, Result};
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// `IFNAMSIZ`: a name and the NUL that ends it.
const CAPACITY: usize = libc::IFNAMSIZ;

/// An interface's name, of which the kernel will not complain: one to fifteen bytes, no `/`, no `:`, no white space,
/// not `.` or `..`, not `all` or `default`, no `%`.
///
/// The rules are those of `dev_valid_name` in <https://github.com/torvalds/linux/blob/v6.12/net/core/dev.c>, those of
/// `sysctl_dev_name_is_allowed` in <https://github.com/torvalds/linux/blob/v6.12/include/net/ip.h>, and one more: `%`
/// in a new name asks the kernel to number the interface, which scans all of them.
///
/// ```
/// use netns_core::IfName;
///
/// assert_eq!(IfName::new("br0")?.as_str(), "br0");
/// assert!(IfName::new("far-too-long-for-linux").is_err());
/// # Ok::<(), netns_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName {
    bytes: [u8; CAPACITY],
}

impl IfName {
    /// Checks a name.
    ///
    /// # Errors
    /// Says which rule `name` breaks.
    pub fn new(name: &str) -> Result<Self> {
        let fault = if name.is_empty() {
            "is empty"
        } else if name.len() >= CAPACITY {
            "is longer than 15 bytes"
        } else if name == "." || name == ".." {
            "means a folder"
        } else if name == "all" || name == "default" {
            "means all settings or the default ones"
        } else if name.bytes().any(|byte| matches!(byte, b'/' | b':' | b'%') || is_kernel_space(byte)) {
            "contains '/', ':', '%' or white space"
        } else {
            let mut bytes = [0; CAPACITY];
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            return Ok(Self { bytes });
        };
        Err(Error::invalid(Operation::UseInterfaceName, format!("{name:?}"), format!("the name {fault}")))
    }

    /// A name as the kernel reports it. Others give names that [`IfName::new`] would not: to the kernel they are bytes, which
    /// need not be UTF-8. `None` if no link can have it.
    ///
    /// ```
    /// use netns_core::IfName;
    ///
    /// let name = IfName::reported(b"v\xff0").unwrap();
    /// assert_eq!((name.to_string(), name.as_str()), (r"v\xff0".to_owned(), "\u{fffd}"));
    /// ```
    #[must_use]
    pub fn reported(name: &[u8]) -> Option<Self> {
        if name.is_empty() || name.len() >= CAPACITY || name.contains(&0) {
            return None;
        }
        let mut bytes = [0; CAPACITY];
        bytes[..name.len()].copy_from_slice(name);
        Some(Self { bytes })
    }

    /// The name as the kernel has it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let end = self.bytes.iter().position(|&byte| byte == 0).unwrap_or(CAPACITY);
        &self.bytes[..end]
    }

    /// The name with the NULs that follow it, as the kernel has it in structures and packets.
    pub(crate) const fn padded(&self) -> [u8; CAPACITY] {
        self.bytes
    }

    /// The name as text. One that is not UTF-8, and so not ours, is U+FFFD here; `Display` shows its bytes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or("\u{fffd}")
    }
}

/// The kernel's `isspace`: ASCII white space with vertical tab, NUL (which ends a C string), and Latin-1's
/// no-break space, <https://github.com/torvalds/linux/blob/v6.12/lib/ctype.c>.
fn is_kernel_space(byte: u8) -> bool {
    matches!(byte, b'\0' | b'\t'..=b'\r' | b' ' | 0xA0)
}

impl FromStr for IfName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(text) = std::str::from_utf8(self.as_bytes()) {
            return formatter.pad(text);
        }
        let mut text = String::new();
        for chunk in self.as_bytes().utf8_chunks() {
            text.push_str(chunk.valid());
            for byte in chunk.invalid() {
                write!(text, "\\x{byte:02x}")?;
            }
        }
        formatter.pad(&text)
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.as_bytes()) {
            Ok(text) => fmt::Debug::fmt(text, formatter),
            Err(_) => write!(formatter, "\"{self}\""),
        }
    }
}

#[cfg(test)]
mod tests;
