//! Measures everything and prints the results as JSON objects on stdout, one a line ([`BenchLine`]). `cargo xtask
//! bench` makes its table and report from them.

use benches::allocations::CountingAllocator;
use benches::report::BenchLine;
use benches::run::{BenchPlan, run};
use benches::{Result, host};
use std::io::{Write, stdout};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    let mut plan = BenchPlan::FULL;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--quick") {
        plan = BenchPlan::QUICK;
    }
    plan.peers = arguments.iter().any(|argument| argument == "--peers");
    host::enter()?;
    let report = run(plan, |what, done, of| {
        // A reader that is gone does not want it.
        let _ = say(&BenchLine::Progress { what, done, of });
    })?;
    say(&BenchLine::Report(&report))
}

fn say(line: &BenchLine<'_>) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{}", serde_json::to_string(line)?)?;
    Ok(out.flush()?)
}
