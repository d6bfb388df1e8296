//! Tests without a kernel.

use super::MonitorError;
use netns_core::{Cause, ErrorKind, Operation};
use std::error::Error;
use std::io;

fn refused(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

#[test]
fn a_refusal_is_a_sentence_and_the_verifiers_log_stands_beside_it() {
    let log = "0: (18) r1 = 0x0\ninvalid access to memory\nprocessed 1 insns".to_owned();
    let kernel = "6.1.0-41-amd64".to_owned();
    let verifier = MonitorError::Verifier {
        program: "port_ingress",
        kernel: kernel.clone(),
        log: log.clone(),
        source: refused(libc::EACCES),
    };
    assert_eq!(
        verifier.to_string(),
        "the verifier of this kernel (6.1.0-41-amd64) refused the eBPF program port_ingress: Permission denied (os error 13)"
    );
    assert_eq!(verifier.verifier_log(), Some(log.as_str()));
    let old = MonitorError::TooOld { kernel, log: String::new(), source: refused(libc::EINVAL) };
    assert_eq!(
        old.to_string(),
        "this kernel (6.1.0-41-amd64) is older than the eBPF program needs: Linux 5.12 (atomic compare-and-exchange in \
         programs)"
    );
    assert_eq!(old.verifier_log(), None, "it did not come to that");
    assert!(verifier.is_refusal() && old.is_refusal());
}

#[test]
fn what_is_nobodys_refusal_is_none() {
    let operation = || "create the map COUNTERS".to_owned();
    assert!(MonitorError::Kernel { operation: operation(), source: refused(libc::ENOMEM) }.is_refusal());
    assert!(
        !MonitorError::Descriptors { operation: operation(), source: refused(libc::EMFILE) }.is_refusal()
    );
    assert!(!MonitorError::NoSlots.is_refusal());
}

/// As `anyhow` prints an error: what it displays, and all its sources.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[test]
fn an_error_and_its_sources_say_nothing_twice() {
    let operation = || "create the map COUNTERS".to_owned();
    let port = || {
        let cause = Cause::Refused { errno: libc::EBUSY, message: None, attribute: None };
        netns_core::Error::new(Operation::AddQdisc, "clsact", cause)
    };
    let busy = || refused(libc::EBUSY);
    for (error, kind) in [
        (MonitorError::Kernel { operation: operation(), source: busy() }, ErrorKind::Busy),
        (MonitorError::Load { operation: operation(), source: busy().into() }, ErrorKind::Busy),
        (MonitorError::Descriptors { operation: operation(), source: busy() }, ErrorKind::Exhausted),
        (MonitorError::Missing { what: "maps", source: busy() }, ErrorKind::Unsupported),
        (
            MonitorError::TooOld { kernel: "5.10".to_owned(), log: String::new(), source: busy() },
            ErrorKind::Unsupported,
        ),
        (MonitorError::Port { operation: "attach to", ifindex: 7, source: port() }, ErrorKind::Busy),
    ] {
        let text = chain(&error);
        assert_eq!(text.matches("(os error 16)").count(), 1, "{text}");
        assert_eq!((error.kind(), error.errno()), (kind, Some(libc::EBUSY)), "{text}");
    }
    assert_eq!(MonitorError::NoSlots.errno(), None);
}
