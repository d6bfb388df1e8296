//! The programs. They run on any distribution: they are linked with musl, since glibc loads parts of itself at run time even
//! into static programs.

use super::failed;
use crate::cross::require;
use crate::cross::target::Target;
use crate::cross::toolchain::{CrossToolchain, UNWINDER};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Endianness, elf};
use std::fs;
use std::path::Path;

/// What they are compiled for.
pub(super) const TARGET: &str = "x86_64-unknown-linux-musl";
/// The packages of the workspace, each of which has a program of its name.
pub(super) const PROGRAMS: [&str; 2] = ["netns", "netns-cni"];

/// The bytes of each.
#[derive(Debug)]
pub(super) struct Binaries {
    pub(super) netns: Vec<u8>,
    pub(super) cni: Vec<u8>,
}

impl Binaries {
    /// Compiles them.
    pub(super) fn build(root: &Path) -> Result<Self, String> {
        let target = Target::find(TARGET).ok_or("the target is not known")?;
        let run = target.run.as_ref().ok_or("the target cannot be linked")?;
        let toolchain = CrossToolchain::find(target)?;
        require([run.linker, run.library].into_iter().chain(toolchain.builds_std().then_some(UNWINDER)))?;
        let folder = root.join("target/cross");
        let mut cargo = toolchain.linking_cargo("build", target, run, &folder)?;
        cargo.current_dir(root).args(["--release", "--config", "profile.release.strip=true"]);
        for program in PROGRAMS {
            cargo.args(["--package", program]);
        }
        match cargo.status() {
            Ok(status) if status.success() => Self::read(&folder.join(TARGET).join("release")),
            Ok(status) => Err(format!("cargo could not build it ({status}); its words are above")),
            Err(error) => Err(format!("run cargo: {error}")),
        }
    }

    /// Reads them from a folder, and makes sure that they are static.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let read = |program: &str| {
            let path = folder.join(program);
            let bytes = fs::read(&path).map_err(failed("read", &path))?;
            if is_static(&bytes)? {
                Ok(bytes)
            } else {
                Err(format!("{} is not static: it names a program interpreter", path.display()))
            }
        };
        let [netns, cni] = PROGRAMS;
        Ok(Self { netns: read(netns)?, cni: read(cni)? })
    }
}

/// Whether an executable runs without a dynamic linker.
fn is_static(bytes: &[u8]) -> Result<bool, String> {
    let file = ElfFile64::<Endianness>::parse(bytes).map_err(|error| format!("parse the binary: {error}"))?;
    let endian = file.endian();
    Ok(!file.elf_program_headers().iter().any(|header| header.p_type(endian) == elf::PT_INTERP))
}
