//! What a run prints: lines for people, or JSON objects, one a line.

use super::counters::CountersVerdict;
use super::outcomes::{Attacked, Way};
use super::pings::{PingResult, PingRoute};
use super::plan::{PlannedMember, RunPlan};
use super::steps::BuildSteps;
use crate::failure::Failure;
use crate::messages::{is_verbose, say};
use crate::name;
use crate::output::{Printer, json_line, micros, millis};
use crate::progress::ProgressLine;
use crate::watch::reasons;
use netns_ebpf::attack::TrialOutcome;
use netns_ebpf::layout::Violations;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

/// Up to this many steps are printed beside the first four.
const MANY: usize = 16;
/// Up to this many namespaces, every ping is printed.
const FEW: usize = 8;

/// Prints the report.
#[derive(Debug)]
pub(crate) struct RunReport {
    out: Printer,
    json: bool,
    steps: Vec<(String, Duration)>,
    /// The steps that set up a namespace.
    namespaces: Vec<Duration>,
    /// How many namespaces there will be.
    total: usize,
    line: ProgressLine,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct RunSummary {
    pub(crate) pings: usize,
    pub(crate) pings_ok: usize,
    /// Which traffic of our own could not be started, and why.
    pub(crate) traffic: Vec<String>,
    /// Which of the host's settings may lose frames between namespaces, and what to do about it.
    pub(crate) hint: Option<String>,
    /// What somebody else has changed meanwhile.
    pub(crate) changed: Vec<String>,
    /// Whether an attack had the expected outcome.
    pub(crate) attack: Option<bool>,
    /// Violations by reason; `None` where there was no program to judge.
    pub(crate) violations: Option<Violations>,
    pub(crate) verdict: CountersVerdict,
    /// How often somebody removed what enforces.
    pub(crate) lost_enforcement: u32,
    pub(crate) leftovers: Vec<String>,
    pub(crate) kept: Vec<String>,
}

impl BuildSteps for RunReport {
    fn namespace(&mut self, planned: &PlannedMember, time: Duration) {
        self.namespaces.push(time);
        self.step(&format!("{} on {}", planned.name, planned.port), time);
        if !self.prints_steps() {
            self.line.show(self.namespaces.len(), self.total, "namespaces");
        }
    }

    fn step(&mut self, name: &str, time: Duration) {
        self.steps.push((name.to_owned(), time));
        if self.prints_steps() {
            self.line.clear();
            // If the reader is gone, the next line that must be read finds that out.
            let _ = writeln!(self.out, "{:>9}  {name}", millis(time)).and_then(|()| self.out.flush());
        }
    }
}

impl RunReport {
    /// For a run with this many namespaces.
    pub(crate) fn new(out: Printer, json: bool, total: usize) -> Self {
        let line = ProgressLine::new(!is_verbose() || json);
        Self { out, json, steps: Vec::new(), namespaces: Vec::new(), total, line }
    }

    /// Whether the last step gets a line.
    fn prints_steps(&self) -> bool {
        !self.json && (self.steps.len() <= 4 + MANY || is_verbose())
    }

    /// Everything will be taken down now. With many namespaces that takes a while.
    pub(crate) fn taking_down(&mut self) {
        if self.total > MANY {
            self.line.say("taking everything down");
        }
    }

    /// How long each namespace took.
    pub(crate) fn namespace_times(&self) -> &[Duration] {
        &self.namespaces
    }

    /// Where it goes.
    pub(crate) fn out(&mut self) -> &mut Printer {
        &mut self.out
    }

    /// Everything is built.
    pub(crate) fn setup(&mut self, plan: &RunPlan) -> Result<(), Failure> {
        self.line.clear();
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
        if !self.prints_steps() {
            writeln!(self.out, "{:>9}  ... and {} more", "", self.steps.len() - 4 - MANY)?;
        }
        Ok(writeln!(self.out, "{:>9}  {} namespaces in all", millis(total), names.len())?)
    }

    /// The outcome of a ping, its number, and how many there are.
    pub(crate) fn ping(
        &mut self,
        route: &PingRoute,
        result: &PingResult,
        [done, total]: [usize; 2],
    ) -> Result<(), Failure> {
        if self.json {
            let line = json!({
                "type": "ping", "from": route.from, "to": route.to, "address": route.address.to_string(),
                "ok": result.is_ok(), "rtt_us": result.rtt.map(micros),
                "error": if result.is_ok() { None } else { Some(&result.why) },
            });
            return Ok(json_line(&mut self.out, &line)?);
        }
        match result.rtt {
            // A handful gets a line each.
            Some(rtt) if self.steps.len() <= 4 + FEW => {
                let (from, to) = (&route.from, &route.to);
                writeln!(self.out, "{:>6} us  ping {from} -> {to} ({})", rtt.as_micros(), route.address)?;
            }
            Some(_) => self.line.show(done, total, "pings"),
            None => {
                self.line.clear();
                let (from, to) = (&route.from, &route.to);
                writeln!(self.out, "   FAILED  ping {from} -> {to} ({}): {}", route.address, result.why)?;
            }
        }
        Ok(())
    }

