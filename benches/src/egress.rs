//! What an egress policy costs a frame to one of a hundred destinations in use, by how many networks it names: run in
//! the kernel over frames, in turns with the same programs at a port without a policy, and with programs that look for
//! none.

use crate::Result;
use crate::goals;
use crate::packet::frames;
use crate::report::Row;
use crate::samples::Samples;
use netns_core::tc::Direction;
use netns_ebpf::packet::{EgressPrefix, EgressRule};
use netns_ebpf::{EgressRules, Mode, Monitor, MonitorOptions};
use std::net::Ipv4Addr;
use std::time::Duration;

const TURNS: usize = 9;
const DESTINATIONS: usize = 100;
/// How often a frame is run before the next one's turn.
const REPEAT: u32 = 20;
/// What a policy may cost a frame, compared with a port without one, in microseconds.
const MOST: f64 = 0.040;
const MOST_WITHOUT: f64 = 0.002;

/// Numbers that look random and are the same every time.
fn random(mut state: u64) -> impl Iterator<Item = u64> {
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}

/// Addresses from 16.0.0.0 to 79.255.255.255, in which no list has anything.
fn addresses(count: usize) -> impl Iterator<Item = Ipv4Addr> {
    random(0x2545_F491_4F6C_DD1D).take(count).map(|number| Ipv4Addr::from((number as u32 >> 2) + 0x1000_0000))
}

/// The mean of a frame's time to each destination.
fn run(monitor: &Monitor, frames: &[Vec<u8>]) -> Result<Duration> {
    let mut total = Duration::ZERO;
    for frame in frames {
        let run = monitor.test_run(Direction::Ingress, frame, REPEAT)?;
        if run.dropped {
            return Err("a frame to an allowed destination was dropped".into());
        }
        total += run.duration;
    }
    Ok(total / u32::try_from(frames.len())?)
}

/// A row for each size, and one for a port without a policy.
///
/// # Errors
/// If the kernel refuses.
pub fn egress() -> Result<Vec<Row>> {
    let [(_, tcp), ..] = frames();
    let to = |address: Ipv4Addr| {
        let mut frame = tcp.clone();
        frame[30..34].copy_from_slice(&address.octets());
        frame
    };
    let frames: Vec<_> = addresses(DESTINATIONS).map(to).collect();
    let none = Monitor::load(&MonitorOptions::default())?;
    let monitor = Monitor::load(&MonitorOptions { egress: 1, ..MonitorOptions::default() })?;
    let policy = monitor.add_egress(&EgressRules::new())?;
    let mut rows = Vec::new();
    for count in [DESTINATIONS, 10_000, 100_000] {
        let allow = addresses(count).map(|address| EgressRule::allow(EgressPrefix::v4(address, 32)));
        monitor.replace_egress(policy, &EgressRules::new().refusing_others().with_all(allow))?;
        let mut samples = <[Samples; 3]>::default();
        for _ in 0..TURNS {
            samples[0].push(run(&none, &frames)?);
            monitor.set_unassigned_egress(None)?;
            samples[1].push(run(&monitor, &frames)?);
            monitor.set_unassigned_egress(Some((policy, Mode::Enforce)))?;
            samples[2].push(run(&monitor, &frames)?);
        }
        let [off, without, with] = &samples;
        if rows.is_empty() {
            let name = "program, a frame of a port without an egress policy";
            rows.push(more(
                goals::samples_at_most(name, without, "programs that look for none", off, None),
                MOST_WITHOUT,
            ));
        }
        let name = format!("program, a frame with an egress policy of {count} networks");
        rows.push(more(goals::samples_at_most(&name, with, "programs that look for none", off, None), MOST));
    }
    Ok(rows)
}

/// With the goal of taking at most this much longer than the other.
fn more(row: Row, most: f64) -> Row {
    let met = row.peer_us.map(|peer| row.ours_us - peer <= most);
    Row { goal: Some(format!("at most {most} us more")), met, ..row }
}
