//! What a run prints: lines for people, or JSON objects, one a line.

use super::attack::Attacked;
use super::counters::{PairCount, Port, Snapshot, Verdict};
use super::pings::{PingResult, PingRoute};
use super::plan::Plan;
use crate::failure::Failure;
use crate::output::{human, json_line, micros, millis, per_second};
use netns_ebpf::Event;
use netns_ebpf::layout::Violations;
use netns_ebpf::packet::Reason;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::{self, StdoutLock, Write};
use std::time::Duration;

/// Up to this many ports and namespaces, everything is printed; of more, the busiest.
const MANY: usize = 16;
/// Up to this many namespaces, pairs are printed as a matrix.
const MATRIX: usize = 8;

/// Prints.
#[derive(Debug)]
pub(crate) struct Report {
    out: StdoutLock<'static>,
    json: bool,
    steps: Vec<(String, Duration)>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) pings: usize,
    pub(crate) pings_ok: usize,
    /// Whether an attack went as it should.
    pub(crate) attack: Option<bool>,
    /// What the namespaces sent and may not, by reason.
    pub(crate) violations: Vec<(Reason, u64)>,
    pub(crate) verdict: Verdict,
    pub(crate) leftovers: Vec<String>,
    pub(crate) kept: Vec<String>,
}

impl Report {
    pub(crate) fn new(out: StdoutLock<'static>, json: bool) -> Self {
        Self { out, json, steps: Vec::new() }
    }

    /// A step that was taken, and its time. Of many, the later ones are summed up by [`Report::setup`].
    pub(crate) fn step(&mut self, name: &str, time: Duration) {
        self.steps.push((name.to_owned(), time));
        if !self.json && self.steps.len() <= 4 + MANY {
            // If nobody reads any more, the next line that must be read tells.
            let _ = writeln!(self.out, "{:>9}  {name}", millis(time)).and_then(|()| self.out.flush());
        }
    }

    /// Everything is built.
    pub(crate) fn setup(&mut self, plan: &Plan) -> Result<(), Failure> {
        let total: Duration = self.steps.iter().map(|(_, time)| *time).sum();
        let names: Vec<&str> = plan.members.iter().map(|member| member.name.as_str()).collect();
        if self.json {
            let steps: Vec<Value> = self
                .steps
                .iter()
                .map(|(name, time)| json!({ "name": name, "micros": micros(*time) }))
                .collect();
            let bridge = plan.has_host().then(|| plan.bridge.to_string());
            let line = json!({
                "type": "setup", "namespaces": names, "bridge": bridge, "micros": micros(total), "steps": steps,
            });
            return Ok(json_line(&mut self.out, &line)?);
        }
        if self.steps.len() > 4 + MANY {
            writeln!(self.out, "{:>9}  ... and {} more", "", self.steps.len() - 4 - MANY)?;
        }
        Ok(writeln!(self.out, "{:>9}  {} namespaces in all", millis(total), names.len())?)
    }

    pub(crate) fn ping(&mut self, route: &PingRoute, result: &PingResult) -> Result<(), Failure> {
        if self.json {
            let line = json!({
                "type": "ping", "from": route.from, "to": route.to, "address": route.address.to_string(),
                "ok": result.is_ok(), "rtt_us": result.rtt.map(micros),
            });
            return Ok(json_line(&mut self.out, &line)?);
        }
        match result.rtt {
            // A handful is worth a line each.
            Some(rtt) if self.steps.len() <= 4 + MATRIX => {
                let (from, to) = (&route.from, &route.to);
                writeln!(self.out, "{:>6} us  ping {from} -> {to} ({})", rtt.as_micros(), route.address)?;
            }
            Some(_) => {}
            None => {
                let (from, to) = (&route.from, &route.to);
                writeln!(self.out, "   FAILED  ping {from} -> {to} ({}): {}", route.address, result.why)?;
            }
        }
        Ok(())
    }

