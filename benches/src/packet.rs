//! What the program costs a frame: run in the kernel over honest frames, without a network around it, beside a program
//! that does nothing.

use crate::report::Row;
use crate::samples::Samples;
use crate::{Result, empty, goals};
use netns_core::tc::Direction;
use netns_ebpf::attack::{Party, cases};
use netns_ebpf::packet::{Reason, Rules};
use netns_ebpf::{Monitor, MonitorOptions, Policy, test_run};
use std::os::fd::AsFd;

/// How often each is run, and over how many frames, of whose times the kernel gives the mean.
const TURNS: usize = 31;
const FRAMES: u32 = 20_000;
/// How long judging a TCP segment over IPv4 may take, in microseconds.
const MOST: f64 = 0.045;

const FROM: Party = Party::numbered(1);
const TO: Party = Party::numbered(2);

/// The honest frames, by name.
///
/// # Panics
/// If the table of attacks no longer has them.
#[must_use]
pub fn frames() -> [(&'static str, Vec<u8>); 5] {
    let near = |reason, what| {
        let case = cases(&FROM, &TO).into_iter().find(|case| case.reason == reason && case.what == what);
        case.expect("a case of the table").near
    };
    let mut tcp6 = near(Reason::Ipv6Version, "4");
    // TCP in place of UDP, with the header's length and flags where they belong.
    tcp6[20] = 6;
    tcp6[66] = 5 << 4;
    tcp6[67] = 0x10;
    [
        ("tcp-ipv4", near(Reason::TcpFlags, "none")),
        ("tcp-ipv6", tcp6),
        ("udp-ipv4", near(Reason::Ipv4Checksum, "one bit")),
        ("arp", near(Reason::ArpMalformed, "RARP")),
        ("neighbour-solicitation", near(Reason::NdLinkLayer, "source, behind a nonce")),
    ]
}

/// A policy that they obey.
///
/// # Errors
/// If a policy has no room for two addresses.
pub fn policy() -> Result<Policy> {
    Ok(Policy::new(Rules::new(FROM.mac).with_ipv4(FROM.v4, 32)?.with_ipv6(FROM.v6, 128)?))
}

/// Judging each of them, beside an empty program, in turns.
///
/// # Errors
/// If the kernel refuses.
pub fn packet() -> Result<Vec<Row>> {
    let (monitor, empty) = (Monitor::load(&MonitorOptions::default())?, empty::load()?);
    monitor.set_unassigned_policy(Some(&policy()?))?;
    let mut rows = Vec::new();
    for (name, frame) in frames() {
        let (mut ours, mut bare) = (Samples::default(), Samples::default());
        for _ in 0..TURNS {
            ours.push(monitor.test_run(Direction::Ingress, &frame, FRAMES)?.duration);
            bare.push(test_run(empty.as_fd(), &frame, FRAMES)?.duration);
        }
        let name_of_row = format!("program, a frame counted and judged, {name}");
        let row = goals::samples_at_most(&name_of_row, &ours, "an empty program", &bare, None);
        let has_goal = name == "tcp-ipv4";
        rows.push(Row {
            goal: has_goal.then(|| format!("at most {:.0} ns", MOST * 1e3)),
            met: has_goal.then_some(row.ours_us <= MOST),
            ..row
        });
    }
    match monitor.unassigned_violations().total() {
        0 => Ok(rows),
        some => Err(format!("{some} frames of honest hosts were taken for violations").into()),
    }
}
