//! `netns bench`: measures, prints a table and writes a report.
//!
//! The measuring is done by a program of the repository's package `benches`, which is built on demand: the rest of the
//! command line needs neither tokio nor the other peers. Hence this command works only in a clone.

mod html;
mod markdown;
mod plot;
mod progress;
mod report;
mod table;

use crate::cli::BenchArguments;
use crate::failure::Failure;
use crate::name;
use crate::output::{json_line, stdout};
use progress::ProgressBar;
use report::{BenchReport, ReportLine};
use serde_json::json;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

/// Measures, prints the table or one JSON object, and writes the report.
pub(crate) fn bench(arguments: &BenchArguments) -> Result<ExitCode, Failure> {
    let root = root()?;
    let mut child = measure(&root, arguments)?;
    let report = follow(&mut child);
    let status = child.wait().map_err(|error| Failure::Kernel(format!("wait for the benches: {error}")))?;
    // First what was not understood: it makes the program fail too, since nobody reads on.
    let report = report?;
    if !status.success() {
        // It has said why, or cargo has.
        return Err(Failure::Verdict);
    }
    let report = report.ok_or_else(|| Failure::Kernel("the benches reported nothing".to_owned()))?;

    let command = command_line(arguments);
    let path = arguments.report.clone().unwrap_or_else(|| folder(&root).join("bench.html"));
    write(&path, &html::page(&report, &command))?;
    write(&path.with_extension("md"), &markdown::page(&report, &command))?;
    let mut out = stdout();
    if arguments.json {
        json_line(
            &mut out,
            &json!({
                "machine": report.machine.describe(),
                "kernel": report.machine.kernel,
                "date": report.date,
                "command": command,
                "load": [report.machine.load, report.load_after],
                "missing": report.missing,
                "rows": report.rows,
            }),
        )?;
    } else {
        table::print(&mut out, &report)?;
        writeln!(out, "\nThe report, with plots: {}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the measuring program and starts it.
fn measure(root: &Path, arguments: &BenchArguments) -> Result<Child, Failure> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command.current_dir(root).args([
        "run",
        "--release",
        "--quiet",
        "--package",
        "benches",
        "--bin",
        "measure",
        "--",
    ]);
    command.args(arguments.quick.then_some("--quick")).args(arguments.peers.then_some("--peers"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::usage(format!("run {}: {error}", cargo.display())))
}

/// Reads the measuring program's output, and shows its progress on a terminal.
fn follow(child: &mut Child) -> Result<Option<BenchReport>, Failure> {
    let bar = ProgressBar::begin("building");
    let mut report = None;
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()) {
        let line = line.map_err(|error| Failure::Kernel(format!("read from the benches: {error}")))?;
        match serde_json::from_str(&line) {
            Ok(ReportLine::Progress(progress)) => bar.show(progress.done, progress.of, &progress.what),
            Ok(ReportLine::Report(found)) => report = Some(*found),
            Err(error) => return Err(Failure::Kernel(format!("the benches said something odd: {error}"))),
        }
    }
    Ok(report)
}

/// The command line of this run.
fn command_line(arguments: &BenchArguments) -> String {
    let flags = [("--quick", arguments.quick), ("--peers", arguments.peers)];
    let flags: Vec<&str> = flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect();
    [name::name(), "bench"].into_iter().chain(flags).collect::<Vec<_>>().join(" ")
}

/// The clone that this was started in, or was built in.
fn root() -> Result<PathBuf, Failure> {
    let here =
        env::current_dir().map_err(|error| Failure::usage(format!("find the current folder: {error}")))?;
    let built = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = here.ancestors().chain(built.ancestors());
    let found = folders.find(|folder| folder.join("benches/src/bin/measure.rs").exists());
    found.map(Path::to_owned).ok_or_else(|| {
        Failure::usage("bench measures with a program of the repository: run it in a clone of that")
    })
}

/// Where cargo puts what it makes.
fn folder(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error| Failure::usage(format!("write {}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed)
}
