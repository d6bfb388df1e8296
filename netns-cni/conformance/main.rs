//! `cni-conformance PLUGIN --conf FILE`: tests a CNI plugin from outside, case by case of a table whose entries name the
//! section of the specification, and writes TAP.
//!
//! Each case is run in network and mount namespaces of its own, with an empty `/run` and `/var/lib/cni`, for each version
//! of the specification that the plugin supports.

mod arguments;
mod case;
mod chain;
mod host;
mod judge;
mod plugin;

use arguments::ConformanceArguments;
use case::ConformanceCase;
use plugin::PluginUnderTest;
use serde_json::Value;
use std::process::ExitCode;

/// The cases, as data.
const CASES: &str = include_str!("cases.json");
/// The versions that there are cases for.
const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

fn main() -> ExitCode {
    match ConformanceArguments::read(std::env::args_os().skip(1)) {
        Err(why) => {
            eprintln!("cni-conformance: {why}");
            ExitCode::from(1)
        }
        Ok(arguments) => match run(&arguments) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(why) => {
                eprintln!("cni-conformance: {why}");
                ExitCode::from(2)
            }
        },
    }
}

/// Whether no case failed.
fn run(arguments: &ConformanceArguments) -> Result<bool, String> {
    let plugin = PluginUnderTest::open(arguments)?;
    let table: Value = serde_json::from_str(CASES).map_err(|error| format!("cases.json: {error}"))?;
    let cases = table.as_array().ok_or("cases.json is no list")?;
    let cases: Vec<ConformanceCase> = cases.iter().map(ConformanceCase::read).collect::<Result<_, _>>()?;
    if let Some(inside) = &arguments.inside {
        return Ok(run_inside(&plugin, &cases, inside));
    }
    let spoken = plugin.versions()?;
    let known: Vec<&str> =
        VERSIONS.into_iter().filter(|version| spoken.iter().any(|one| one == version)).collect();
    let newest = *known.last().ok_or("the plugin speaks none of the versions that there are cases for")?;
    let mut counts = [0_u32; 3];
    println!("TAP version 13");
    'cases: for case in &cases {
        let is_meant = |only: &String| {
            let is_a_name = cases.iter().any(|case| case.id == *only);
            if is_a_name { case.id == *only } else { case.id.contains(only.as_str()) }
        };
        if case.chained != arguments.chained || !case.is_of_type(&plugin.conf["type"]) {
            continue;
        }
        if !arguments.only.as_ref().is_none_or(is_meant) {
            continue;
        }
        let wanted: Vec<&str> = VERSIONS.into_iter().filter(|version| case.is_of(version)).collect();
        let mut versions: Vec<&str> =
            wanted.iter().copied().filter(|version| known.contains(version)).collect();
        if !case.each {
            // The newest version that both the case and the plugin have.
            versions = versions.last().copied().into_iter().collect();
        }
        let number = |counts: &[u32; 3]| counts.iter().sum::<u32>() + 1;
        if case.speaks.as_ref().is_some_and(|needed| !spoken.contains(needed)) {
            versions.clear();
        }
        if versions.is_empty() {
            let since = case.speaks.as_deref().or(wanted.first().copied()).unwrap_or("no version");
            println!(
                "ok {} - {} # SKIP the plugin speaks up to {newest}, this is of {since}",
                number(&counts),
                case.id
            );
            counts[2] += 1;
        }
        for version in versions {
            let verdict = host::run_case(arguments, &case.id, version)?;
            let (word, kind) = match &verdict {
                host::Verdict::Passed => ("ok", 0),
                host::Verdict::Skipped(_) => ("ok", 2),
                host::Verdict::Failed(_) => ("not ok", 1),
            };
            let skip = match &verdict {
                host::Verdict::Skipped(why) => format!(" # SKIP {why}"),
                _ => String::new(),
            };
            println!("{word} {} - {} {version} ({}){skip}", number(&counts), case.id, case.section);
            if let host::Verdict::Failed(why) = &verdict {
                println!("# the specification: {}", case.says);
                why.lines().for_each(|line| println!("# {line}"));
            }
            counts[kind] += 1;
            if arguments.stop && kind == 1 {
                break 'cases;
            }
        }
    }
    let [passed, failed, skipped] = counts;
    println!("1..{}", passed + failed + skipped);
    println!("# {passed} passed, {failed} failed, {skipped} skipped");
    Ok(failed == 0)
}

/// Runs one case in the present namespace; errors go to stdout, for the process outside.
fn run_inside(plugin: &PluginUnderTest, cases: &[ConformanceCase], (id, version): &(String, String)) -> bool {
    let Some(case) = cases.iter().find(|case| case.id == *id) else {
        println!("there is no case {id}");
        return false;
    };
    match host::prepare().and_then(|()| judge::run(plugin, case, version)) {
        Ok(()) => true,
        Err(why) => {
            println!("{why}");
            false
        }
    }
}
