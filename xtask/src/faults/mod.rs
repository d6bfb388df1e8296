//! `cargo xtask faults`: every command that makes or removes something, with each of its requests to the kernel refused,
//! and killed before each.
//!
//! A command first runs without a fault under strace, which lists its requests to the kernel. Then it runs again for every
//! such call, each time in a host of its own (network, mounts, processes): either that call is refused with a fitting error,
//! or the command is killed before it. Afterwards the host is compared with what it was: see [`operation::Effect`] for what
//! may differ. Strangers' look-alikes are there throughout.

mod case;
mod inventory;
mod library;
mod limits;
mod operation;
mod part;
mod plugin;
mod site;

use case::{CaseFound, Injected};
use clap::Args;
use limits::Reached;
use netns::Failure;
use netns::messages::say;
use netns::output::{json_line, stdout};
use operation::{ALL, Operation};
use part::Part;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use site::{KnownSite, Site};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a command may take with a fault, in seconds: none ever waits that long.
const LIMIT: &str = "60";
/// How long nothing is said of how far it is.
const PROGRESS: Duration = Duration::from_secs(30);
/// How long all trials at one value of a limit may take, in seconds.
const LIMITS_LIMIT: &str = "300";

#[derive(Debug, Args)]
#[command(
    after_help = "As root, on Debian with strace, iproute2 and nftables. Every case is in namespaces of its own, \
which go with it. Exit codes: 0 nothing was wrong, 1 something was; each case that went wrong is on stderr."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct FaultsArguments {
    /// Test similar calls once for all forms of a command: takes some minutes.
    #[arg(long)]
    quick: bool,
    /// Only commands whose name contains this, such as `observe`.
    #[arg(long, value_name = "NAME")]
    operation: Vec<String>,
    /// Only the K-th of N equal parts of each command's cases: a full run takes hours, and so it can be spread over nights.
    #[arg(long, value_name = "K/N", value_parser = Part::parse, conflicts_with = "limits")]
    part: Option<Part>,
    /// Only count the calls and the cases of each command, and run none.
    #[arg(long, conflicts_with = "limits")]
    count: bool,
    /// Instead of refusals and kills: exhausted limits of the machine, several processes at once, and signals that keep
    /// arriving.
    #[arg(long, conflicts_with = "operation")]
    limits: bool,
    /// How many cases to run at once [default: the number of processors].
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// One JSON object on stdout instead of the table.
    #[arg(long)]
    json: bool,
    /// Run one case in the host of this process, as this command does internally.
    #[arg(long, hide = true, value_name = "JSON")]
    case: Option<String>,
    /// Run one operation of the library in the host of this process; it is what is refused and killed.
    #[arg(long, hide = true, value_name = "NAME")]
    library: Option<String>,
    /// Run commands of the CNI plugin in the host of this process.
    #[arg(long, hide = true, value_name = "COMMANDS")]
    plugin: Option<String>,
}

/// What was tried with a command, and what was wrong.
#[derive(Debug, Default)]
struct Totals {
    calls: usize,
    refused: usize,
    killed: usize,
    /// Ended by SIGTERM or SIGINT.
    stopped: usize,
    /// After how many cases something stayed until the recovery, as it may.
    stayed: usize,
    wrong: usize,
}

