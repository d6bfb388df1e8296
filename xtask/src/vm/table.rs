//! The results of the rounds: for people, for documents, for programs.

use super::round::RoundReport;
use std::io::{self, Write};

/// A cell: the result of a step on a kernel.
fn cell(report: &RoundReport, step: &str) -> String {
    match report.steps.iter().find(|outcome| outcome.step == step) {
        None => "not run".to_owned(),
        Some(outcome) => {
            let note = outcome.note.replace('|', "\\|");
            match (outcome.passed, note.is_empty()) {
                (true, true) => "yes".to_owned(),
                (true, false) => note,
                (false, true) => "**fails**".to_owned(),
                (false, false) => format!("**fails**: {note}"),
            }
        }
    }
}

/// All steps, in the order in which they were first run.
fn steps(reports: &[RoundReport]) -> Vec<&str> {
    let mut steps: Vec<&str> = Vec::new();
    for outcome in reports.iter().flat_map(|report| &report.steps) {
        if !steps.contains(&outcome.step.as_str()) {
            steps.push(&outcome.step);
        }
    }
    steps
}

/// Writes a table in Markdown, a column a kernel.
pub(super) fn markdown(out: &mut impl Write, reports: &[RoundReport]) -> io::Result<()> {
    write!(out, "| |")?;
    reports.iter().try_for_each(|report| write!(out, " {} |", report.kernel))?;
    writeln!(out, "\n| --- |{}", " --- |".repeat(reports.len()))?;
    write!(out, "| `uname -r` |")?;
    for report in reports {
        write!(out, " {} |", report.release.split(' ').next().unwrap_or_default())?;
    }
    writeln!(out)?;
    for step in steps(reports) {
        write!(out, "| {step} |")?;
        reports.iter().try_for_each(|report| write!(out, " {} |", cell(report, step)))?;
        writeln!(out)?;
    }
    Ok(())
}
