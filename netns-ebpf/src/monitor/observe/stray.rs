//! Filters of ours of which no record says anything: it was torn, or somebody removed it.

use std::collections::HashSet;
use std::fs;

use netns_core::tc::{self, Direction};
use netns_core::{Error, RouteSocket};

use crate::monitor::attach::NAME;

/// A filter that is called as ours are, of a program that is not known. It may be ours, and it may be anybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrayFilter {
    /// The hook.
    pub direction: Direction,
    /// Its priority.
    pub priority: u16,
    /// Its handle within the priority.
    pub handle: u32,
}

/// What is on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrayFilters {
    /// Filters that look like ours.
    pub filters: Vec<StrayFilter>,
    /// Whether there are others, too.
    pub has_others: bool,
}

impl StrayFilters {
    /// Looks at a link, whose filters may carry these programs.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn look(socket: &mut RouteSocket, ifindex: u32, known: &HashSet<u32>) -> Result<Self, Error> {
        let (mut filters, mut has_others) = (Vec::new(), false);
        for direction in Direction::BOTH {
            for filter in tc::list_filters(socket, ifindex, direction)? {
                let is_known = filter.program_id.is_none_or(|id| known.contains(&id));
                if is_known || filter.name.as_deref() != Some(NAME) {
                    has_others = true;
                    continue;
                }
                let (priority, handle) = (filter.priority, filter.handle);
                filters.push(StrayFilter { direction, priority, handle });
            }
        }
        Ok(Self { filters, has_others })
    }
}

/// The ids of the programs that processes have open: those of monitors that live. Of other processes than those of
/// `/proc` nothing is known.
#[must_use]
pub fn programs_of_processes() -> HashSet<u32> {
    let entries = |path: String| fs::read_dir(path).into_iter().flatten().flatten();
    let is_process = |entry: &fs::DirEntry| {
        entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut programs = HashSet::new();
    for process in entries("/proc".to_owned()).filter(is_process) {
        for descriptor in entries(format!("{}/fdinfo", process.path().display())) {
            // One that was closed meanwhile has none.
            let text = fs::read_to_string(descriptor.path()).unwrap_or_default();
            let id = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
            programs.extend(id.and_then(|id| id.trim().parse::<u32>().ok()));
        }
    }
    programs
}
