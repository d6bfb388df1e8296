//! The arguments of the developers' commands.

use crate::api::ApiArguments;
use crate::cross::CrossArguments;
use crate::dist::DistArguments;
use crate::faults::FaultsArguments;
use crate::soak::SoakArguments;
use crate::vm::VmTestArguments;
use clap::Subcommand;

/// What `cargo xtask` has beside the commands of `netns`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeveloperCommand {
    /// The eBPF program.
    #[command(subcommand)]
    Ebpf(EbpfCommand),
    /// Compile for other machines and C libraries, and run the unit tests there.
    Cross(CrossArguments),
    /// Build a static binary of `netns`.
    Dist(DistArguments),
    /// Package every public crate, and run its tests from the package.
    Package,
    /// Compare the public API of every library with the list in the repository.
    Api(ApiArguments),
    /// Refuse each request that a command makes, and kill it before each; compare what is left.
    Faults(FaultsArguments),
    /// Make and drop sandboxes of every kind at full rate, with traffic; nothing may grow or be lost.
    Soak(SoakArguments),
    /// Run the program, or all tests, on other kernels: Debian's own, in virtual machines.
    VmTest(VmTestArguments),
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum EbpfCommand {
    /// Rebuild the committed object from source.
    Build,
    /// Rebuild it and compare it with the committed one.
    Check,
}
