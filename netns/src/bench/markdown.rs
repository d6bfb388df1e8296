//! The table for a README.

use super::report::{BenchReport, time};
use super::table::{HEADINGS, RATIO, columns};
use std::fmt::Write;

/// The whole text.
pub(super) fn page(report: &BenchReport, command: &str) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "# What sandboxes cost\n\n`{command}`, {}: {}, Linux {}. The load was {} when it began and {} when it ended: \
         above the benches' own 1 to 2, others were at work on the machine, and absolute times are too high. What is \
         compared was measured in turns in this run; medians. {RATIO}\n\n",
        report.date,
        machine.describe(),
        machine.kernel,
        machine.load,
        report.load_after
    );
    line(&mut text, &HEADINGS.map(str::to_owned));
    text += "| --- | ---: | --- | ---: | ---: | ---: | --- | --- |\n";
    for row in &report.rows {
        line(&mut text, &columns(row));
    }
    let reasons = report.rows.iter().filter_map(|row| Some((&row.name, row.reason.as_ref()?)));
    for (name, reason) in reasons {
        // Writing into a string cannot fail, here and below.
        let _ = write!(text, "\nNot met: {name}: {reason}\n");
    }
    for missing in &report.missing {
        let _ = write!(text, "\n{missing}\n");
    }
    text += "\n## Where the time goes\n\n| step | ";
    text += &report.steps.iter().map(|kind| kind.kind.as_str()).collect::<Vec<_>>().join(" | ");
    text += " |\n| --- |";
    text += &" ---: |".repeat(report.steps.len());
    text.push('\n');
    let mut names: Vec<&str> = Vec::new();
    for step in report.steps.iter().flat_map(|kind| &kind.steps) {
        if !names.contains(&step.name.as_str()) {
            names.push(&step.name);
        }
    }
    for name in names {
        let cell = |kind: &super::report::StepTimes| {
            kind.steps.iter().find(|step| step.name == name).map(|step| time(step.us)).unwrap_or_default()
        };
        let cells: Vec<String> = report.steps.iter().map(cell).collect();
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    let growth = &report.growth;
    let _ = write!(
        text,
        "\n{} sandboxes at once; each takes {:.0} KiB of the kernel's slabs and {:.0} KiB of its per-CPU memory.\n",
        growth.reached,
        growth.memory.slab / 1024.0,
        growth.memory.percpu / 1024.0
    );
    text
}

fn line(text: &mut String, cells: &[String]) {
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}
