//! What network sandboxes cost: ours, the peers' and the kernel's own, measured in the same run.
//!
//! A file a subject. Each function measures and returns plain numbers; `cargo bench -p benches` shows them with
//! criterion, and `cargo xtask bench` runs the `measure` binary here and makes a table and a report of its output.
//!
//! Everything happens in a network namespace and a mount namespace of the process's own ([`host`]): the machine's
//! network is not touched, and nothing is left. Times on a shared machine drift by a factor of two, so what is compared
//! is made in turns, a few of each at a time, and the medians are taken.

pub mod allocations;
pub mod churn;
pub mod cni;
pub mod compare;
pub mod egress;
pub mod empty;
pub mod encode;
pub mod first_packet;
pub mod floor;
pub mod goals;
pub mod growth;
pub mod host;
pub mod machine;
pub mod packet;
pub mod peers;
pub mod pool;
pub mod raw_ports;
pub mod record;
pub mod report;
pub mod run;
pub mod samples;
pub mod sandboxes;
pub mod sets;
mod sys;
pub mod throughput;
pub mod way_out;

pub use sys::stay_on_cpu;

/// What can go wrong: the kernel, a peer's process, a file.
pub type BenchFailure = Box<dyn std::error::Error + Send + Sync>;
/// The result of measuring something.
pub type Result<T> = std::result::Result<T, BenchFailure>;
