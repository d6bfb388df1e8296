//! `cargo xtask vm-test`: the program and its tests on other kernels, which are Debian's own, unmodified.
//!
//! The virtual machine's root is this machine's `/`, read-only below an overlay in its memory. So it runs what was built here,
//! with the tools that are installed here, and can leave nothing behind. For another processor the root is a folder of Debian
//! packages, and what runs there is compiled for that processor.

mod apt;
mod architecture;
mod arguments;
mod arm64;
mod initramfs;
mod kernel;
mod machine;
mod programs;
mod round;
mod table;

use crate::root;
use apt::{Archive, failed};
pub(crate) use arguments::VmTestArguments;
use kernel::Kernel;
use machine::{Machine, Processor};
use netns::Failure;
use netns::messages::say;
use netns::output::{json_line, stdout};
use netns::signals::Stop;
use programs::Built;
use round::{Round, RoundOutcome, RoundReport};
use serde_json::json;
use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The kernels that are tried where none is asked for: Debian 12's own, the one that Debian 13 has, and a preemptible one.
const DEFAULT: [&str; 3] = ["6.1", "6.12", "6.12-rt"];
/// Held while several lines are printed.
static LINES: Mutex<()> = Mutex::new(());
/// What every round runs in.
const GUEST: &str = include_str!("guest.sh");

/// Boots the kernels, runs the round on each, and prints the results.
pub(crate) fn vm_test(arguments: &VmTestArguments) -> Result<ExitCode, Failure> {
    netns::require::rights("vm-test", &[netns::require::SYS_ADMIN])?;
    let architecture = arguments.arch;
    let workspace = root();
    let folder = target().join("vm");
    fs::create_dir_all(&folder).map_err(failed("make", &folder))?;
    let stop = Stop::on_signals()?;
    let round = if arguments.full {
        let built = if let Some(programs) = &arguments.programs {
            Built::find_or_build(architecture, &arguments.package, programs)?
        } else {
            let kept = folder.join(format!("programs-{}", process::id()));
            Built::build(architecture, &arguments.package, kept, false)?
        };
        Round::Full(built.choose(&arguments.tests)?)
    } else {
        let program = match &arguments.program {
            Some(path) => fs::canonicalize(path).map_err(failed("find", path))?,
            None => programs::ours(architecture)?,
        };
        Round::Short { program, first_ping: programs::first_ping(architecture)? }
    };
    let archive = Archive::open(&folder, architecture.name())?;
    let root = architecture.root(&archive, &folder)?;
    let names = match &arguments.kernel[..] {
        [] => DEFAULT.map(str::to_owned).to_vec(),
        names => names.to_vec(),
    };
    let fetch = |name: &String| Kernel::fetch(&archive, name, architecture, &folder.join("kernels"));
    let kernels = names.iter().map(fetch).collect::<Result<Vec<_>, _>>()?;
    let processor = match kernels.first() {
        Some(kernel) => machine::processor(kernel, &root, &folder, &workspace, &stop)?,
        None => Processor::Emulated,
    };
    let (report, _) = architecture.report();
    let environment = round.environment(report, &workspace, &arguments.filter);
    let script = round.script(&arguments.filter);
    let files = [("environment", &*environment), ("guest.sh", GUEST), ("round.sh", &*script)];
    let (memory, root, folder, workspace) = (round.memory(), &*root, &*folder, &*workspace);
    let limit = round.limit() * architecture.patience();
    let one = |kernel: &Kernel| {
        let machine = Machine { kernel, memory, processor, root, folder, workspace, files: &files };
        try_kernel(&machine, limit, &stop)
    };
    let reports = at_once(&kernels, arguments.jobs.map_or_else(|| round.jobs(), usize::from), one)?;
    print(arguments, &reports)?;
    Ok(ExitCode::from(if reports.iter().all(RoundReport::passed) {
        netns::failure::FINE
    } else {
        netns::failure::USAGE
    }))
}

