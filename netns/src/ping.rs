//! `netns ping`.

use crate::cli::PingArguments;
use crate::failure::Failure;
use crate::output::{json_line, micros, stream};
use crate::signals::Stop;
use netns_core::Namespace;
use netns_core::ping::{Ping, PingOutcome, PingReport, ping_each};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

pub(crate) fn ping(arguments: &PingArguments) -> Result<ExitCode, Failure> {
    let from = arguments.from.as_ref().or(arguments.netns.as_ref());
    let namespace = match from {
        Some(name) => Namespace::open(name)?,
        None => Namespace::current()?,
    };
    let address = arguments.address.ok_or_else(|| Failure::usage("no address to ping"))?;
    let request = Ping {
        count: arguments.count,
        interval: arguments.interval,
        timeout: arguments.timeout,
        ..Ping::new(address)
    };
    let stop = Stop::on_signals()?;
    let mut out = stream();
    let (mut outcomes, mut written) = (Vec::new(), Ok(()));
    let is_stopped = || stop.requested();
    ping_each(&namespace, &request, is_stopped, |outcome| {
        if !arguments.json {
            written = print_outcome(&mut out, address, outcomes.len() + 1, &outcome);
        }
        outcomes.push(outcome);
        if written.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    written?;
    let report = PingReport { outcomes };
    if arguments.json {
        json_line(&mut out, &describe(arguments, address, &report))?;
    } else {
        sum_up(&mut out, &report)?;
    }
    if report.all_received() { Ok(ExitCode::SUCCESS) } else { Err(Failure::Verdict) }
}

/// Prints the outcome of one request as soon as it is known.
fn print_outcome(
    out: &mut impl Write,
    address: IpAddr,
    number: usize,
    outcome: &PingOutcome,
) -> io::Result<()> {
    match outcome {
        PingOutcome::Reply(time) => {
            let time = time.as_secs_f64() * 1e3;
            writeln!(out, "reply from {address}: icmp_seq={number} time={time:.3} ms")?;
        }
        PingOutcome::TimedOut => writeln!(out, "no answer: icmp_seq={number}")?,
        PingOutcome::Unreachable(why) => writeln!(out, "unreachable: icmp_seq={number}: {why}")?,
    }
    out.flush()
}

fn sum_up(out: &mut impl Write, report: &PingReport) -> io::Result<()> {
    let times: Vec<Duration> = report.round_trips().collect();
    write!(out, "{} sent, {} received", report.outcomes.len(), times.len())?;
    if let (Some(least), Some(most)) = (times.iter().min(), times.iter().max()) {
        let mean = times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap_or(u32::MAX);
        let [least, mean, most] = [*least, mean, *most].map(|time| time.as_secs_f64() * 1e3);
        write!(out, ", rtt min/avg/max = {least:.3}/{mean:.3}/{most:.3} ms")?;
    }
    writeln!(out)
}

fn describe(arguments: &PingArguments, address: IpAddr, report: &PingReport) -> Value {
    let times: Vec<Value> = report
        .outcomes
        .iter()
        .map(|outcome| match outcome {
            PingOutcome::Reply(time) => micros(*time).into(),
            _ => Value::Null,
        })
        .collect();
    json!({
        "from": arguments.from.as_ref().or(arguments.netns.as_ref()), "to": address.to_string(),
        "sent": report.outcomes.len(), "received": report.received(), "rtt_us": times,
    })
}
