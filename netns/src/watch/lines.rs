//! What passes, as lines: tables for people, or JSON objects.

use super::change::{self, unmatched};
use super::destinations;
use super::heads::{distinct, short};
use super::list_limit::ListLimit;
use super::violation::{self, reasons};
use crate::failure::Failure;
use crate::outlet::Outlet;
use crate::output::{human, json_line};
use netns_core::IfName;
use netns_ebpf::layout::{Traffic, Violations};
use netns_ebpf::packet::TrafficScope;
use netns_ebpf::{
    Ends, OverLimits, Pair, PortChange, PortIdentity, PortRates, PortReading, Quota, Rate, Reading, Slot,
    Violation,
};
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Instant;

/// Up to this many ports all are printed; of more, the busiest.
const MANY: usize = 16;
/// Up to this many ports, pairs are printed as a matrix.
const MATRIX: usize = 8;

/// How long the name behind a port, and the name of an end of a pair, may be in a line of 80 columns.
const LABEL: usize = 15;
const END: usize = 20;

/// Prints what passes.
pub(super) struct Lines<'a> {
    pub(super) out: &'a mut Outlet,
    pub(super) json: bool,
    /// Whether counters are left out.
    pub(super) quiet: bool,
    /// How many pairs a reading lists in JSON.
    pub(super) pairs: ListLimit,
    /// How many destinations a reading lists, if a number was given.
    pub(super) verdicts: Option<ListLimit>,
    pub(super) started: Instant,
    /// The names by which ports were last mentioned, by their index.
    pub(super) names: HashMap<u32, IfName>,
}

