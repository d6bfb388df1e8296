//! Loading, where it is not allowed.

use std::thread;

use netns_ebpf::{Monitor, MonitorError, MonitorOptions};

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
    assert!(text.contains("Operation not permitted") && text.contains("CAP_BPF and CAP_NET_ADMIN"), "{text}");
}

#[test]
fn no_slots_are_too_few() {
    let error = Monitor::load(&MonitorOptions { slots: 0, ..MonitorOptions::default() }).unwrap_err();
    assert!(matches!(error, MonitorError::NoSlots));
}
