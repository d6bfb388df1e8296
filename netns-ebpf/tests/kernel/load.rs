//! Loading, where it is not allowed.

use std::thread;

use aya::programs::loaded_programs;
use netns_ebpf::{Monitor, MonitorError, MonitorOptions};

use crate::harness::{privileged, privileged_since};

/// Runs something on a thread without capabilities.
fn without_capabilities<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    let drop_all = || {
        // Version 3, this thread; effective, permitted and inheritable, twice 32 bits of each.
        let header = Header { version: 0x2008_0522, pid: 0 };
        let nothing = [0_u32; 6];
        // SAFETY: both point to what capset(2) reads for version 3, and it writes nothing.
        let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, nothing.as_ptr()) };
        assert_eq!(result, 0, "a thread may always have less");
    };
    thread::scope(|scope| {
        scope
            .spawn(|| {
                drop_all();
                f()
            })
            .join()
            .unwrap()
    })
}

#[test]
fn without_the_right_the_error_names_it() {
    let error = without_capabilities(|| Monitor::load(&MonitorOptions::default()).unwrap_err());
    assert!(matches!(error, MonitorError::Privilege { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("Operation not permitted") && text.contains("CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"),
        "{text}"
    );
}

/// Whether this kernel is older than the program needs. If so it says that, and keeps what the verifier wrote to itself.
pub(crate) fn is_too_old(test: &str) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    if (numbers.next().unwrap(), numbers.next().unwrap()) >= (5, 12) {
        return false;
    }
    let error = Monitor::load(&MonitorOptions::default()).unwrap_err();
    assert!(matches!(error, MonitorError::TooOld { .. }) && error.is_refusal(), "{error}");
    assert!(error.to_string().contains("Linux 5.12") && !error.to_string().contains('\n'), "{error}");
    assert!(error.verifier_log().is_some_and(|log| log.contains("processed ")), "{error}");
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("SKIPPED: {test} needs Linux 5.12, this is {release}").as_bytes(),
    );
    true
}

#[test]
fn an_old_kernel_is_known_as_one_and_every_other_takes_the_program() {
    const TEST: &str = "an_old_kernel_is_known_as_one_and_every_other_takes_the_program";
    if !privileged(TEST) || is_too_old(TEST) {
        return;
    }
    Monitor::load(&MonitorOptions::default()).unwrap();
    let error = without_capabilities(|| Monitor::load(&MonitorOptions::default()).unwrap_err());
    assert!(error.is_refusal() && error.verifier_log().is_none(), "{error}");
}

#[test]
fn no_slots_are_too_few() {
    let error = Monitor::load(&MonitorOptions { slots: 0, ..MonitorOptions::default() }).unwrap_err();
    assert!(matches!(error, MonitorError::NoSlots) && !error.is_refusal());
}

/// A million is the most that the verifier follows. Kernels count differently, so half of it is kept free; and what is followed
/// for a long time is what makes loading slow.
#[test]
fn the_verifier_is_far_from_its_most_whatever_is_asked_for() {
    const TEST: &str = "the_verifier_is_far_from_its_most_whatever_is_asked_for";
    if !privileged_since(TEST, (5, 16), "verified_insns") {
        return;
    }
    let nothing = MonitorOptions { slots: 2, ..MonitorOptions::default() };
    let everything = MonitorOptions {
        limits: true,
        scopes: true,
        egress: 4,
        verdicts: 16,
        barrier: true,
        ..nothing.clone()
    };
    for (what, options) in [
        ("nothing", nothing.clone()),
        ("limits", MonitorOptions { limits: true, ..nothing.clone() }),
        ("scopes", MonitorOptions { scopes: true, ..nothing.clone() }),
        ("egress", MonitorOptions { egress: 4, ..nothing.clone() }),
        ("verdicts", MonitorOptions { verdicts: 16, ..nothing }),
        ("everything", everything),
    ] {
        let monitor = Monitor::load(&options).unwrap();
        for id in monitor.program_ids() {
            let program = loaded_programs().flatten().find(|program| program.id() == id).unwrap();
            let followed = program.verified_instruction_count().unwrap();
            eprintln!("{what}: {followed}");
            assert!(followed < 500_000, "{what}: {followed}");
        }
    }
}