    pub(crate) fn pings_done(&mut self, pings: usize, answered: usize) -> Result<(), Failure> {
        self.line.clear();
        if !self.json {
            writeln!(self.out, "{answered} of {pings} pings answered")?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// The outcome of one frame of an attack.
    pub(crate) fn attacked(&mut self, attacked: &Attacked) -> Result<(), Failure> {
        let Attacked { reason, outcome: TrialOutcome { seen, arrived }, expected, .. } = attacked;
        if self.json {
            let line = json!({
                "type": "attack", "reason": reason.name(), "sent": 1, "seen": seen, "reached": arrived,
                "ok": attacked.is_ok(),
            });
            return Ok(json_line(&mut self.out, &line)?);
        }
        let word = |yes: bool| if yes { "yes" } else { "no" };
        let name = reason.name();
        write!(self.out, "{name:<24} {:>4} {seen:>4} {:>7}", 1, word(*arrived))?;
        if !attacked.is_ok() {
            write!(self.out, "  WRONG: expected seen 1, reached {}", word(*expected))?;
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

    /// The heading of the table of ways past the program.
    pub(crate) fn ways(&mut self) -> Result<(), Failure> {
        if !self.json {
            writeln!(self.out, "\n{:<39} sent unguarded guarded counted", "past the program")?;
        }
        Ok(())
    }

    /// The outcome of a way past the program.
    pub(crate) fn way(&mut self, way: &Way) -> Result<(), Failure> {
        let &Way { name, unguarded, guarded, counted, .. } = way;
        if self.json {
            let line = json!({
                "type": "way", "way": name, "sent": Way::SENT, "unguarded": unguarded, "guarded": guarded,
                "counted": counted, "ok": way.is_ok(),
            });
            return Ok(json_line(&mut self.out, &line)?);
        }
        let wrong = if way.is_ok() { "" } else { "  WRONG" };
        let sent = Way::SENT;
        Ok(writeln!(self.out, "{name:<39} {sent:>4} {unguarded:>9} {guarded:>7} {counted:>7}{wrong}")?)
    }

    /// Why no way past the program was tried.
    pub(crate) fn no_ways(&mut self, why: &str) -> Result<(), Failure> {
        if self.json {
            return Ok(json_line(&mut self.out, &json!({ "type": "ways", "why_none": why }))?);
        }
        Ok(writeln!(self.out, "\nno way past the program was tried: {why}")?)
    }

    /// Why one way was not tried.
    pub(crate) fn way_left_out(&mut self, way: &str, why: &str) -> Result<(), Failure> {
        if self.json {
            return Ok(json_line(&mut self.out, &json!({ "type": "way", "way": way, "left_out": why }))?);
        }
        Ok(writeln!(self.out, "{way}: not tried: {why}")?)
    }

    pub(crate) fn summary(&mut self, summary: &RunSummary) -> Result<(), Failure> {
        self.line.clear();
        let RunSummary {
            pings,
            pings_ok,
            traffic,
            hint,
            changed,
            attack,
            violations,
            verdict,
            lost_enforcement,
            leftovers,
            kept,
        } = summary;
        if self.json {
            let line = json!({
                "type": "summary", "pings": pings, "pings_ok": pings_ok, "exact": verdict.exact(),
                "counted_apart": verdict.apart,
                "leftovers": leftovers, "kept": kept,
                "violations": violations.as_ref().map(|violations| reasons(violations.iter())),
                "attack_ok": attack, "traffic_failed": traffic, "hint": hint, "changed": changed,
                "lost_enforcement": lost_enforcement,
            });
            json_line(&mut self.out, &line)?;
        } else {
            writeln!(self.out)?;
            writeln!(self.out, "pings     {pings_ok} of {pings} answered")?;
            if !traffic.is_empty() {
                writeln!(self.out, "traffic   NOT started: {}", traffic.join("; "))?;
            }
            if !changed.is_empty() {
                writeln!(self.out, "changed   by somebody else: {} (see docs/hosts.md)", changed.join(", "))?;
            }
            if let Some(attack) = attack {
                writeln!(
                    self.out,
                    "attack    {}",
                    if *attack { "as it should be" } else { "NOT as it should be" }
                )?;
            }
            match violations {
                Some(violations) => {
                    writeln!(self.out, "frames    {} that their senders may not send", violations.total())?;
                }
                None => writeln!(self.out, "frames    not judged: there was no program to judge them")?,
            }
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
                writeln!(self.out, "kept      {}; `{} clean` removes it", kept.join(", "), name::name())?;
            }
        }
        if !self.json {
            for apart in &verdict.apart {
                writeln!(self.out, "          {apart}")?;
            }
        }
        for difference in &verdict.differences {
            say(format_args!("error: {difference}"));
        }
        if let Some(hint) = hint {
            say(format_args!("hint: {hint}"));
        }
        Ok(self.out.flush()?)
    }
}
