//! What went wrong: the operation, the object, and the kernel's own words.

mod description;
mod kind;
mod operation;

#[cfg(test)]
mod tests;

use crate::sys::capability;
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::time::Duration;

pub(crate) use description::Description;
pub use kind::ErrorKind;
pub use operation::{Operation, SystemCall};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
///
/// It reads `create veth v0: File exists (os error 17)`, with the kernel's explanation and the attribute it points
/// at where the kernel gives them: all that is known, so that [`source`](std::error::Error::source) has nothing left
/// to add. [`Error::kind`] and [`Error::operation`] are for programs that want to distinguish cases, [`Error::errno`]
/// is the kernel's own number:
///
/// ```
/// use netns_core::{ErrorKind, IfName, Operation, RouteSocket, link};
///
/// let mut socket = RouteSocket::open()?;
/// let error = link::get(&mut socket, IfName::new("no-such-link")?).unwrap_err();
/// assert_eq!((error.operation(), error.kind()), (Operation::GetLink, ErrorKind::NotFound));
/// assert_eq!(error.errno(), Some(libc::ENODEV));
/// assert!(error.to_string().starts_with("get link no-such-link: No such device"));
/// # Ok::<(), netns_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Error(Box<Details>);

#[derive(Debug)]
struct Details {
    operation: Operation,
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
        call: SystemCall,
        /// What it returned.
        error: io::Error,
    },
    /// The input was refused before the kernel was asked.
    Invalid(Cow<'static, str>),
    /// A limit is reached: it may work later, when something was given back.
    Exhausted(Cow<'static, str>),
    /// Somebody who is alive has it.
    Busy(Cow<'static, str>),
    /// It is there already.
    Exists(Cow<'static, str>),
    /// It is not there.
    NotFound(Cow<'static, str>),
    /// The kernel was built without what was asked for.
    Unsupported(Cow<'static, str>),
    /// The kernel's answer was cut off, came from somebody else, or made no sense.
    Reply(Cow<'static, str>),
    /// What was asked for changed every time while the kernel sent it (`NLM_F_DUMP_INTR`).
    Changed(Cow<'static, str>),
    /// It did not happen in this time.
    TimedOut(Duration),
    /// The network's [`crate::network::PortProgram`] could not take the port, for a reason of its own.
    Program(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// The input was refused before the kernel was asked.
    pub fn invalid(
        operation: impl Into<Operation>,
        object: impl Into<String>,
        why: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(operation, object, Cause::Invalid(why.into()))
    }

    /// A limit is reached.
    pub fn exhausted(
        operation: impl Into<Operation>,
        object: impl Into<String>,
        why: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(operation, object, Cause::Exhausted(why.into()))
    }

    /// An operation, its object, and why it failed: for what implements this crate's traits.
    pub fn new(operation: impl Into<Operation>, object: impl Into<String>, cause: Cause) -> Self {
        let operation = operation.into();
        let missing = needed(operation, &cause).filter(|name| capability::is_missing(name));
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
        operation: impl Into<Operation>,
        object: impl Into<String>,
        call: SystemCall,
    ) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::new(operation, object, Cause::System { call, error })
    }

    /// What was tried. Displayed: "create veth".
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.0.operation
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

    /// What kind of failure it is, whether the kernel refused or this crate did.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &self.0.cause {
            Cause::Refused { errno, .. } => ErrorKind::from_errno(*errno),
            Cause::System { error, .. } => ErrorKind::of(error),
            Cause::Invalid(_) => ErrorKind::Invalid,
            Cause::Exhausted(_) => ErrorKind::Exhausted,
            Cause::NotFound(_) => ErrorKind::NotFound,
            Cause::Unsupported(_) => ErrorKind::Unsupported,
            Cause::Busy(_) => ErrorKind::Busy,
            Cause::Exists(_) => ErrorKind::Exists,
            Cause::Reply(_) => ErrorKind::Reply,
            Cause::Changed(_) => ErrorKind::Interrupted,
            Cause::TimedOut(_) => ErrorKind::TimedOut,
            Cause::Program(why) => why.downcast_ref::<Self>().map_or(ErrorKind::Other, Self::kind),
        }
    }

    /// The kernel's error number, if it was the kernel that refused.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match &self.0.cause {
            Cause::Refused { errno, .. } => Some(*errno),
            Cause::System { error, .. } => error.raw_os_error(),
            Cause::Invalid(_)
            | Cause::Exhausted(_)
            | Cause::Busy(_)
            | Cause::Exists(_)
            | Cause::NotFound(_)
            | Cause::Unsupported(_)
            | Cause::Reply(_)
            | Cause::Changed(_)
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

    /// Whether the input was refused before the kernel was asked.
    #[must_use]
    pub fn is_invalid_input(&self) -> bool {
        matches!(self.0.cause, Cause::Invalid(_))
    }
}

/// What the kernel asks for before it does what it refused with `EPERM`. A user namespace takes nothing.
fn needed(operation: Operation, cause: &Cause) -> Option<&'static str> {
    match cause {
        Cause::Refused { errno: libc::EPERM, .. } => Some("CAP_NET_ADMIN"),
        Cause::System { call, error } if error.raw_os_error() == Some(libc::EPERM) => {
            match (operation, call) {
                (Operation::CreateUserNamespace, _) => None,
                (Operation::WriteSysctl, SystemCall::Write) => Some("CAP_NET_ADMIN"),
                (Operation::Ping | Operation::Announce, _) => Some("CAP_NET_RAW"),
                (_, call) => call.capability(),
            }
        }
        _ => None,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { operation, object, cause, missing, is_foreign } = &*self.0;
        write!(formatter, "{operation}")?;
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
            // "open record X: open: No such file" says the same twice.
            Cause::System { call, error } if operation.begins_with(*call) => write!(formatter, ": {error}"),
            Cause::System { call, error } => write!(formatter, ": {call}: {error}"),
            Cause::Invalid(why)
            | Cause::Exhausted(why)
            | Cause::NotFound(why)
            | Cause::Unsupported(why)
            | Cause::Busy(why)
            | Cause::Exists(why)
            | Cause::Reply(why)
            | Cause::Changed(why) => {
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
    /// What [`Display`](fmt::Display) does not say already: nothing, but for what is behind the error of a
    /// [`PortProgram`](crate::network::PortProgram), or of the standard library.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.cause {
            Cause::System { error, .. } => error.source(),
            Cause::Program(why) => why.source(),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match (error.errno(), error.kind()) {
            (Some(errno), _) => Self::from_raw_os_error(errno).kind(),
            (None, ErrorKind::Invalid) => io::ErrorKind::InvalidInput,
            (None, ErrorKind::TimedOut) => io::ErrorKind::TimedOut,
            (None, ErrorKind::Reply) => io::ErrorKind::InvalidData,
            (None, _) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
