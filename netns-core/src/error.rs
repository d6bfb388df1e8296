//! What went wrong: the operation, the object, and the kernel's own words.

use crate::capability;
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::time::Duration;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
///
/// It reads `create veth v0: File exists (os error 17)`, with the kernel's explanation and the attribute it points
/// at where the kernel gives them. [`Error::errno`] is for programs that want to tell cases apart:
///
/// ```
/// use netns_core::{Namespace, RouteSocket, link, IfName};
///
/// let mut socket = RouteSocket::open()?;
/// let error = link::get(&mut socket, IfName::new("no-such-link")?).unwrap_err();
/// assert_eq!(error.errno(), Some(libc::ENODEV));
/// assert!(error.to_string().starts_with("get link no-such-link: No such device"));
/// # Ok::<(), netns_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Error(Box<Details>);

#[derive(Debug)]
struct Details {
    operation: Cow<'static, str>,
    object: String,
    cause: Cause,
    /// The capability that the calling thread lacked, if that explains it.
    missing: Option<&'static str>,
    /// Whether it lacked it only over the network namespace that it is in.
    is_foreign: bool,
}

/// Why it went wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The kernel received the request and refused it.
    Refused {
        /// The errno of its answer.
        errno: i32,
        /// Its explanation, if it gave one (`NLMSGERR_ATTR_MSG`).
        message: Option<String>,
        /// The path of the attribute that it points at (`NLMSGERR_ATTR_OFFS`).
        attribute: Option<String>,
    },
    /// A system call failed.
    System {
        /// Its name.
        call: &'static str,
        /// What it returned.
        error: io::Error,
    },
    /// The input was refused before the kernel was asked.
    Invalid(Cow<'static, str>),
    /// A limit is reached: it may work later, when something was given back.
    Exhausted(Cow<'static, str>),
    /// The kernel was built without what was asked for.
    Unsupported(Cow<'static, str>),
    /// The kernel's answer was cut off, came from somebody else, or made no sense.
    Reply(Cow<'static, str>),
    /// It did not happen in this time.
    TimedOut(Duration),
    /// The network's [`crate::network::PortProgram`] could not take the port, for a reason of its own.
    Program(Box<dyn std::error::Error + Send + Sync>),
}

/// The operation of [`crate::become_root_of_user_namespace`].
pub(crate) const CREATE_USER_NAMESPACE: &str = "create user namespace";
/// What [`Cause::System`] calls the attempt of a thread to enter the namespace that it is in: whether it could return.
pub(crate) const SETNS_BACK: &str = "setns to the present one";

impl Error {
    /// The input was refused before the kernel was asked.
    pub fn invalid(
        operation: impl Into<Cow<'static, str>>,
        object: impl Into<String>,
        why: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(operation, object, Cause::Invalid(why.into()))
    }

    /// A limit is reached.
    pub fn exhausted(
        operation: impl Into<Cow<'static, str>>,
        object: impl Into<String>,
        why: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(operation, object, Cause::Exhausted(why.into()))
    }

    /// An operation, its object, and why it failed: for what implements this crate's traits.
    pub fn new(operation: impl Into<Cow<'static, str>>, object: impl Into<String>, cause: Cause) -> Self {
        let operation = operation.into();
        let missing = needed(&operation, &cause).filter(|name| capability::is_missing(name));
        let is_foreign = missing.is_some() && capability::is_network_foreign().unwrap_or(false);
        Self(Box::new(Details { operation, object: object.into(), cause, missing, is_foreign }))
    }

    /// The same, of another object.
    pub(crate) fn about(mut self, object: impl Into<String>) -> Self {
        self.0.object = object.into();
        self
    }

    /// A failed system call, for `map_err`.
    pub(crate) fn system(
        operation: impl Into<Cow<'static, str>>,
        object: impl Into<String>,
        call: &'static str,
    ) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::new(operation, object, Cause::System { call, error })
    }

    /// What was tried: "create veth".
    #[must_use]
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// On what: "v0". Empty where the operation says it all.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.0.object
    }

    /// Why it failed.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// The kernel's error number, if it was the kernel that refused.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match &self.0.cause {
            Cause::Refused { errno, .. } => Some(*errno),
            Cause::System { error, .. } => error.raw_os_error(),
            Cause::Invalid(_)
            | Cause::Exhausted(_)
            | Cause::Unsupported(_)
            | Cause::Reply(_)
            | Cause::TimedOut(_)
            | Cause::Program(_) => None,
        }
    }

    /// The name of the capability that the calling thread lacked, if the kernel refused with `EPERM` for want of it. `None`
    /// for every other error; and where the thread had it, something else forbids the operation: a seccomp filter, or a
    /// security module.
    #[must_use]
    pub fn missing_capability(&self) -> Option<&'static str> {
        self.0.missing
    }

    /// Whether the kernel was built without what was asked for, as far as its answer says so.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(self.0.cause, Cause::Unsupported(_))
            || matches!(self.errno(), Some(libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::EOPNOTSUPP))
    }

    /// Whether the input was refused before the kernel was asked.
    #[must_use]
    pub fn is_invalid_input(&self) -> bool {
        matches!(self.0.cause, Cause::Invalid(_))
    }
}

/// What the kernel asks for before it does what it refused with `EPERM`. A user namespace takes nothing.
fn needed(operation: &str, cause: &Cause) -> Option<&'static str> {
    match cause {
        Cause::Refused { errno: libc::EPERM, .. } => Some("CAP_NET_ADMIN"),
        Cause::System { call, error } if error.raw_os_error() == Some(libc::EPERM) => {
            match (operation, *call) {
                (CREATE_USER_NAMESPACE, _) => None,
                ("write sysctl", "write") => Some("CAP_NET_ADMIN"),
                ("ping", _) => Some("CAP_NET_RAW"),
                (_, "fsopen" | "mount" | "setns" | SETNS_BACK | "umount" | "unshare") => {
                    Some("CAP_SYS_ADMIN")
                }
                _ => None,
            }
        }
        _ => None,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { operation, object, cause, missing, is_foreign } = &*self.0;
        formatter.write_str(operation)?;
        if !object.is_empty() {
            write!(formatter, " {object}")?;
        }
        match cause {
            Cause::Refused { errno, message, attribute } => {
                write!(formatter, ": {}", io::Error::from_raw_os_error(*errno))?;
                if let Some(message) = message {
                    write!(formatter, ": {message}")?;
                }
                if let Some(attribute) = attribute {
                    write!(formatter, " (at {attribute})")?;
                }
                Ok(())
            }
            Cause::System { call, error } => write!(formatter, ": {call}: {error}"),
            Cause::Invalid(why) | Cause::Exhausted(why) | Cause::Unsupported(why) | Cause::Reply(why) => {
                write!(formatter, ": {why}")
            }
            Cause::TimedOut(limit) => write!(formatter, ": not within {limit:?}"),
            Cause::Program(why) => write!(formatter, ": {why}"),
        }?;
        match missing {
            None => Ok(()),
            Some(name) if *is_foreign => write!(
                formatter,
                ": this takes {name} over the network namespace, which belongs to another user namespace (unshare --net \
                 makes one that does not)"
            ),
            Some(name) => write!(formatter, ": this takes {name}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.cause {
            Cause::System { error, .. } => Some(error),
            Cause::Program(why) => Some(&**why),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind =
            error.errno().map_or(io::ErrorKind::Other, |errno| io::Error::from_raw_os_error(errno).kind());
        Self::new(kind, error)
    }
}
