//! Tests without a kernel.

use std::io;

use super::MonitorError;

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