impl Lines<'_> {
    /// Something became of a port.
    pub(super) fn change(&mut self, change: &PortChange) -> Result<(), Failure> {
        change::warn(change);
        let (event, port, why) = match change {
            PortChange::Came(port) => ("came", port, None),
            PortChange::Known(port) => match self.renamed(port) {
                Some(before) => return self.rename(port, before),
                None => ("known", port, None),
            },
            PortChange::Left(last) => ("left", &last.info, None),
            PortChange::Unjudged(port) => ("unjudged", port, Some(unmatched(port))),
            PortChange::Closed(port) => ("closed", port, Some(unmatched(port))),
            // A reader of the lines need not read stderr.
            PortChange::Refused { name, closed, error, .. } if self.json => {
                let (event, why) = ("refused", error.to_string());
                let line = json!({
                    "type": "port", "event": event, "port": name.to_string(), "closed": closed, "why": why,
                });
                return Ok(json_line(self.out, &line)?);
            }
            PortChange::CountedApart { port, why } => {
                let name = port.name.to_string();
                if !self.json {
                    return Ok(writeln!(self.out, "{name}: {why}")?);
                }
                let line = json!({
                    "type": "port", "event": "counted-apart", "port": name, "why": why.to_string(),
                });
                return Ok(json_line(self.out, &line)?);
            }
            PortChange::BridgeGone if self.json => {
                return Ok(json_line(self.out, &json!({ "type": "bridge", "event": "gone" }))?);
            }
            PortChange::EnforcementLost { what, is_restored } if self.json => {
                let line = json!({
                    "type": "enforcement", "event": "lost", "what": what, "restored": is_restored,
                });
                return Ok(json_line(self.out, &line)?);
            }
            PortChange::Hidden { what, error } if self.json => {
                let why = error.to_string();
                let line = json!({ "type": "namespace", "event": "hidden", "what": what, "why": why });
                return Ok(json_line(self.out, &line)?);
            }
            _ => return Ok(()),
        };
        if self.json {
            let mut line = json!({
                "type": "port", "event": event, "port": port.name.to_string(),
                "namespace": port.behind.namespace().label(), "container": port.behind.container(),
                "ifindex": port.ifindex,
            });
            if let Some(why) = why {
                line["why"] = why.into();
            }
            return Ok(json_line(self.out, &line)?);
        }
        writeln!(self.out, "{event:<5} {port}")?;
        Ok(self.out.flush()?)
    }

    /// The name that a port had before it was renamed.
    fn renamed(&mut self, port: &PortIdentity) -> Option<IfName> {
        self.names.insert(port.ifindex, port.name).filter(|before| *before != port.name)
    }

    fn rename(&mut self, port: &PortIdentity, before: IfName) -> Result<(), Failure> {
        if self.json {
            let line = json!({
                "type": "port", "event": "renamed", "port": port.name.to_string(), "before": before.to_string(),
                "namespace": port.behind.namespace().label(), "container": port.behind.container(),
                "ifindex": port.ifindex,
            });
            return Ok(json_line(self.out, &line)?);
        }
        writeln!(self.out, "{port} was {before} before")?;
        Ok(self.out.flush()?)
    }

    /// The counters, with the rates since the last time; `false` if they were left out because earlier ones are still
    /// waiting to be read.
    pub(super) fn counters(&mut self, now: &Reading, before: &Reading) -> Result<bool, Failure> {
        if self.out.is_behind() {
            return Ok(false);
        }
        self.left_out()?;
        self.names.clear();
        self.names.extend(now.ports.iter().map(|port| (port.info.ifindex, port.info.name)));
        if self.quiet {
            return Ok(true);
        }
        let time = now.taken - self.started;
        if self.json {
            json_line(self.out, &json(now, time.as_secs_f64(), self.pairs, self.verdicts))?;
            return Ok(true);
        }
        writeln!(self.out)?;
        self.ports(&format!("{:.1} s", time.as_secs_f64()), now, before)?;
        self.violations(now)?;
        self.over_limits(now)?;
        self.scopes(now)?;
        destinations::print(self.out, now, self.verdicts)?;
        self.pairs(now)?;
        self.out.flush()?;
        Ok(true)
    }

    /// How many lines were not read in time.
    fn left_out(&mut self) -> Result<(), Failure> {
        match self.out.left_out() {
            0 => {}
            lines if self.json => json_line(self.out, &json!({ "type": "left_out", "lines": lines }))?,
            lines => {
                writeln!(self.out, "{lines} lines were left out, since they were not read in time")?;
                self.out.flush()?;
            }
        }
        Ok(())
    }

    /// The violations that the program has reported since the last call.
    pub(super) fn violation_events(&mut self, violations: &[Violation]) -> Result<(), Failure> {
        for violation in violations {
            if self.json {
                json_line(self.out, &violation::json(violation))?;
            } else {
                writeln!(self.out, "{}", violation::line(violation))?;
            }
        }
        Ok(self.out.flush()?)
    }

    /// Violations by port; mostly there are none.
    fn violations(&mut self, now: &Reading) -> io::Result<()> {
        for port in &now.ports {
            for (reason, packets) in port.violations.iter().flat_map(Violations::iter) {
                writeln!(self.out, "{:<15}{:>8}  {reason}", port.info.name, human(packets))?;
            }
        }
        Ok(())
    }

    /// What was over the ports' limits, and what is left of their quotas.
    fn over_limits(&mut self, now: &Reading) -> io::Result<()> {
        for port in &now.ports {
            let Some((limits, over)) = &port.limits else { continue };
            if over.packets() > 0 {
                let (name, packets) = (port.info.name, human(over.packets()));
                writeln!(self.out, "{name:<15}{packets:>8}  over its limit, {limits}")?;
            }
            let Quota { outgoing, incoming, total } = over.remaining;
            for (of, left) in [("total", total), ("in", incoming), ("out", outgoing)] {
                if let Some(left) = left {
                    let (name, left) = (port.info.name, human(left));
                    writeln!(self.out, "{name:<15}{left:>8}  bytes left of its quota, {of}")?;
                }
            }
        }
        Ok(())
    }

    /// Bytes by port and scope, out and in, where there are any.
    fn scopes(&mut self, now: &Reading) -> io::Result<()> {
        for port in &now.ports {
            let Some(scopes) = &port.scopes else { continue };
            write!(self.out, "{:<15}", port.info.name)?;
            for scope in TrafficScope::ALL {
                let (to, from) = (scopes.to(scope), scopes.from(scope));
                if to.packets + from.packets > 0 {
                    write!(self.out, "  {} {} out {} in", scope.name(), human(to.bytes), human(from.bytes))?;
                }
            }
            writeln!(self.out)?;
        }
        Ok(())
    }

    fn ports(&mut self, heading: &str, now: &Reading, before: &Reading) -> io::Result<()> {
        let mut rows: Vec<(&PortReading, PortRates)> = now.ports.iter().zip(now.rates(before)).collect();
        if rows.len() > MANY {
            rows.sort_by_key(|(port, _)| Reverse(port.counters.rx.bytes + port.counters.tx.bytes));
        }
        let left_out = rows.len().saturating_sub(MANY);
        rows.truncate(MANY);
        let labels: Vec<String> = rows.iter().map(|(port, _)| label_beside(&port.info)).collect();
        // Where ports are labelled with who is behind them, the numbers move together, so that a line fits 80 columns.
        let is_labelled = labels.iter().any(|label| !label.is_empty());
        let (number, from, to, packets) =
            if is_labelled { (6, 20, 26, "pkts") } else { (8, 26, 30, "packets") };
        let columns = [packets, "bytes", "pkt/s", "bit/s"];
        writeln!(self.out, "{heading:>15}{:>from$}{:>to$}", "from the namespace", "to the namespace")?;
        write!(self.out, "{:<15}", "port")?;
        for column in columns.iter().chain(&columns) {
            write!(self.out, "{column:>number$}")?;
        }
        writeln!(self.out, "{}", if is_labelled { "  namespace" } else { "" })?;
        for ((port, rates), label) in rows.into_iter().zip(distinct(&labels, LABEL)) {
            write!(self.out, "{:<15}", port.info.name)?;
            self.way(port.counters.rx, rates.rx, number)?;
            self.way(port.counters.tx, rates.tx, number)?;
            let gap = if label.is_empty() { "" } else { "  " };
            writeln!(self.out, "{gap}{label}")?;
        }
        if left_out > 0 {
            writeln!(self.out, "and {left_out} ports with less traffic")?;
        }
        Ok(())
    }

    fn way(&mut self, traffic: Traffic, rate: Rate, width: usize) -> io::Result<()> {
        for number in [traffic.packets, traffic.bytes, rate.packets, rate.bits] {
            write!(self.out, "{:>width$}", human(number))?;
        }
        Ok(())
    }

    /// Which senders found no room in the table of pairs.
    fn lost_pairs(&mut self, now: &Reading) -> io::Result<()> {
        if now.lost.packets == 0 {
            return Ok(());
        }
        let (packets, bytes) = (human(now.lost.packets), human(now.lost.bytes));
        write!(self.out, "the table of pairs has no room for {packets} packets, {bytes} bytes")?;
        let senders = now.ports.iter().filter(|port| port.lost.packets > 0);
        match senders.max_by_key(|port| port.lost.packets) {
            Some(most) => writeln!(self.out, "; most are from {}", most.info),
            None => writeln!(self.out),
        }
    }

    fn pairs(&mut self, now: &Reading) -> io::Result<()> {
        self.lost_pairs(now)?;
        if now.pairs.is_empty() {
            return Ok(());
        }
        if now.ports.len() > MATRIX {
            let ends = now.ends();
            writeln!(self.out, "{} pairs, the busiest:", now.pairs.len())?;
            for pair in Pair::busiest(now.pairs.iter().copied(), MATRIX) {
                let [from, to] =
                    [ends.title(pair.from), ends.title(Some(pair.to))].map(|end| short(&end, END));
                let (packets, bytes) = (pair.packets, human(pair.bytes));
                writeln!(self.out, "{from:>8} -> {to:<8} {packets:>10} packets {bytes:>8} bytes")?;
            }
            return Ok(());
        }
        write!(self.out, "{:<15}", "bytes, to")?;
        let titles: Vec<String> = now.ports.iter().map(|port| port.info.title()).collect();
        for to in distinct(&titles, 7) {
            write!(self.out, "{to:>8}")?;
        }
        writeln!(self.out)?;
        for (port, title) in now.ports.iter().zip(distinct(&titles, 10)) {
            self.matrix_row(&title, Some(port.info.slot), now)?;
        }
        if now.pairs.iter().any(|pair| pair.from.is_none()) {
            self.matrix_row(Ends::HOST, None, now)?;
        }
        Ok(())
    }

    fn matrix_row(&mut self, title: &str, from: Option<Slot>, now: &Reading) -> io::Result<()> {
        write!(self.out, "from {title:<10}")?;
        for to in &now.ports {
            let pair = now.pairs.iter().find(|pair| pair.from == from && pair.to == to.info.slot);
            let bytes = pair.map_or_else(|| "-".to_owned(), |pair| human(pair.bytes));
            write!(self.out, "{bytes:>8}")?;
        }
        writeln!(self.out)
    }
}

