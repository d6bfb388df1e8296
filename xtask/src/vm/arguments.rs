//! The arguments of `vm-test`.

use super::architecture::Architecture;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    after_help = "Takes Debian with qemu-system-x86, busybox-static, kmod and xz-utils. Kernels are downloaded and \
unpacked below target/vm, never installed. The table is printed as Markdown; what a step printed is shown if it fails. \
Exit codes: 0 everything passed, 1 not everything did."
)]
pub(crate) struct VmTestArguments {
    /// A kernel: the beginning of a version for its newest, with `-rt` for a preemptible one; `newest`; or a package's full name
    /// [default: 6.1, 6.12 and 6.12-rt].
    #[arg(long, value_name = "PACKAGE-OR-VERSION", num_args = 1..)]
    pub(crate) kernel: Vec<String>,
    /// The virtual machine's processor. For arm64, everything is compiled and the root is made of Debian's packages.
    #[arg(long, value_enum, default_value_t = Architecture::Amd64)]
    pub(crate) arch: Architecture,
    /// Run the tests of every crate instead of the short round: takes a quarter of an hour or more per kernel.
    #[arg(long)]
    pub(crate) full: bool,
    /// With --full: only test programs whose name contains this, such as `netns-ebpf kernel` [default: all but `tests scale`,
    /// whose thousands of sandboxes need a machine that is not emulated].
    #[arg(long, value_name = "NAME", requires = "full")]
    pub(crate) tests: Vec<String>,
    /// With --full: compile and run only the tests of this package; may be given several times [default: all].
    #[arg(long, value_name = "NAME", requires = "full")]
    pub(crate) package: Vec<String>,
    /// With --full: a folder that keeps the built programs. If it has them already they are run as they are, so that several
    /// rounds, at once or one after the other, are of one build.
    #[arg(long, value_name = "FOLDER", requires = "full")]
    pub(crate) programs: Option<PathBuf>,
    /// The program to try [default: this one].
    #[arg(long, value_name = "FILE", conflicts_with = "full")]
    pub(crate) program: Option<PathBuf>,
    /// How many kernels to run at once [default: the number of processors, since a short round keeps one busy; with --full, one].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// One JSON object on stdout instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Only steps whose name contains this; with --full, arguments for each test program.
    #[arg(last = true)]
    pub(crate) filter: Vec<String>,
}
