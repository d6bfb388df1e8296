//! `cargo xtask dist`: static binaries of `netns` and `netns-cni`, which run on any distribution.

use crate::cross::require;
use crate::cross::target::Target;
use crate::cross::toolchain::{CrossToolchain, UNWINDER};
use crate::root;
use clap::Args;
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Endianness, elf};
use std::fs;
use std::path::{Path, PathBuf};

/// The packages, each of which has a binary of its name.
const BINARIES: [&str; 2] = ["netns", "netns-cni"];
/// What a binary links: musl, since glibc loads parts of itself at run time even into static programs.
const TARGET: &str = "x86_64-unknown-linux-musl";

#[derive(Debug, Args)]
#[command(
    after_help = "It needs Debian's rustc-web, cargo-web, rust-web-src, musl-tools and libunwind-22-dev; or rustup with \
the target x86_64-unknown-linux-musl, and musl-tools."
)]
pub(crate) struct DistArguments {
    /// Where to write netns [default: target/dist/netns]; netns-cni is written beside it.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Builds the binaries, and makes sure that they are static.
pub(crate) fn dist(arguments: &DistArguments) -> Result<(), String> {
    let root = root();
    let target = Target::find(TARGET).ok_or("the target is not known")?;
    let run = target.run.as_ref().ok_or("the target cannot be linked")?;
    let toolchain = CrossToolchain::find(target)?;
    require([run.linker, run.library].into_iter().chain(toolchain.builds_std().then_some(UNWINDER)))?;
    let folder = root.join("target/cross");
    let mut cargo = toolchain.linking_cargo("build", target, run, &folder)?;
    cargo.current_dir(&root).args(["--release", "--config", "profile.release.strip=true"]);
    for binary in BINARIES {
        cargo.args(["--package", binary]);
    }
    match cargo.status() {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("cargo could not build it ({status}); its words are above")),
        Err(error) => return Err(format!("run cargo: {error}")),
    }
    let output = arguments.output.clone().unwrap_or_else(|| root.join("target/dist/netns"));
    let beside = output.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(beside).map_err(|error| format!("create {}: {error}", beside.display()))?;
    for binary in BINARIES {
        let built = folder.join(TARGET).join("release").join(binary);
        let target = if binary == BINARIES[0] { output.clone() } else { beside.join(binary) };
        write(&built, &target)?;
    }
    Ok(())
}

fn write(built: &Path, output: &Path) -> Result<(), String> {
    let bytes = fs::read(built).map_err(|error| format!("read {}: {error}", built.display()))?;
    if !is_static(&bytes)? {
        return Err(format!("{} is not static: it names a program interpreter", built.display()));
    }
    fs::copy(built, output).map_err(|error| format!("write {}: {error}", output.display()))?;
    println!("{}: {} bytes, static", output.display(), bytes.len());
    Ok(())
}

/// Whether an executable runs without a dynamic linker.
fn is_static(bytes: &[u8]) -> Result<bool, String> {
    let file = ElfFile64::<Endianness>::parse(bytes).map_err(|error| format!("parse the binary: {error}"))?;
    let endian = file.endian();
    Ok(!file.elf_program_headers().iter().any(|header| header.p_type(endian) == elf::PT_INTERP))
}
