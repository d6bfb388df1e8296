//! `cargo xtask ping`.

use crate::cli::PingArguments;
use crate::failure::Failure;
use crate::output::{json_line, micros, stdout};
use netns_core::Namespace;
use netns_core::ping::{Outcome, Ping, ping as send};
use serde_json::{Value, json};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

pub(crate) fn ping(arguments: &PingArguments) -> Result<ExitCode, Failure> {
    let namespace = Namespace::open(&arguments.netns)?;
    let request = Ping {
        count: arguments.count,
        interval: arguments.interval,
        timeout: arguments.timeout,
        ..Ping::new(arguments.address)
    };
    let report = send(&namespace, &request)?;
    let mut out = stdout();
    let times: Vec<Duration> = report.round_trips().collect();
    if arguments.json {
        let times: Vec<Value> = report
            .outcomes
            .iter()
            .map(|outcome| match outcome {
                Outcome::Reply(time) => micros(*time).into(),
                _ => Value::Null,
            })
            .collect();
        json_line(
            &mut out,
            &json!({
                "from": arguments.netns, "to": arguments.address.to_string(),
                "sent": report.outcomes.len(), "received": report.received(), "rtt_us": times,
            }),
        )?;
    } else {
        for (number, outcome) in report.outcomes.iter().enumerate() {
            let number = number + 1;
            match outcome {
                Outcome::Reply(time) => writeln!(
                    out,
                    "reply from {}: icmp_seq={number} time={:.3} ms",
                    arguments.address,
                    time.as_secs_f64() * 1e3
                )?,
                Outcome::TimedOut => writeln!(out, "no answer: icmp_seq={number}")?,
                Outcome::Unreachable(why) => writeln!(out, "unreachable: icmp_seq={number}: {why}")?,
            }
        }
        write!(out, "{} sent, {} received", report.outcomes.len(), times.len())?;
        if let (Some(least), Some(most)) = (times.iter().min(), times.iter().max()) {
            let mean = times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap_or(1);
            let [least, mean, most] = [*least, mean, *most].map(|time| time.as_secs_f64() * 1e3);
            write!(out, ", rtt min/avg/max = {least:.3}/{mean:.3}/{most:.3} ms")?;
        }
        writeln!(out)?;
    }
    if report.all_received() { Ok(ExitCode::SUCCESS) } else { Err(Failure::Verdict) }
}