pub(crate) fn faults(arguments: &FaultsArguments) -> Result<ExitCode, Failure> {
    if let Some(case) = &arguments.case {
        return one(case);
    }
    if let Some(name) = &arguments.library {
        return library::run(name).map(|()| ExitCode::SUCCESS);
    }
    if let Some(commands) = &arguments.plugin {
        return plugin::call(commands).map(|()| ExitCode::SUCCESS);
    }
    if let Some(missing) =
        netns_core::missing_capabilities().ok().and_then(|missing| missing.first().copied())
    {
        return Err(Failure::usage(format!("{missing} is missing: run it as root")));
    }
    let jobs = arguments.jobs.or_else(|| thread::available_parallelism().ok().map(Into::into)).unwrap_or(2);
    if arguments.limits {
        return try_limits(arguments, jobs);
    }
    let begin = Instant::now();
    let mut rows = Vec::new();
    let mut known: HashMap<&str, KnownSite> = HashMap::new();
    for (number, operation) in ALL.iter().enumerate() {
        let wanted = &arguments.operation;
        if !wanted.is_empty() && !wanted.iter().any(|name| operation.name.contains(&**name)) {
            continue;
        }
        let verb = operation.arguments.split(' ').next().unwrap_or_default();
        // What has to hold after a kill differs.
        let similar = if operation.holds.is_empty() { verb } else { operation.name };
        let known = known.entry(similar).or_default();
        let jobs = if arguments.count { 0 } else { jobs };
        let totals = try_all(number, operation, (arguments, known), jobs).map_err(Failure::Kernel)?;
        say(format_args!("{}: {} ({} s)", operation.name, totals.words(), begin.elapsed().as_secs()));
        rows.push((operation.name, totals));
    }
    print(arguments, &rows).map_err(|_| Failure::Closed)?;
    Ok(if rows.iter().all(|(_, totals)| totals.wrong == 0) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(arguments: &FaultsArguments, rows: &[(&str, Totals)]) -> std::io::Result<()> {
    let mut out = stdout();
    let sum = rows.iter().fold(Totals::default(), |sum, (_, row)| sum.and(row));
    if arguments.json {
        let all: Vec<Value> = rows.iter().map(|(name, totals)| totals.json(name)).collect();
        return json_line(&mut out, &json!({"operations": all, "total": sum.json("total")}));
    }
    writeln!(
        out,
        "| operation | calls | refused | killed | stopped | stayed | wrong |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    )?;
    for (name, totals) in rows.iter().map(|(name, totals)| (*name, totals)).chain([("*all*", &sum)]) {
        let Totals { calls, refused, killed, stopped, stayed, wrong } = totals;
        writeln!(out, "| {name} | {calls} | {refused} | {killed} | {stopped} | {stayed} | {wrong} |")?;
    }
    Ok(())
}

impl Totals {
    fn words(&self) -> String {
        let Self { calls, refused, killed, stopped, stayed, wrong } = self;
        format!(
            "{calls} calls, {refused} refused, {killed} killed, {stopped} stopped, {stayed} stayed until the recovery, \
             {wrong} wrong"
        )
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            refused: self.refused + other.refused,
            killed: self.killed + other.killed,
            stopped: self.stopped + other.stopped,
            stayed: self.stayed + other.stayed,
            wrong: self.wrong + other.wrong,
        }
    }

    fn json(&self, name: &str) -> Value {
        let Self { calls, refused, killed, stopped, stayed, wrong } = self;
        json!({"operation": name, "calls": calls, "refused": refused, "killed": killed, "stopped": stopped,
               "stayed": stayed, "wrong": wrong})
    }
}

/// One case, in the host of this process.
fn one(case: &str) -> Result<ExitCode, Failure> {
    let broken = || Failure::usage("--case is for this program alone");
    let case: Value = serde_json::from_str(case).map_err(|_| broken())?;
    if let Some(number) = case["limit"].as_u64().and_then(|number| usize::try_from(number).ok()) {
        let limit = limits::ALL.get(number).ok_or_else(broken)?;
        let reached = limit.reach(case["value"].as_str().ok_or_else(broken)?).map_err(Failure::Kernel)?;
        json_line(&mut stdout(), &json!(reached)).map_err(|_| Failure::Closed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let number = case["operation"].as_u64().and_then(|number| usize::try_from(number).ok());
    let operation = number.and_then(|number| ALL.get(number)).ok_or_else(broken)?;
    let fault: Injected = serde_json::from_value(case["fault"].clone()).map_err(|_| broken())?;
    let goal: BTreeSet<String> = serde_json::from_value(case["goal"].clone()).map_err(|_| broken())?;
    let found = case::run(operation, &fault, &goal).map_err(Failure::Kernel)?;
    json_line(&mut stdout(), &json!(found)).map_err(|_| Failure::Closed)?;
    Ok(ExitCode::SUCCESS)
}

/// Tries every fault of a command, with no `jobs` none.
fn try_all(
    number: usize,
    operation: &Operation,
    (arguments, known): (&FaultsArguments, &mut KnownSite),
    jobs: usize,
) -> Result<Totals, String> {
    let quick = arguments.quick;
    let whole = in_host(number, &Injected::None, &BTreeSet::new())
        .map_err(|error| format!("{}: {error}", operation.name))?;
    for wrong in &whole.wrong {
        say(format_args!("{}, without a fault: {wrong}", operation.name));
    }
    let sites = site::sites(&whole.log, !quick, known);
    let mut totals = Totals { calls: sites.len(), wrong: whole.wrong.len(), ..Totals::default() };
    let all = (0..).zip(&sites).flat_map(|(number, site)| faults_of(site, number, operation, quick));
    // What has to hold does so after a kill. The refusals are those of the other forms of the command.
    let only_kills = quick && !operation.holds.is_empty();
    let is_kill = |fault: &Injected| matches!(fault, Injected::Signal { signal, .. } if signal == "KILL");
    let wanted = all.filter(|(_, fault)| !only_kills || is_kill(fault));
    let faults: VecDeque<(&Site, Injected)> = arguments.part.unwrap_or(Part::ALL).of(wanted).collect();
    for (_, fault) in &faults {
        match fault {
            Injected::None => {}
            Injected::Error { .. } => totals.refused += 1,
            Injected::Signal { signal, .. } if signal == "KILL" => totals.killed += 1,
            Injected::Signal { .. } => totals.stopped += 1,
        }
    }
    let tried = Mutex::new(Tried::new(operation.name, faults.len()));
    let queue = Mutex::new(faults);
    let work = || {
        while let Some((site, fault)) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
            let found = in_host(number, &fault, &whole.end);
            let stayed = found.as_ref().is_ok_and(|found| found.stayed);
            let described = format!("{}, {}", operation.name, described(site, &fault));
            if stayed {
                say(format_args!("{described}: something stayed until the recovery"));
            }
            let sentences = found.map_or_else(|error| vec![error], |found| found.wrong);
            if !sentences.is_empty() {
                say(format_args!("{described}:\n    {}", sentences.join("\n    ")));
            }
            tried.lock().unwrap_or_else(PoisonError::into_inner).one_more(stayed, !sentences.is_empty());
        }
    };
    thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
    let tried = tried.into_inner().unwrap_or_else(PoisonError::into_inner);
    totals.stayed = tried.stayed;
    totals.wrong += tried.wrong;
    Ok(totals)
}

/// How far the cases of an operation are.
struct Tried {
    operation: &'static str,
    all: usize,
    done: usize,
    stayed: usize,
    wrong: usize,
    begin: Instant,
    said: Instant,
}

impl Tried {
    fn new(operation: &'static str, all: usize) -> Self {
        let now = Instant::now();
        Self { operation, all, done: 0, stayed: 0, wrong: 0, begin: now, said: now }
    }

    /// A case has ended. Now and then it says how many are left, and how long they take.
    fn one_more(&mut self, stayed: bool, wrong: bool) {
        self.done += 1;
        self.stayed += usize::from(stayed);
        self.wrong += usize::from(wrong);
        if self.done < self.all && self.said.elapsed() >= PROGRESS {
            self.said = Instant::now();
            let a_case = self.begin.elapsed() / u32::try_from(self.done).unwrap_or(u32::MAX);
            let left = a_case * u32::try_from(self.all - self.done).unwrap_or(u32::MAX);
            let Self { operation, all, done, wrong, .. } = self;
            say(format_args!("{operation}: {done} of {all} cases, {wrong} wrong, {} s left", left.as_secs()));
        }
    }
}

/// For each call a refusal (`quick`: by one error, otherwise by every fitting one). Before each call that changes something, a
/// kill, and signals if they end the operation in order (`quick`: one of the two).
fn faults_of<'a>(
    site: &'a Site,
    number: usize,
    operation: &Operation,
    quick: bool,
) -> Vec<(&'a Site, Injected)> {
    let (call, when) = (site.call.clone(), site.when);
    let few = |all: &'static [&'static str], from: usize| if quick { &all[from..=from] } else { all };
    let mut faults = Vec::new();
    for error in few(site.errors(), 0) {
        let (error, words) = ((*error).to_owned(), site.words.clone());
        faults.push((site, Injected::Error { call: call.clone(), when, error, words }));
    }
    if site.changes || !operation.holds.is_empty() {
        let orderly: &[&str] = if operation.orderly { few(&["TERM", "INT"], number % 2) } else { &[] };
        for signal in ["KILL"].iter().chain(orderly) {
            faults.push((site, Injected::Signal { call: call.clone(), when, signal: (*signal).to_owned() }));
        }
    }
    faults
}

fn described(site: &Site, fault: &Injected) -> String {
    match fault {
        Injected::None => String::new(),
        Injected::Error { call, when, error, .. } => {
            format!("{error} at {call} number {when} ({})", site.words)
        }
        Injected::Signal { call, when, signal } => {
            format!("SIG{signal} before {call} number {when} ({})", site.words)
        }
    }
}

/// Runs a case in a host of its own.
fn in_host(number: usize, fault: &Injected, goal: &BTreeSet<String>) -> Result<CaseFound, String> {
    let case = json!({"operation": number, "fault": fault, "goal": goal});
    in_new_host(&case, LIMIT)
}

/// Runs this program in a host of its own for at most so many seconds; returns its output.
fn in_new_host<T: DeserializeOwned>(case: &Value, limit: &str) -> Result<T, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", limit, "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"]);
    command.args(["--mount-proc", "--propagation", "private"]).arg(program);
    command.args(["faults", "--case", &case.to_string()]);
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("unshare: {error}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(match output.status.code() {
            None | Some(137) => format!("it takes longer than {limit} s"),
            Some(_) => words.trim().to_owned(),
        });
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("a case says nonsense: {error}"))
}

