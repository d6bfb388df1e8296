//! `--verdicts`: the verdicts on the frames that ports sent, by destination.

use super::list_limit::ListLimit;
use crate::output::human;
use netns_ebpf::packet::Reason;
use netns_ebpf::{DestinationVerdict, Ends, PortReading, Reading};
use netns_topology::LinkName;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::io::{self, Write};

/// How many are listed by default: for programs, and for people.
pub(super) const LISTED: ListLimit = ListLimit::Busiest(100);
const SHOWN: ListLimit = ListLimit::Busiest(16);

/// Where a frame was sent: the destination (empty if it is not IP), and protocol and port as rules write a service.
pub(super) fn destination(verdict: &DestinationVerdict) -> [String; 2] {
    let Some((address, protocol)) = verdict.to else { return [String::new(), "not-ip".to_owned()] };
    let name = match protocol {
        1 | 58 => "icmp",
        6 => "tcp",
        17 => "udp",
        132 => "sctp",
        _ => return [address.to_string(), format!("protocol/{protocol}")],
    };
    let service = verdict.port.map_or_else(|| name.to_owned(), |port| format!("{name}/{port}"));
    [address.to_string(), service]
}

/// The busiest of a reading, and how many are left out.
pub(super) fn busiest(now: &Reading, limit: ListLimit) -> (Vec<DestinationVerdict>, usize) {
    let verdicts = now.verdicts.iter().copied();
    let listed = DestinationVerdict::busiest(verdicts, limit.number().unwrap_or(usize::MAX));
    let left_out = now.verdicts.len() - listed.len();
    (listed, left_out)
}

/// Whether they are counted.
pub(super) fn are_counted(now: &Reading) -> bool {
    now.ports.iter().any(|port| port.lost_verdicts.is_some())
}

/// For people. `limit` is what was asked for.
pub(super) fn print(out: &mut impl Write, now: &Reading, limit: Option<ListLimit>) -> io::Result<()> {
    let (listed, left_out) = busiest(now, limit.unwrap_or(SHOWN));
    let ends = now.ends();
    for verdict in &listed {
        let name = ends.port(verdict.from).map_or_else(String::new, |port| port.info.name.to_string());
        line(out, &name, verdict)?;
    }
    if left_out > 0 {
        writeln!(out, "and {left_out} destinations with less traffic")?;
    }
    for (port, packets) in now.ports.iter().filter_map(lost) {
        let name = port.info.name;
        writeln!(out, "{name:<15}{:>8}  had no room in the table of destinations", human(packets))?;
    }
    Ok(())
}

/// A line for people.
fn line(out: &mut impl Write, name: &str, verdict: &DestinationVerdict) -> io::Result<()> {
    let [address, service] = destination(verdict);
    let reason = verdict.decision.reason().map_or("", Reason::name);
    let decision = verdict.decision.name();
    let (packets, bytes) = (human(verdict.packets), human(verdict.bytes));
    writeln!(out, "{name:<15}{packets:>8}{bytes:>8}  {decision:<10} {reason:<8} {address} {service}")
}

/// Those of a topology for people, the ones of which most was sent.
pub(crate) fn print_of_lab(
    out: &mut impl Write,
    mut verdicts: Vec<(LinkName, DestinationVerdict)>,
) -> io::Result<()> {
    verdicts.sort_by_key(|(_, verdict)| Reverse(verdict.bytes));
    let shown = SHOWN.number().unwrap_or(usize::MAX);
    for (port, verdict) in verdicts.iter().take(shown) {
        line(out, &port.to_string(), verdict)?;
    }
    match verdicts.len().saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(out, "and {more} destinations to which less was sent"),
    }
}

/// All of them, for programs.
pub(crate) fn json_of_lab(verdicts: &[(LinkName, DestinationVerdict)]) -> Value {
    let one = |(port, verdict): &(LinkName, DestinationVerdict)| {
        let mut line = described(verdict);
        line["place"] = json!(port.place);
        line["port"] = port.name.as_str().into();
        line
    };
    verdicts.iter().map(one).collect()
}

/// How many frames of a port had no room, if any.
fn lost(port: &PortReading) -> Option<(&PortReading, u64)> {
    port.lost_verdicts.filter(|lost| lost.packets > 0).map(|lost| (port, lost.packets))
}

/// One of them, for programs.
pub(super) fn json(verdict: &DestinationVerdict, ends: &Ends<'_>) -> Value {
    let port = ends.port(verdict.from);
    let mut line = described(verdict);
    line["port"] = port.map(|port| port.info.name.to_string()).into();
    line["namespace"] = port.map(|port| port.info.behind.namespace().label()).into();
    line
}

/// What is said of one whosever it is.
fn described(verdict: &DestinationVerdict) -> Value {
    let [_, service] = destination(verdict);
    json!({
        "destination": verdict.to.map(|(address, _)| address.to_string()), "protocol": verdict.to.map(|(_, number)| number),
        "destination_port": verdict.port, "service": service,
        "verdict": verdict.decision.name(), "reason": verdict.decision.reason().map(Reason::name),
        "packets": verdict.packets, "bytes": verdict.bytes,
        "first_ns": verdict.first.as_nanos() as u64, "last_ns": verdict.last.as_nanos() as u64,
    })
}
