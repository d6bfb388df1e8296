//! `netns reasons`: what the reasons mean by which violations are counted.

use crate::failure::Failure;
use crate::output::{json_pretty, stdout};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use netns_ebpf::packet::Reason;
use serde_json::{Map, Value};
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct ReasonsArguments {
    /// The reasons [default: all].
    #[arg(value_name = "REASON", value_parser = words(), hide_possible_values = true)]
    reasons: Vec<Reason>,
    /// One JSON object.
    #[arg(short, long)]
    json: bool,
}

/// Each reason with its meaning, which some shells show beside it.
fn words() -> impl TypedValueParser<Value = Reason> {
    let word = |reason: &Reason| PossibleValue::new(reason.name()).help(reason.description());
    PossibleValuesParser::new(Reason::ALL.iter().map(word))
        .try_map(|word| Reason::from_name(&word).ok_or("no such reason"))
}

pub(crate) fn reasons(arguments: &ReasonsArguments) -> Result<ExitCode, Failure> {
    let mut out = stdout();
    let reasons = if arguments.reasons.is_empty() { Reason::ALL } else { &arguments.reasons[..] };
    if arguments.json {
        let meanings =
            reasons.iter().map(|reason| (reason.name().to_owned(), Value::from(reason.description())));
        json_pretty(&mut out, &Value::Object(meanings.collect::<Map<_, _>>()))?;
        return Ok(ExitCode::SUCCESS);
    }
    for reason in reasons {
        writeln!(out, "{:<23}  {}", reason.name(), reason.description())?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
