//! The report: one file that opens anywhere.

use super::plot::{Axis, bars, curves, escape, stacks};
use super::report::{BenchReport, MeasuredBar, ReportedCurve, Times, time};
use super::table::{HEADINGS, RATIO, columns};
use std::fmt::Write;

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; width: 100%; font-size: 13px; margin: 1em 0; }
th, td { text-align: left; padding: 3px 8px; border-bottom: 1px solid #8884; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.missed td { background: #d55e0022; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; fill: currentColor; }
svg .grid { stroke: #8886; stroke-width: 1; }
code { background: #8882; padding: 0 4px; }
";

/// The whole page.
pub(super) fn page(report: &BenchReport, command: &str) -> String {
    let machine = &report.machine;
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>What sandboxes cost</title><style>{STYLE}</style></head><body>\n\
         <h1>What sandboxes cost</h1>\n<p><code>{command}</code>, {}, {:.0} seconds.<br>{}, Linux {}, load {} before \
         and {} after.</p>\n<p>What is compared was measured in turns in this one run, on a network and a mount \
         namespace of its own; the numbers are medians unless they say otherwise. Above the benches' own load of 1 to \
         2, others were at work on the machine: then absolute times are too high, and ratios are what to look at. \
         {RATIO}</p>\n",
        escape(&report.date),
        report.seconds,
        escape(&machine.describe()),
        escape(&machine.kernel),
        escape(&machine.load),
        escape(&report.load_after),
    );
    page += &rows(report);
    page += "<h2>Making one sandbox, by whom</h2>\n<p>The scale is logarithmic. CNI and netavark are given the namespace.</p>\n";
    page += &bars("Time to make one sandbox, by whom", &report.setup);
    page += "<h2>The steps of one sandbox</h2>\n<p>Timed on the floor: the library's own requests without the library.</p>\n";
    page += &stacks("The steps of one sandbox, by kind", &report.steps);
    page += &growth(report);
    page += "<h2>Making one while others come and go</h2>\n";
    page += &curves("Distribution of the time to make one", Axis::Share, &report.churn_latency);
    page += &churn(report);
    page += "<h2>First connections of fresh sandboxes</h2>\n";
    page += &times(&report.first_packet);
    page += "<h2>Taking from a pool</h2>\n";
    page += &times(&report.pool);
    page += &encode(report);
    page += "</body></html>\n";
    page
}

fn heading(page: &mut String, names: &[&str], numbers: &[usize]) {
    *page += "<table><thead><tr>";
    for (column, name) in names.iter().enumerate() {
        cell(page, "th", name, numbers.contains(&column));
    }
    *page += "</tr></thead><tbody>\n";
}

fn cell(page: &mut String, tag: &str, content: &str, number: bool) {
    let class = if number { " class=\"number\"" } else { "" };
    // Writing into a string cannot fail, here and below.
    let _ = write!(page, "<{tag}{class}>{}</{tag}>", escape(content));
}

fn row(page: &mut String, cells: &[String], numbers: &[usize]) {
    *page += "<tr>";
    for (column, content) in cells.iter().enumerate() {
        cell(page, "td", content, numbers.contains(&column));
    }
    *page += "</tr>\n";
}

fn rows(report: &BenchReport) -> String {
    let numbers = [1, 3, 4, 5];
    let mut page = String::new();
    heading(&mut page, &HEADINGS, &numbers);
    for line in &report.rows {
        let mut text = String::new();
        row(&mut text, &columns(line), &numbers);
        page +=
            &if line.met == Some(false) { text.replacen("<tr>", "<tr class=\"missed\">", 1) } else { text };
    }
    page += "</tbody></table>\n";
    for line in &report.rows {
        if let Some(reason) = &line.reason {
            let _ = writeln!(page, "<p><b>Not met: {}:</b> {}</p>", escape(&line.name), escape(reason));
        }
    }
    for missing in &report.missing {
        let _ = writeln!(page, "<p>{}</p>", escape(missing));
    }
    page
}

fn growth(report: &BenchReport) -> String {
    let growth = &report.growth;
    let lines = [
        ReportedCurve { name: "make the n-th".to_owned(), points: growth.make.clone() },
        ReportedCurve { name: "take one down".to_owned(), points: growth.take_down.clone() },
    ];
    let mut page = format!(
        "<h2>The n-th sandbox</h2>\n<p>{} at once{}; each takes {:.0} KiB of the kernel's slabs, {:.0} KiB of its per-CPU \
         memory, {:.0} KiB of all memory (others on the machine use it, too).</p>\n",
        growth.reached,
        growth.end.as_ref().map(|end| format!(", then: {}", escape(end))).unwrap_or_default(),
        growth.memory.slab / 1024.0,
        growth.memory.percpu / 1024.0,
        growth.memory.all / 1024.0,
    );
    page += &curves("Cost of the n-th sandbox", Axis::Number, &lines);
    page
}

fn churn(report: &BenchReport) -> String {
    let mut page = String::new();
    let names = ["alive", "given up by", "a second", "make p50", "p99", "p99.9", "give up p50", "p99"];
    let numbers = [0, 2, 3, 4, 5, 6, 7];
    heading(&mut page, &names, &numbers);
    for line in &report.churn {
        let cells = [
            line.alive.to_string(),
            line.way.clone(),
            format!("{:.0}", line.per_second),
            time(line.make.p50_us),
            time(line.make.p99_us),
            time(line.make.p999_us),
            time(line.give_up.p50_us),
            time(line.give_up.p99_us),
        ];
        row(&mut page, &cells, &numbers);
    }
    page + "</tbody></table>\n"
}

fn times(lines: &[Times]) -> String {
    let mut page = String::new();
    let numbers = [1, 2, 3, 4, 5, 6];
    heading(&mut page, &["what", "how many", "mean", "p50", "p99", "p99.9", "slowest"], &numbers);
    for line in lines {
        let times = &line.times;
        let cells = [times.mean_us, times.p50_us, times.p99_us, times.p999_us, times.max_us].map(time);
        let mut all = vec![line.name.clone(), times.count.to_string()];
        all.extend(cells);
        row(&mut page, &all, &numbers);
    }
    page + "</tbody></table>\n"
}

fn encode(report: &BenchReport) -> String {
    let mut page = "<h2>Writing one request</h2>\n".to_owned();
    let bar = |line: &super::report::ReportedEncoded| MeasuredBar {
        name: format!("{}: {}", line.library, line.message),
        us: line.nanos / 1e3,
    };
    let longest = report.encode.first().map(|line| line.message.clone()).unwrap_or_default();
    let all: Vec<MeasuredBar> =
        report.encode.iter().filter(|line| line.message == longest).map(bar).collect();
    page += &bars("Time to write one request", &all);
    let numbers = [2, 3, 4];
    heading(&mut page, &["message", "library", "time", "allocations", "bytes"], &numbers);
    for line in &report.encode {
        let cells = [
            line.message.clone(),
            line.library.clone(),
            time(line.nanos / 1e3),
            line.allocations.to_string(),
            line.bytes.to_string(),
        ];
        row(&mut page, &cells, &numbers);
    }
    page + "</tbody></table>\n"
}
