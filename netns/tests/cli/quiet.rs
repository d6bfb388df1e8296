//! `netns observe --quiet`, as a service runs it.

use crate::observe::{make_bridge, plug_in};
use crate::watched::Watched;
use crate::xtask;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use tests::{in_host, tc};

#[test]
fn a_quiet_observer_reports_that_it_watches_and_then_only_events() {
    in_host(|_| {
        make_bridge();
        plug_in(1);
        let socket = UnixDatagram::bind("/run/notify").unwrap();
        socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let mut command = xtask("observe br0 --quiet --json --interval 0.01");
        let mut observe = Watched::start_command(command.env("NOTIFY_SOCKET", "/run/notify"));
        let mut message = [0; 64];
        let length = socket.recv(&mut message).unwrap();
        assert_eq!(&message[..length], b"READY=1\n");
        // It did not report this too early.
        assert!(tc("filter show dev v1 ingress").contains("bpf"));
        plug_in(2);
        let mut types = Vec::new();
        observe.line("it came", |line| {
            types.push(line["type"].as_str().unwrap_or_default().to_owned());
            line["event"] == "came" && line["port"] == "v2"
        });
        // Making a port takes longer than many intervals.
        assert!(types.iter().all(|kind| kind != "counters"), "{types:?}");
        let end = observe.end("TERM");
        assert_eq!((end.code, end.err.as_str()), (Some(0), ""));
        assert!(!end.out.contains("counters"), "{}", end.out);
    });
}
