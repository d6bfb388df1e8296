//! What the programs and their maps depend on of the machine.

use std::{fs, io};

use super::MonitorError;

/// The version that the kernel calls itself by, such as `6.1.0-41-amd64`.
const RELEASE: &str = "/proc/sys/kernel/osrelease";
/// What `uname -v` prints: how and when the kernel was built.
const BUILD: &str = "/proc/sys/kernel/version";
/// Of distributions' real-time kernels before Linux 6.12, which carried the patches themselves.
const REALTIME: &str = "/sys/kernel/realtime";

/// The CPUs that can ever be, in the kernel's list format.
const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
/// A table whose heading has a column for each CPU that can ever be
/// ([`for_each_possible_cpu`](https://github.com/torvalds/linux/blob/v6.18/fs/proc/softirqs.c)). `/proc/stat` and
/// `/proc/interrupts` have those only that are online now.
const SOFTIRQS: &str = "/proc/softirqs";

/// A kernel's version, as far as something may depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KernelVersion {
    /// In full, as the kernel has it.
    pub(super) release: String,
    /// The first two numbers; `None` if it does not begin with two.
    numbers: Option<(u32, u32)>,
}

impl KernelVersion {
    /// The kernel that runs.
    pub(super) fn running() -> Self {
        Self::of(&fs::read_to_string(RELEASE).unwrap_or_default())
    }

    pub(super) fn of(release: &str) -> Self {
        let release = release.trim().to_owned();
        let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse);
        let numbers = match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
            _ => None,
        };
        Self { release, numbers }
    }

    /// Whether its number is below another one. Distributions carry what is new into kernels with old numbers, so this may
    /// explain a refusal, and not predict one.
    pub(super) fn is_before(&self, major: u32, minor: u32) -> bool {
        self.numbers.is_some_and(|numbers| numbers < (major, minor))
    }
}

/// Whether the kernel may let one run of the program preempt another one on the same CPU: `PREEMPT_RT`.
pub(super) fn is_preemptible() -> bool {
    let read = |path| fs::read_to_string(path).ok();
    is_realtime(read(BUILD).as_deref(), read(REALTIME).as_deref())
}

/// The kernel's build says `PREEMPT_RT` from where [`UTS_VERSION`] is made, with and without distributions' patches. A
/// kernel of which nothing is known counts as one: atomic additions are right everywhere, and a little slower.
///
/// [`UTS_VERSION`]: https://github.com/torvalds/linux/blob/v6.18/init/Makefile
fn is_realtime(build: Option<&str>, realtime: Option<&str>) -> bool {
    let says = realtime.is_some_and(|content| content.trim() == "1");
    says || build.is_none_or(|build| build.contains("PREEMPT_RT"))
}

/// How many lines a slot needs for every CPU to have its own: one more than the highest number that a CPU can have.
///
/// A container may have no `/sys`, so `/proc` is asked then. A guess would not do: what a CPU counts that has no line is
/// lost.
pub(super) fn cpu_lines() -> Result<u32, MonitorError> {
    let possible = fs::read_to_string(POSSIBLE).ok().and_then(|list| highest_in_list(&list));
    if let Some(lines) = possible.and_then(|highest| highest.checked_add(1)) {
        return Ok(lines);
    }
    let failed = |source| MonitorError::Kernel {
        operation: format!("find out how many CPUs there can be from {POSSIBLE} or {SOFTIRQS}"),
        source,
    };
    let table = fs::read_to_string(SOFTIRQS).map_err(failed)?;
    let lines = highest_in_heading(&table).and_then(|highest| highest.checked_add(1));
    lines.ok_or_else(|| failed(io::Error::other("neither names them")))
}

/// The highest number in the kernel's [list format](https://docs.kernel.org/admin-guide/cputopology.html), which is
/// sorted: `0-3`, `0,2-5`.
fn highest_in_list(list: &str) -> Option<u32> {
    list.trim_end().rsplit([',', '-']).next()?.parse().ok()
}

/// The number of the last column in a table's heading: `CPU0 CPU1`.
fn highest_in_heading(table: &str) -> Option<u32> {
    table.lines().next()?.split_whitespace().next_back()?.strip_prefix("CPU")?.parse().ok()
}

#[cfg(test)]
mod tests;
