//! The machine on which everything is measured.

use crate::Result;
use crate::samples::count;
use serde::Serialize;
use std::fs;

/// What the machine is.
#[derive(Debug, Clone, Serialize)]
pub struct BenchMachine {
    /// Its processor, as it calls itself.
    pub processor: String,
    /// How many of them this process may use.
    pub cpus: usize,
    /// Its memory, in MiB.
    pub memory_mib: u64,
    /// Linux.
    pub kernel: String,
    /// How many processes wanted to run in the last minute, on average, when this was asked: above 0, others were at
    /// work.
    pub load: String,
}

impl BenchMachine {
    /// This one.
    ///
    /// # Errors
    /// If `/proc` is not there.
    pub fn this() -> Result<Self> {
        let processors = fs::read_to_string("/proc/cpuinfo")?;
        let processor = processors.lines().find_map(|line| line.strip_prefix("model name"));
        let processor = processor.unwrap_or("unknown").trim_start_matches(['\t', ' ', ':']).to_owned();
        Ok(Self {
            processor,
            cpus: std::thread::available_parallelism()?.get(),
            memory_mib: field("MemTotal")? / 1024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            load: fs::read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or_default().to_owned(),
        })
    }
}

/// Memory in use, in bytes.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Memory {
    /// Of the kernel's objects.
    pub slab: f64,
    /// Of their per-CPU parts.
    pub percpu: f64,
    /// Of everything. Others on the machine use memory, too.
    pub all: f64,
}

impl Memory {
    /// At the moment.
    ///
    /// # Errors
    /// If `/proc` is not there.
    pub fn now() -> Result<Self> {
        let bytes = |name| field(name).map(|kib| count(kib as usize) * 1024.0);
        let all = bytes("MemTotal")? - bytes("MemAvailable")?;
        Ok(Self { slab: bytes("Slab")?, percpu: bytes("Percpu")?, all })
    }

    /// What was added since.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            slab: self.slab - before.slab,
            percpu: self.percpu - before.percpu,
            all: self.all - before.all,
        }
    }

    /// A share of it.
    #[must_use]
    pub fn each(&self, things: usize) -> Self {
        let things = count(things.max(1));
        Self { slab: self.slab / things, percpu: self.percpu / things, all: self.all / things }
    }
}

/// A line of `/proc/meminfo`, in KiB.
fn field(name: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("/proc/meminfo is odd")?;
    Ok(number.trim().parse()?)
}