/// Tries every limit.
fn try_limits(arguments: &FaultsArguments, jobs: usize) -> Result<ExitCode, Failure> {
    let begin = Instant::now();
    let mut rows = Vec::new();
    for (number, limit) in limits::ALL.iter().enumerate() {
        if let Some(why) = limit.obstacle() {
            say(format_args!("{}: not tried: {why}", limit.name));
            continue;
        }
        let values = Mutex::new(VecDeque::from(limit.values(arguments.quick)));
        let sum = Mutex::new(Reached::default());
        let work = || {
            while let Some(value) = values.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
                let case = json!({"limit": number, "value": value});
                let reached = in_new_host(&case, LIMITS_LIMIT).unwrap_or_else(|error| Reached {
                    wrong: vec![format!("{} {value}: {error}", limit.name)],
                    ..Reached::default()
                });
                reached.wrong.iter().for_each(|wrong| say(format_args!("{wrong}")));
                let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                sum.tried += reached.tried;
                sum.refused += reached.refused;
                sum.stayed += reached.stayed;
                sum.wrong.extend(reached.wrong);
            }
        };
        thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
        let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (tried, refused, wrong) = (sum.tried, sum.refused, sum.wrong.len());
        let seconds = begin.elapsed().as_secs();
        say(format_args!("{}: {tried} tried, {refused} refused, {wrong} wrong ({seconds} s)", limit.name));
        rows.push((limit.name, sum));
    }
    print_limits(arguments.json, &rows).map_err(|_| Failure::Closed)?;
    Ok(if rows.iter().all(|(_, sum)| sum.wrong.is_empty()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_limits(as_json: bool, rows: &[(&str, Reached)]) -> std::io::Result<()> {
    let mut out = stdout();
    if as_json {
        let row = |(name, sum): &(&str, Reached)| {
            json!({"limit": name, "tried": sum.tried, "refused": sum.refused, "stayed": sum.stayed,
                   "wrong": sum.wrong.len()})
        };
        return json_line(&mut out, &json!({"limits": rows.iter().map(row).collect::<Vec<_>>()}));
    }
    writeln!(out, "| limit | tried | refused | stayed | wrong |\n| --- | ---: | ---: | ---: | ---: |")?;
    for (name, Reached { tried, refused, stayed, wrong }) in rows {
        writeln!(out, "| {name} | {tried} | {refused} | {stayed} | {} |", wrong.len())?;
    }
    Ok(())
}