/// Who is behind a port, if the port's name does not say so.
fn label_beside(port: &PortIdentity) -> String {
    let label = port.behind.label();
    if port.name.to_string().contains(&label) { String::new() } else { label }
}

fn json(now: &Reading, seconds: f64, limit: ListLimit, verdicts: Option<ListLimit>) -> Value {
    let ends = now.ends();
    let ports: Vec<Value> = now.ports.iter().map(port_json).collect();
    let pairs = match limit.number() {
        Some(most) if most < now.pairs.len() => ends.sorted(Pair::busiest(now.pairs.iter().copied(), most)),
        _ => ends.sorted_pairs(),
    };
    let left_out = now.pairs.len() - pairs.len();
    let pairs: Vec<Value> = pairs.iter().map(|pair| pair_json(pair, &ends)).collect();
    let mut json = json!({
        "type": "counters", "t": (seconds * 1e3).round() / 1e3, "counters": now.counted_by.name(), "ports": ports,
        "pairs": pairs, "pairs_left_out": left_out,
        "lost_pairs": { "packets": now.lost.packets, "bytes": now.lost.bytes },
    });
    if destinations::are_counted(now) {
        let (listed, left_out) = destinations::busiest(now, verdicts.unwrap_or(destinations::LISTED));
        json["verdicts"] = listed.iter().map(|verdict| destinations::json(verdict, &ends)).collect();
        json["verdicts_left_out"] = left_out.into();
    }
    json
}

