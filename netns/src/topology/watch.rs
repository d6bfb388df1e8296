//! `netns watch`: keeps what enforces a topology's policies in place.

use super::cli::WatchLabArguments;
use crate::failure::Failure;
use crate::output::{json_line, stream};
use crate::require;
use crate::signals::Stop;
use netns_core::events::Events;
use netns_topology::{Error, Lab};
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// The shortest pause between two checks, however often others change links.
const REST: Duration = Duration::from_millis(20);

pub(crate) fn watch(arguments: &WatchLabArguments) -> Result<ExitCode, Failure> {
    let lab = Lab::new(&arguments.file)?;
    let file = arguments.file.display();
    require::rights("watch", &[require::NET_ADMIN, require::SYS_ADMIN])?;
    let stop = Stop::on_signals()?;
    // Before the first check, so that nothing is missed after it. Other namespaces, and TCX programs, send no notices here:
    // they are checked in any case.
    let mut events = Events::open_with_traffic_control()?;
    if lab.record()?.is_none() {
        return Err(Failure::usage(format!("{file} is not up")));
    }
    let mut watching = WatchedLab { json: arguments.json, lost: 0, in_the_way: Vec::new() };
    watching.begin(&arguments.file.to_string_lossy())?;
    while !stop.requested() {
        let began = Instant::now();
        match lab.keep_policies() {
            Ok(None) => break,
            Ok(Some(put_back)) => {
                watching.in_the_way.clear();
                put_back.iter().try_for_each(|change| watching.report(&change.to_string(), true))?;
            }
            Err(Error::Conflict(why)) => watching.is_in_the_way(why)?,
            Err(error) => watching.is_in_the_way(vec![error.to_string()])?,
        }
        // A check takes longer the more there is, and others need the kernel's locks too.
        thread::sleep(began.elapsed().max(REST));
        let mut limit = arguments.interval;
        while events.next(limit)?.is_some() {
            limit = Duration::ZERO;
        }
    }
    match watching.lost {
        0 => Ok(ExitCode::SUCCESS),
        times => Err(Failure::enforcement_lost(times)),
    }
}

/// A topology that is watched, and what it has lost.
struct WatchedLab {
    json: bool,
    lost: u64,
    /// What prevents it from being put back, so that it is reported once.
    in_the_way: Vec<String>,
}

impl WatchedLab {
    fn begin(&self, file: &str) -> Result<(), Failure> {
        if self.json {
            json_line(&mut stream(), &json!({ "type": "watch", "file": file }))?;
        } else {
            writeln!(stream(), "{file}: its policies are watched")?;
        }
        Ok(())
    }

    fn report(&mut self, what: &str, is_restored: bool) -> Result<(), Failure> {
        self.lost += 1;
        if self.json {
            let line = json!({ "type": "enforcement", "event": "lost", "what": what, "restored": is_restored,
                "lost": self.lost });
            json_line(&mut stream(), &line)?;
        } else {
            let state = if is_restored { "put back" } else { "lost" };
            writeln!(stream(), "{state}: {what}")?;
        }
        Ok(())
    }

    /// Reports obstacles that were not there before.
    fn is_in_the_way(&mut self, why: Vec<String>) -> Result<(), Failure> {
        let before = std::mem::replace(&mut self.in_the_way, why);
        let news: Vec<String> = self.in_the_way.iter().filter(|one| !before.contains(one)).cloned().collect();
        news.iter().try_for_each(|one| self.report(one, false))
    }
}
