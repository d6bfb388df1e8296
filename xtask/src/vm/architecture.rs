//! What differs between the processors of virtual machines.

use super::apt::Archive;
use super::arm64;
use clap::ValueEnum;
use netns::Failure;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A processor, as Debian names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Architecture {
    /// This machine's: its own programs and files are used.
    Amd64,
    /// ARM, 64 bits: emulated, with programs that are compiled for it and files of Debian's packages.
    Arm64,
}

impl Architecture {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// What a kernel is called in reports.
    pub(super) fn label(self, kernel: &str) -> String {
        match self {
            Self::Amd64 => kernel.to_owned(),
            Self::Arm64 => format!("{kernel}-arm64"),
        }
    }

    pub(super) const fn qemu(self) -> &'static str {
        match self {
            Self::Amd64 => "qemu-system-x86_64",
            Self::Arm64 => arm64::QEMU,
        }
    }

    /// The arguments that make the emulated machine.
    pub(super) const fn emulated(self) -> &'static [&'static str] {
        match self {
            Self::Amd64 => &["-accel", "tcg,thread=multi", "-cpu", "max"],
            Self::Arm64 => arm64::MACHINE,
        }
    }

    /// The kernel's console.
    pub(super) const fn console(self) -> &'static str {
        match self {
            Self::Amd64 => "ttyS0",
            Self::Arm64 => "ttyAMA0",
        }
    }

    /// The line that the guest's report goes to, and the arguments by which qemu writes it to its standard output.
    pub(super) const fn report(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Amd64 => ("/dev/ttyS1", &["-serial", "stdio"]),
            Self::Arm64 => arm64::REPORT,
        }
    }

    /// How many times as long as here a round may take.
    pub(super) const fn patience(self) -> u32 {
        match self {
            Self::Amd64 => 1,
            Self::Arm64 => 3,
        }
    }

    /// The folder that becomes the guest's root.
    pub(super) fn root(self, archive: &Archive, folder: &Path) -> Result<PathBuf, Failure> {
        match self {
            Self::Amd64 => Ok("/".into()),
            Self::Arm64 => arm64::root(archive, folder),
        }
    }

    /// Cargo with this command, compiling for it.
    pub(super) fn cargo(self, command: &str) -> Result<Command, Failure> {
        match self {
            Self::Amd64 => {
                let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
                cargo.arg(command).arg("--locked");
                Ok(cargo)
            }
            Self::Arm64 => arm64::cargo(command).map_err(Failure::Usage),
        }
    }
}
