//! A sample of what could grow, and the maximum over a part of the time.

use super::churn::{SoakChurn, SoakResult};
use netns_core::network::RecordedNetwork;
use netns_core::{Namespace, RouteSocket, link};
use std::fs;
use std::time::Duration;

/// How much may come and go between two samples.
const DESCRIPTORS: u64 = 8;
/// Links of sandboxes that the kernel has not reclaimed yet: as many as the network lets wait.
const LINKS: u64 = 300;
/// By how much the memory that allocators keep may vary, in KiB.
const MEMORY: u64 = 4096;

/// Everything that could grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// Memory of this process, in KiB.
    pub(super) memory: u64,
    /// Its open files.
    pub(super) descriptors: u64,
    /// The mounts of its namespace.
    pub(super) mounts: u64,
    /// The links of its namespace.
    pub(super) links: u64,
    /// The named namespaces.
    pub(super) names: u64,
    /// The slots that are in use.
    pub(super) slots: u64,
    /// The bytes of all records.
    pub(super) record: u64,
}

impl Sample {
    pub(super) fn take(churn: Option<&SoakChurn>) -> SoakResult<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.and_then(|line| line.split_whitespace().next()?.parse().ok());
        let records = fs::read_dir(RecordedNetwork::FOLDER).into_iter().flatten().flatten();
        Ok(Self {
            memory: memory.unwrap_or(0),
            descriptors: fs::read_dir("/proc/self/fd")?.count() as u64,
            mounts: fs::read_to_string("/proc/self/mountinfo")?.lines().count() as u64,
            links: link::list(&mut RouteSocket::open()?)?.len() as u64,
            names: Namespace::list()?.len() as u64,
            slots: churn.map_or(0, |churn| churn.slots() as u64),
            record: records.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum(),
        })
    }

    /// What exists now and did not before.
    pub(super) fn left(&self, before: &Self) -> Vec<String> {
        // The folder of names and what the C library opens stay.
        let counts = [
            ("descriptors", self.descriptors, before.descriptors),
            ("mounts", self.mounts, before.mounts + 1),
            ("links", self.links, before.links),
            ("names of namespaces", self.names, before.names),
            ("bytes of records", self.record, before.record),
        ];
        counts
            .iter()
            .filter(|(_, after, before)| after > before)
            .map(|(what, after, before)| format!("in the end there are {after} {what}, and were {before}"))
            .collect()
    }
}

/// A tenth of the time.
#[derive(Debug, Default)]
pub(super) struct Tenth {
    /// How many sandboxes took how long, by sixteenths of a power of two of microseconds.
    times: Vec<u64>,
    most: Sample,
}

/// How many parts a power of two has.
const PARTS: u32 = 16;

impl Tenth {
    pub(super) fn took(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(u64::from(PARTS));
        let power = micros.ilog2();
        let part = (micros >> (power - PARTS.ilog2())) as u32 - PARTS;
        let place = (power * PARTS + part) as usize;
        if self.times.len() <= place {
            self.times.resize(place + 1, 0);
        }
        self.times[place] += 1;
    }

    pub(super) fn saw(&mut self, sample: &Sample) {
        let most = &mut self.most;
        *most = Sample {
            memory: most.memory.max(sample.memory),
            descriptors: most.descriptors.max(sample.descriptors),
            mounts: most.mounts.max(sample.mounts),
            links: most.links.max(sample.links),
            names: most.names.max(sample.names),
            slots: most.slots.max(sample.slots),
            record: most.record.max(sample.record),
        };
    }

    pub(super) const fn most(&self) -> Sample {
        self.most
    }

    pub(super) fn made(&self) -> u64 {
        self.times.iter().sum()
    }

    /// The time within which this many of a hundred were made, to a sixteenth.
    pub(super) fn percentile(&self, percent: u64) -> Duration {
        let wanted = (self.made() * percent).div_ceil(100);
        let mut seen = 0;
        let place = self.times.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        let place = place.unwrap_or(0) as u32;
        let (power, part) = (place / PARTS, u64::from(place % PARTS + PARTS));
        Duration::from_micros(if place == 0 { 0 } else { (part + 1) << (power - PARTS.ilog2()) })
    }

    /// What has grown since an earlier part.
    pub(super) fn grew(&self, earlier: &Self) -> Vec<String> {
        let (now, then) = (self.most, earlier.most);
        let counts = [
            ("KiB of memory", now.memory, then.memory + then.memory / 10 + MEMORY),
            ("descriptors", now.descriptors, then.descriptors + DESCRIPTORS),
            ("mounts", now.mounts, then.mounts),
            ("links", now.links, then.links + LINKS),
            ("names of namespaces", now.names, then.names),
            ("slots", now.slots, then.slots + LINKS),
            ("bytes of records", now.record, then.record),
        ];
        let grown = counts.iter().filter(|(_, now, limit)| now > limit);
        grown.map(|(what, now, limit)| format!("{now} {what}, where {limit} would do")).collect()
    }
}

#[cfg(test)]
mod tests;