/// The round on one kernel.
fn try_kernel(machine: &Machine<'_>, limit: Duration, stop: &Stop) -> Result<RoundReport, Failure> {
    let begun = Instant::now();
    let name = &machine.kernel.name;
    let path = machine.folder.join(format!("{name}.log"));
    let mut log = File::create(&path).map_err(failed("write", &path))?;
    let how = if machine.processor == Processor::Emulated { "emulated" } else { "on /dev/kvm" };
    say(format_args!("{name}: {how}; all that it prints is in {}", path.display()));
    let report = round::follow(
        machine,
        limit,
        stop,
        |line| drop(writeln!(log, "{line}")),
        |outcome| progress(name, outcome),
    )?;
    conclude(&report, machine, begun);
    Ok(report)
}

/// Applies `one` to all items, so many at once; returns the results in the items' order. After a failure no other is begun.
fn at_once<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    one: impl Fn(&T) -> Result<R, Failure> + Sync,
) -> Result<Vec<R>, Failure> {
    let queue = Mutex::new(items.iter().enumerate());
    let done = Mutex::new(Vec::new());
    let is_over = AtomicBool::new(false);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some((number, item)) = next().filter(|_| !is_over.load(Ordering::Relaxed)) {
            let outcome = one(item);
            is_over.fetch_or(outcome.is_err(), Ordering::Relaxed);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((number, outcome));
        }
    };
    thread::scope(|scope| (0..jobs.min(items.len())).for_each(|_| drop(scope.spawn(work))));
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

/// One line a step, and what a failed one printed, in one piece where several kernels are tried at once.
fn progress(kernel: &str, outcome: &RoundOutcome) {
    let RoundOutcome { step, passed, milliseconds, note, output } = outcome;
    let verdict = if *passed { "ok" } else { "FAILED" };
    let seconds = *milliseconds / 1000;
    let note = if note.is_empty() { String::new() } else { format!(": {note}") };
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    say(format_args!("{kernel}: {verdict:6} {seconds:3} s  {step}{note}"));
    for line in output {
        say(format_args!("    {line}"));
    }
    drop(lines);
}

/// How a kernel's round ended.
fn conclude(report: &RoundReport, machine: &Machine<'_>, begun: Instant) {
    let RoundReport { kernel, release, steps, complete } = report;
    let passed = steps.iter().filter(|step| step.passed).count();
    let seconds = begun.elapsed().as_secs();
    say(format_args!("{kernel}: {passed} of {} steps passed in {seconds} s ({release})", steps.len()));
    if !complete {
        say(format_args!(
            "{kernel}: the round did not come to its end; the console is in {}",
            machine.console().display()
        ));
    }
}

fn print(arguments: &VmTestArguments, reports: &[RoundReport]) -> Result<(), Failure> {
    let mut out = stdout();
    if arguments.json {
        let kernels = serde_json::to_value(reports).map_err(|error| Failure::Kernel(error.to_string()))?;
        json_line(&mut out, &json!({ "full": arguments.full, "kernels": kernels }))?;
    } else {
        table::markdown(&mut out, reports)?;
    }
    Ok(())
}

/// Where cargo puts what it makes.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::at_once;
    use netns::Failure;
    use std::sync::Barrier;

    #[test]
    fn several_are_done_at_once_and_reported_in_order() {
        // Two at a time meet here, and only if they are at it at once.
        let meet = Barrier::new(2);
        let double = |number: &u32| {
            meet.wait();
            Ok(2 * number)
        };
        assert_eq!(at_once(&[1, 2, 3, 4], 2, double).expect("four"), [2, 4, 6, 8]);
    }

    #[test]
    fn after_a_failure_no_other_is_begun() {
        let begun = std::sync::Mutex::new(Vec::new());
        let fail = |number: &u32| {
            begun.lock().expect("no panic").push(*number);
            if *number == 2 { Err(Failure::usage("two")) } else { Ok(()) }
        };
        assert!(at_once(&[1, 2, 3], 1, fail).is_err());
        assert_eq!(*begun.lock().expect("no panic"), [1, 2]);
    }
}