fn port_json(port: &PortReading) -> Value {
    let PortReading { info, counters, violations, lost, limits, scopes, lost_verdicts } = port;
    let mut json = json!({
        "port": info.name.to_string(), "namespace": info.behind.namespace().label(),
        "container": info.behind.container(), "ifindex": info.ifindex,
        "rx_packets": counters.rx.packets, "rx_bytes": counters.rx.bytes, "rx_segments": counters.rx.segments,
        "tx_packets": counters.tx.packets, "tx_bytes": counters.tx.bytes, "tx_segments": counters.tx.segments,
        "violations": violations.as_ref().map(|violations| reasons(violations.iter())),
        "dropped": violations.as_ref().map(Violations::dropped),
        "lost_pairs": { "packets": lost.packets, "bytes": lost.bytes },
    });
    if let Some((limits, over)) = limits {
        json["limits"] = limits.to_string().into();
        json["over_limits"] = over_json(over);
    }
    if let Some(lost) = lost_verdicts {
        json["lost_verdicts"] = json!({ "packets": lost.packets, "bytes": lost.bytes });
    }
    if let Some(scopes) = scopes {
        let passed = |scope: TrafficScope| {
            let (to, from) = (scopes.to(scope), scopes.from(scope));
            let value = json!({
                "out_packets": to.packets, "out_bytes": to.bytes, "in_packets": from.packets, "in_bytes": from.bytes,
            });
            (scope.name().to_owned(), value)
        };
        json["scopes"] = TrafficScope::ALL.into_iter().map(passed).collect::<Map<String, Value>>().into();
    }
    json
}

/// What was over a port's limits.
pub(crate) fn over_json(over: &OverLimits) -> Value {
    let OverLimits { limited_rx, limited_tx, over_quota_rx, over_quota_tx, used, remaining } = over;
    json!({
        "limited_rx_packets": limited_rx.packets, "limited_rx_bytes": limited_rx.bytes,
        "limited_tx_packets": limited_tx.packets, "limited_tx_bytes": limited_tx.bytes,
        "over_quota_rx_packets": over_quota_rx.packets, "over_quota_rx_bytes": over_quota_rx.bytes,
        "over_quota_tx_packets": over_quota_tx.packets, "over_quota_tx_bytes": over_quota_tx.bytes,
        "quota_out_bytes": used.outgoing, "quota_in_bytes": used.incoming, "quota_bytes": used.total,
        "quota_out_remaining_bytes": remaining.outgoing, "quota_in_remaining_bytes": remaining.incoming,
        "quota_remaining_bytes": remaining.total,
    })
}

fn pair_json(pair: &Pair, ends: &Ends<'_>) -> Value {
    let port = |slot: Slot| ends.port(slot).map(|port| port.info.name.to_string());
    json!({
        "from": ends.title(pair.from), "to": ends.title(Some(pair.to)), "from_port": pair.from.and_then(port),
        "to_port": port(pair.to), "packets": pair.packets, "bytes": pair.bytes,
    })
}
