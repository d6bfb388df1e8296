//! What an error prints with all its sources, and its kind.

use super::Error;
use netns_core::ErrorKind;
use std::io;

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

#[test]
fn an_error_and_its_sources_repeat_nothing() {
    let refused = || {
        let cause = netns_core::Cause::Refused { errno: 16, message: None, attribute: None };
        netns_core::Error::new(netns_core::Operation::SetLink, "v0", cause)
    };
    let system = || Error::system("read a file")(io::Error::from_raw_os_error(2));
    let port = netns_ebpf::MonitorError::Port { operation: "attach to", ifindex: 7, source: refused() };
    for error in [
        Error::Kernel(refused()),
        Error::Program(port),
        system(),
        Error::RolledBack(Box::new(Error::Kernel(refused()))),
        Error::NotRolledBack { why: Box::new(Error::Kernel(refused())), rollback: Box::new(system()) },
    ] {
        let text = chain(&error);
        assert!(
            text.matches("os error").count() <= 2 && text.matches("(os error 16)").count() <= 1,
            "{text}"
        );
        assert!(text.matches("(os error 2)").count() <= 1, "{text}");
        let (kind, errno) = (error.kind(), error.errno());
        let expected = if errno == Some(2) { ErrorKind::NotFound } else { ErrorKind::Busy };
        assert_eq!(kind, expected, "{text}");
    }
}
