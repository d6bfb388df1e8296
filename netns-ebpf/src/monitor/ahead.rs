//! What runs before our programs at a port, and may keep frames from them.

use std::fmt;

use netns_core::tc::{self, Direction, FilterInfo};
use netns_core::{Error, RouteSocket};

use super::hook::{self, AT_HOST};
use super::{Monitor, MonitorError};

/// Something of somebody else's that runs before a program of ours at a port's hook. What it lets pass, drops or redirects,
/// ours does not see, unless it says that the next one is to decide.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Ahead {
    /// A filter: of a lower priority, or put before ours within the same.
    Filter {
        /// The hook.
        direction: Direction,
        /// Its classifier: "bpf", "flower".
        kind: String,
        /// Its priority.
        priority: u16,
        /// Its handle within the priority.
        handle: u32,
    },
    /// A program attached by TCX (Linux 6.6). All of those run before all filters.
    Tcx {
        /// The hook.
        direction: Direction,
        /// The id by which the kernel names it.
        program: u32,
    },
}

impl Ahead {
    pub(super) fn filter(filter: &FilterInfo, direction: Direction) -> Self {
        let FilterInfo { kind, priority, handle, .. } = filter;
        Self::Filter { direction, kind: kind.clone(), priority: *priority, handle: *handle }
    }
}

/// By what `tc filter delete` takes, and what `bpftool net` shows.
impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |direction: &Direction| match direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        };
        match self {
            Self::Filter { direction, kind, priority, handle } => {
                write!(f, "the {} filter \"pref {priority} handle {handle:#x} {kind}\"", word(direction))
            }
            Self::Tcx { direction, program } => {
                write!(f, "the {} TCX program with the id {program}", word(direction))
            }
        }
    }
}

/// How our two filters of a port stand.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Both are there, behind these filters of others: most often none.
    There(Vec<Ahead>),
    /// One is not.
    Missing,
}

impl Monitor {
    /// What runs before the programs of [`Self::attach`] at a port, in the order in which it does: first what is attached by
    /// TCX, then filters. `None` if a program of ours is missing.
    ///
    /// # Errors
    /// [`MonitorError::Port`] with what the kernel refused.
    pub fn ahead(&self, socket: &mut RouteSocket, ifindex: u32) -> Result<Option<Vec<Ahead>>, MonitorError> {
        let failed = |source| MonitorError::Port { operation: "look at", ifindex, source };
        let Standing::There(filters) = self.standing(socket, ifindex).map_err(failed)? else {
            return Ok(None);
        };
        let namespace = socket.namespace().map_err(failed)?;
        let mut ahead = namespace.enter(|| self.tcx_ahead(ifindex)).map_err(failed)?.unwrap_or_default();
        ahead.extend(filters);
        Ok(Some(ahead))
    }

    /// Of filters alone.
    pub(super) fn standing(&self, socket: &mut RouteSocket, ifindex: u32) -> Result<Standing, Error> {
        let (Some(slot), mut ahead) = (self.slot(ifindex), Vec::new()) else { return Ok(Standing::Missing) };
        let directions = if self.is_of_host(slot) { AT_HOST } else { &Direction::BOTH };
        for (&direction, program) in directions.iter().zip(self.program_ids()) {
            let filters = tc::list_filters(socket, ifindex, direction)?;
            let is_ours = |filter: &FilterInfo| {
                filter.program_id == Some(program) && filter.class_id == Some(slot.get().into())
            };
            let Some(ours) = filters.iter().position(is_ours) else { return Ok(Standing::Missing) };
            // They are listed as they run: by priority, and of one priority the latest first (`cls_bpf_change` in
            // <https://github.com/torvalds/linux/blob/v6.18/net/sched/cls_bpf.c>).
            let before = filters[..ours].iter().filter(|other| !self.is_beside(other));
            ahead.extend(before.map(|other| Ahead::filter(other, direction)));
        }
        Ok(Standing::There(ahead))
    }

    /// Whether a filter is one of others that hides nothing: [`MonitorOptions::beside`](super::MonitorOptions::beside).
    pub(super) fn is_beside(&self, filter: &FilterInfo) -> bool {
        filter.program_id.is_some_and(|program| self.beside.as_flattened().contains(&program))
    }

    /// What is attached by TCX to a port of the thread's namespace, but for programs of ours; `None` if the kernel has no TCX,
    /// or the port is gone.
    pub(super) fn tcx_ahead(&self, ifindex: u32) -> Option<Vec<Ahead>> {
        let mut ahead = Vec::new();
        for (place, direction) in Direction::BOTH.into_iter().enumerate() {
            let ours = self.tcx.as_ref().map(|programs| programs[place].id);
            let programs = hook::query(ifindex, place).ok()?;
            let others = programs.into_iter().filter(|&program| Some(program) != ours);
            ahead.extend(others.map(|program| Ahead::Tcx { direction, program }));
        }
        Some(ahead)
    }
}
