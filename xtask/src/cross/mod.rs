//! `cargo xtask cross`: compiles for other machines and C libraries, and runs the unit tests there.

mod msrv;
pub(crate) mod target;
pub(crate) mod toolchain;

use clap::Args;
use clap::builder::PossibleValuesParser;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::root;
use target::{Needed, TARGETS, Target};
use toolchain::{CrossToolchain, UNWINDER};

#[derive(Debug, Args)]
#[command(
    after_help = "It needs Debian's rustc-web, cargo-web and rust-web-src, and compiles the standard library of each \
target; or rustup with the targets added. --test needs a cross compiler for each target and qemu-user-static, and says \
which packages are missing."
)]
pub(crate) struct CrossArguments {
    /// A target, as rustc names it; may be given several times [default: all].
    #[arg(long = "target", value_name = "TARGET", value_parser = names())]
    targets: Vec<String>,
    /// Run the unit tests too, in an emulator where this machine cannot run them.
    #[arg(long)]
    test: bool,
    /// Test netns-core with the oldest compiler that it promises to build with, instead.
    #[arg(long, conflicts_with_all = ["targets", "test"])]
    msrv: bool,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(TARGETS.iter().map(|target| target.name))
}

/// Compiles for each target, prints what it took, and goes on after one that fails.
pub(crate) fn cross(arguments: &CrossArguments) -> Result<(), String> {
    let root = root();
    if arguments.msrv {
        return msrv::check(&root);
    }
    let all = TARGETS.iter().filter(|target| {
        arguments.targets.is_empty() || arguments.targets.iter().any(|name| name == target.name)
    });
    let targets: Vec<&Target> = all.collect();
    if arguments.test {
        require(targets.iter().flat_map(|target| to_test(target)))?;
    }
    let folder = root.join("target/cross");
    let mut failed = Vec::new();
    for group in groups(&targets) {
        if let Err(message) = compile(&group, &root, &folder) {
            println!("{message}");
            failed.extend(group.targets.iter().map(|target| target.name));
            continue;
        }
        for target in group.targets.iter().filter(|_| arguments.test) {
            if let Err(message) = test(&group.toolchain, target, &root, &folder) {
                println!("{:<30} {message}", target.name);
                failed.push(target.name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// Targets that one compiler compiles the same packages for.
struct CrossGroup<'a> {
    toolchain: Result<CrossToolchain, String>,
    targets: Vec<&'a Target>,
}

/// What cargo can do at once: then one target's standard library, whose parts wait for one another, does not leave
/// processors without work.
fn groups<'a>(targets: &[&'a Target]) -> Vec<CrossGroup<'a>> {
    let mut groups: Vec<CrossGroup<'a>> = Vec::new();
    for target in targets {
        let toolchain = CrossToolchain::find(target);
        let fits = |group: &&mut CrossGroup<'_>| {
            group.toolchain.is_ok()
                && group.toolchain == toolchain
                && group.targets.iter().all(|other| other.packages == target.packages)
        };
        match groups.iter_mut().find(fits) {
            Some(group) => group.targets.push(target),
            None => groups.push(CrossGroup { toolchain, targets: vec![target] }),
        }
    }
    groups
}

/// Compiles for the targets of a group.
fn compile(group: &CrossGroup<'_>, root: &Path, folder: &Path) -> Result<(), String> {
    let names = group.targets.iter().map(|target| target.name).collect::<Vec<_>>().join(" ");
    let toolchain = group.toolchain.as_ref().map_err(|error| format!("{names}: {error}"))?;
    let packages = group.targets.first().map_or(&[][..], |target| target.packages);
    let mut cargo = toolchain.cargo("check", &group.targets, folder);
    // Everything that does not compile must be seen, whichever target it is for.
    name_packages(cargo.arg("--keep-going"), packages);
    timed(&names, "compile", packages, cargo.current_dir(root)).map_err(|error| format!("{names}: {error}"))
}

/// Runs a target's tests, if it has any that are run.
fn test(
    toolchain: &Result<CrossToolchain, String>,
    target: &Target,
    root: &Path,
    folder: &Path,
) -> Result<(), String> {
    let Some(run) = &target.run else { return Ok(()) };
    let mut cargo = toolchain.clone()?.linking_cargo("test", target, run, folder)?;
    // What fails in each package is to be seen.
    name_packages(cargo.args(["--lib", "--no-fail-fast"]), run.packages);
    cargo.arg("--");
    for test in run.skipped {
        cargo.args(["--skip", test]);
    }
    timed(target.name, "test", run.packages, cargo.current_dir(root))
}

/// Names packages of the workspace, and leaves out debug information, which nobody would read.
fn name_packages(cargo: &mut Command, packages: &[&str]) {
    cargo.args(["--quiet", "--config", "profile.dev.debug=false"]);
    for package in packages {
        cargo.args(["--package", package]);
    }
}

/// Runs a command and prints what it took.
fn timed(target: &str, what: &str, of: &[&str], command: &mut Command) -> Result<(), String> {
    let begin = Instant::now();
    let status =
        command.status().map_err(|error| format!("run {}: {error}", command.get_program().display()))?;
    if !status.success() {
        return Err(format!("{what}: FAILED ({status})"));
    }
    println!("{target:<30} {what:<8} {:>5.0} s  {}", begin.elapsed().as_secs_f64(), of.join(" "));
    Ok(())
}

/// What testing a target takes besides a compiler.
fn to_test(target: &Target) -> Vec<Needed> {
    let Some(run) = &target.run else { return Vec::new() };
    let unwinder = target.name.ends_with("musl").then_some(UNWINDER);
    [run.linker, run.library]
        .into_iter()
        .chain(run.emulator.map(|(program, _)| program))
        .chain(unwinder)
        .collect()
}

/// Names the Debian packages of what is missing.
pub(crate) fn require(needed: impl IntoIterator<Item = Needed>) -> Result<(), String> {
    let missing = needed.into_iter().filter(|needed| !needed.is_there()).map(|needed| needed.package);
    let mut missing: Vec<&str> = missing.collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "these Debian packages are missing: apt-get install --no-install-recommends {}",
        missing.join(" ")
    ))
}