    pub(crate) fn pings_done(&mut self, pings: usize, answered: usize) -> Result<(), Failure> {
        if !self.json {
            writeln!(self.out, "{answered} of {pings} pings answered")?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// The counters, with the rates since the last time.
    pub(crate) fn counters(&mut self, t: Duration, now: &Snapshot, before: &Snapshot) -> Result<(), Failure> {
        if self.json {
            let ports: Vec<Value> = now.ports.iter().map(port_json).collect();
            let pairs: Vec<Value> = now.pairs.iter().map(pair_json).collect();
            let t = (t.as_secs_f64() * 1e3).round() / 1e3;
            let line = json!({ "type": "counters", "t": t, "ports": ports, "pairs": pairs });
            return Ok(json_line(&mut self.out, &line)?);
        }
        writeln!(self.out)?;
        self.ports(t, now, before)?;
        self.violations(now)?;
        self.pairs(now)?;
        Ok(self.out.flush()?)
    }

    fn ports(&mut self, t: Duration, now: &Snapshot, before: &Snapshot) -> io::Result<()> {
        let time = now.taken - before.taken;
        let heading = format!("{:.1} s", t.as_secs_f64());
        let columns = ["packets", "bytes", "pkt/s", "bit/s"];
        writeln!(self.out, "{heading:>15}{:>26}{:>30}", "from the namespace", "to the namespace")?;
        write!(self.out, "{:<15}", "port")?;
        for column in columns.iter().chain(&columns) {
            write!(self.out, "{column:>8}")?;
        }
        writeln!(self.out)?;
        let mut rows: Vec<(&Port, &Port)> = now.ports.iter().zip(&before.ports).collect();
        if rows.len() > MANY {
            rows.sort_by_key(|(port, _)| std::cmp::Reverse(port.counters.rx.bytes + port.counters.tx.bytes));
        }
        for (port, earlier) in rows.iter().take(MANY) {
            write!(self.out, "{:<15}", port.name)?;
            let (now, before) = (&port.counters, &earlier.counters);
            for (now, before) in [(now.rx, before.rx), (now.tx, before.tx)] {
                let packets = per_second(now.packets - before.packets, time);
                let bits = per_second((now.bytes - before.bytes) * 8, time);
                for number in [now.packets, now.bytes, packets, bits] {
                    write!(self.out, "{:>8}", human(number))?;
                }
            }
            writeln!(self.out)?;
        }
        if rows.len() > MANY {
            writeln!(self.out, "and {} ports with less traffic", rows.len() - MANY)?;
        }
        Ok(())
    }

    /// What ports sent and may not; nothing, mostly.
    fn violations(&mut self, now: &Snapshot) -> io::Result<()> {
        for port in &now.ports {
            for (reason, packets) in port.violations.iter().flat_map(Violations::iter) {
                writeln!(self.out, "{:<15}{:>8}  {reason}", port.name, human(packets))?;
            }
        }
        Ok(())
    }

    /// One violation, as it happened.
    pub(crate) fn violation(
        &mut self,
        event: &Event<'_>,
        port: &str,
        namespace: &str,
    ) -> Result<(), Failure> {
        if self.json {
            let frame = event.frame.iter().fold(String::new(), |mut hex, byte| {
                // Into a string, which cannot fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            let line = json!({
                "type": "violation", "time_ns": event.time.as_nanos() as u64, "port": port,
                "namespace": namespace, "reason": event.reason.name(), "dropped": event.dropped,
                "length": event.length, "frame": frame,
            });
            return Ok(json_line(&mut self.out, &line)?);
        }
        let fate = if event.dropped { "dropped" } else { "passed" };
        Ok(writeln!(self.out, "{port:<15} {}: {} bytes, {fate}", event.reason, event.length)?)
    }

    /// What became of one frame of an attack.
    pub(crate) fn attacked(&mut self, attacked: &Attacked) -> Result<(), Failure> {
        let Attacked { reason, seen, reached, expected, .. } = attacked;
        if self.json {
            let line = json!({
                "type": "attack", "reason": reason.name(), "sent": 1, "seen": seen, "reached": reached,
                "ok": attacked.is_ok(),
            });
            return Ok(json_line(&mut self.out, &line)?);
        }
        let word = |yes: bool| if yes { "yes" } else { "no" };
        let name = reason.name();
        write!(self.out, "{name:<24} {:>4} {seen:>4} {:>7}", 1, word(*reached))?;
        if !attacked.is_ok() {
            write!(self.out, "  WRONG: to be seen once, and reach: {}", word(*expected))?;
        } else if attacked.is_stopped_by_bridge() {
            write!(self.out, "  (the bridge itself drops it)")?;
        }
        Ok(writeln!(self.out)?)
    }

    /// The heading of the attack's table.
    pub(crate) fn attack(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        if !self.json {
            writeln!(self.out, "\nattack, {from} -> {to}\n{:<24} sent seen reached", "reason")?;
        }
        Ok(())
    }

    fn pairs(&mut self, now: &Snapshot) -> io::Result<()> {
        if now.pairs.is_empty() {
            return Ok(());
        }
        if now.ports.len() > MATRIX {
            let mut busiest: Vec<&PairCount> = now.pairs.iter().collect();
            busiest.sort_by_key(|pair| std::cmp::Reverse(pair.bytes));
            writeln!(self.out, "{} pairs, the busiest:", now.pairs.len())?;
            for pair in busiest.iter().take(MATRIX) {
                let PairCount { from, to, packets, bytes } = pair;
                let bytes = human(*bytes);
                writeln!(self.out, "{from:>8} -> {to:<8} {packets:>10} packets {bytes:>8} bytes")?;
            }
            return Ok(());
        }
        let names: Vec<&str> = now.ports.iter().map(|port| port.namespace.as_str()).collect();
        write!(self.out, "{:<15}", "bytes, to")?;
        for to in &names {
            write!(self.out, "{to:>8}")?;
        }
        writeln!(self.out)?;
        let mut senders = names.clone();
        let host = now.pairs.iter().find(|pair| !names.contains(&pair.from.as_str()));
        senders.extend(host.map(|pair| pair.from.as_str()));
        for from in senders {
            write!(self.out, "from {from:<10}")?;
            for to in &names {
                let pair = now.pairs.iter().find(|pair| pair.from == from && pair.to == *to);
                let bytes = pair.map_or_else(|| "-".to_owned(), |pair| human(pair.bytes));
                write!(self.out, "{bytes:>8}")?;
            }
            writeln!(self.out)?;
        }
        Ok(())
    }

    pub(crate) fn summary(&mut self, summary: &Summary) -> Result<(), Failure> {
        let Summary { pings, pings_ok, attack, violations, verdict, leftovers, kept } = summary;
        if self.json {
            let line = json!({
                "type": "summary", "pings": pings, "pings_ok": pings_ok, "exact": verdict.exact(),
                "leftovers": leftovers, "kept": kept, "violations": reasons(violations.iter().copied()),
                "attack_ok": attack,
            });
            json_line(&mut self.out, &line)?;
        } else {
            writeln!(self.out)?;
            writeln!(self.out, "pings     {pings_ok} of {pings} answered")?;
            if let Some(attack) = attack {
                writeln!(
                    self.out,
                    "attack    {}",
                    if *attack { "as it should be" } else { "NOT as it should be" }
                )?;
            }
            let all: u64 = violations.iter().map(|(_, packets)| packets).sum();
            writeln!(self.out, "frames    {all} that their senders may not send")?;
            match verdict.ports {
                None => {
                    writeln!(self.out, "counters  the kernel's; there was no program to compare with them")?;
                }
                Some(ports) if verdict.differences.is_empty() => {
                    writeln!(
                        self.out,
                        "counters  exact: equal to the kernel's on all {ports} ports, both ways"
                    )?;
                }
                Some(_) => writeln!(self.out, "counters  NOT exact")?,
            }
            if kept.is_empty() {
                let left = if leftovers.is_empty() { "nothing".to_owned() } else { leftovers.join(", ") };
                writeln!(self.out, "left      {left}")?;
            } else {
                writeln!(self.out, "kept      {}; `cargo xtask clean` removes it", kept.join(", "))?;
            }
        }
        for difference in &verdict.differences {
            eprintln!("error: {difference}");
        }
        Ok(self.out.flush()?)
    }
}

fn port_json(port: &Port) -> Value {
    let counters = &port.counters;
    json!({
        "port": port.name, "namespace": port.namespace, "ifindex": port.ifindex,
        "rx_packets": counters.rx.packets, "rx_bytes": counters.rx.bytes, "rx_segments": counters.rx.segments,
        "tx_packets": counters.tx.packets, "tx_bytes": counters.tx.bytes, "tx_segments": counters.tx.segments,
        "violations": port.violations.as_ref().map(|violations| reasons(violations.iter())),
        "dropped": port.violations.as_ref().map(|violations| violations.dropped_rx.packets),
    })
}

/// Reasons by name, with their frames.
fn reasons(reasons: impl Iterator<Item = (Reason, u64)>) -> Map<String, Value> {
    reasons.map(|(reason, packets)| (reason.name().to_owned(), packets.into())).collect()
}

fn pair_json(pair: &PairCount) -> Value {
    json!({ "from": pair.from, "to": pair.to, "packets": pair.packets, "bytes": pair.bytes })
}
