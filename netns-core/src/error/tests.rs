//! Error kinds, and what an error prints with all its sources.

use super::{Cause, Error, ErrorKind, Operation, SystemCall, needed};
use std::error::Error as _;
use std::time::Duration;
use std::{fmt, io};

/// As `anyhow` prints an error: what it displays, and all its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// An error with a source that it does not display, as the standard library wants it.
#[derive(Debug)]
struct Layered(io::Error);

impl fmt::Display for Layered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("no slot")
    }
}

impl std::error::Error for Layered {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

fn system(errno: i32) -> Error {
    let error = io::Error::from_raw_os_error(errno);
    Error::system(Operation::OpenNamespace, "ns1", SystemCall::Open)(error)
}

#[test]
fn an_error_and_its_sources_repeat_nothing() {
    assert_eq!(chain(&system(libc::ENOENT)), "open namespace ns1: No such file or directory (os error 2)");
    // Every C library has its own words for it.
    let memory = io::Error::from_raw_os_error(libc::ENOMEM);
    let why = Box::new(Layered(io::Error::from_raw_os_error(libc::ENOMEM)));
    let program = Error::new("assign a slot to port", "v0", Cause::Program(why));
    assert_eq!(chain(&program), format!("assign a slot to port v0: no slot: {memory}"));
    let inner = io::Error::other(Layered(io::Error::from_raw_os_error(libc::ENOMEM)));
    let other = Error::system(Operation::ReadSysctl, "x", SystemCall::Read)(inner);
    assert_eq!(chain(&other), format!("read sysctl x: no slot: {memory}"));
    assert!(Error::invalid(Operation::UseRoute, "x", "no").source().is_none());
}

#[test]
fn kinds_follow_from_the_kernels_numbers_and_from_our_own_conditions() {
    for (errno, kind) in [
        (libc::ENODEV, ErrorKind::NotFound),
        (libc::ESRCH, ErrorKind::NotFound),
        (libc::EEXIST, ErrorKind::Exists),
        (libc::EBUSY, ErrorKind::Busy),
        (libc::EWOULDBLOCK, ErrorKind::Busy),
        (libc::EXFULL, ErrorKind::Exhausted),
        (libc::EMFILE, ErrorKind::Exhausted),
        (libc::EOPNOTSUPP, ErrorKind::Unsupported),
        (libc::EAFNOSUPPORT, ErrorKind::Unsupported),
        (libc::EROFS, ErrorKind::Permission),
        (libc::ENETUNREACH, ErrorKind::Unreachable),
        (libc::EINTR, ErrorKind::Interrupted),
        (libc::EINVAL, ErrorKind::Invalid),
        (libc::EIO, ErrorKind::Other),
    ] {
        assert_eq!(system(errno).kind(), kind, "{errno}");
        let refused = Cause::Refused { errno, message: None, attribute: None };
        assert_eq!(Error::new(Operation::GetLink, "", refused).kind(), kind, "{errno}");
    }
    for (cause, kind) in [
        (Cause::Invalid("".into()), ErrorKind::Invalid),
        (Cause::Exhausted("".into()), ErrorKind::Exhausted),
        (Cause::Busy("".into()), ErrorKind::Busy),
        (Cause::Exists("".into()), ErrorKind::Exists),
        (Cause::NotFound("".into()), ErrorKind::NotFound),
        (Cause::Reply("".into()), ErrorKind::Reply),
        (Cause::Changed("".into()), ErrorKind::Interrupted),
        (Cause::TimedOut(Duration::ZERO), ErrorKind::TimedOut),
        (Cause::Program(Box::new(system(libc::EBUSY))), ErrorKind::Busy),
        (Cause::Program("words".into()), ErrorKind::Other),
    ] {
        let error = Error::new(Operation::CreateSandbox, "", cause);
        assert_eq!(error.kind(), kind, "{error}");
    }
    assert_eq!(ErrorKind::of(&io::ErrorKind::NotFound.into()), ErrorKind::NotFound);
}

#[test]
fn operations_and_calls_read_as_people_say_it() {
    assert_eq!(Operation::CreateLink("veth").to_string(), "create veth");
    assert_eq!(Operation::ListAddresses.to_string(), "list addresses");
    assert_eq!(Operation::from("assign slot").to_string(), "assign slot");
    assert_eq!(Operation::Netlink(99).to_string(), "netlink request 99");
    assert_eq!(SystemCall::IoctlNamespace.to_string(), "ioctl(SIOCGSKNS)");
}

#[test]
fn what_a_raw_socket_takes_is_named() {
    for operation in [Operation::Ping, Operation::Announce] {
        let error = io::Error::from_raw_os_error(libc::EPERM);
        let refused = Cause::System { call: SystemCall::Socket, error };
        assert_eq!(needed(operation, &refused), Some("CAP_NET_RAW"), "{operation}");
    }
}
