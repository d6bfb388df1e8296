//! The table on stdout.

use super::report::{BenchReport, ReportRow, ratio, time};
use std::io::{self, Write};

/// What stands above the columns.
pub(super) const HEADINGS: [&str; 8] = ["what", "ours", "beside", "theirs", "ratio", "of p25", "goal", "met"];
/// How to read a ratio.
pub(super) const RATIO: &str = "The ratio is their time over ours; where the goal is \"at most\", ours over theirs. It compares \
the medians, for traffic it is the median of the rounds' ratios; \"of p25\" compares the lower quartiles, which other work on \
the machine disturbs less.";

/// The columns of a row.
pub(super) fn columns(row: &ReportRow) -> [String; 8] {
    let (goal, met) = row.verdict();
    [
        row.name.clone(),
        time(row.ours_us),
        row.peer.clone().unwrap_or_default(),
        row.peer_us.map(time).unwrap_or_default(),
        ratio(row.ratio),
        ratio(row.ratio_p25),
        goal.to_owned(),
        met.to_owned(),
    ]
}

/// Prints what was found.
pub(super) fn print(out: &mut impl Write, report: &BenchReport) -> io::Result<()> {
    let rows: Vec<[String; 8]> = report.rows.iter().map(columns).collect();
    let widths: [usize; 8] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEADINGS[column].len()]).max().unwrap_or(0)
    });
    print_line(out, &HEADINGS.map(str::to_owned), &widths)?;
    for row in &rows {
        print_line(out, row, &widths)?;
    }
    writeln!(out)?;
    for row in &report.rows {
        if let Some(reason) = &row.reason {
            writeln!(out, "Not met: {}: {reason}", row.name)?;
        }
    }
    for missing in &report.missing {
        writeln!(out, "{missing}")?;
    }
    let machine = &report.machine;
    writeln!(out, "{RATIO}")?;
    writeln!(
        out,
        "{}, Linux {}, {}; {:.0} s; load {} before, {} after.",
        machine.describe(),
        machine.kernel,
        report.date,
        report.seconds,
        machine.load,
        report.load_after
    )
}

/// Numbers to the right, words to the left.
fn print_line(out: &mut impl Write, cells: &[String; 8], widths: &[usize; 8]) -> io::Result<()> {
    let mut line = String::new();
    for (column, (cell, &width)) in cells.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
        let (before, after) =
            if matches!(column, 1 | 3..=5) { (padding.as_str(), "") } else { ("", padding.as_str()) };
        for part in [before, cell, after, "  "] {
            line.push_str(part);
        }
    }
    writeln!(out, "{}", line.trim_end())
}
