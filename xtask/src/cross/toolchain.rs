//! A compiler for another target, and cargo configured for it.

use super::target::{Needed, Run, Target};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The unwinder that static musl binaries link: LLVM's, since libgcc's asks for functions that only glibc has
/// (`_dl_find_object`), and takes every process without glibc's `__pthread_key_create` for single-threaded.
pub(crate) const UNWINDER: Needed =
    Needed { file: "/usr/lib/llvm-22/lib/libunwind.a", package: "libunwind-22-dev" };

/// What to do when no compiler has the target's standard library.
const INSTALL: &str = "\
Compiling for another target takes one of these:
  on Debian 12 with its security updates, or newer:
    apt-get install rustc-web cargo-web rust-web-src
  with rustup:
    rustup target add TARGET";

/// A compiler that has the standard library of a target, compiled or as source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CrossToolchain {
    rustc: PathBuf,
    cargo: OsString,
    /// Whether the standard library has to be compiled first.
    build_std: bool,
}

impl CrossToolchain {
    /// Looks for a compiled standard library first, for its source then, in the compiler of `PATH` and in Debian's.
    pub(crate) fn find(target: &Target) -> Result<Self, String> {
        let own = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let debian = ("/usr/bin/rustc", OsString::from("/usr/bin/cargo"));
        let debian = Some(debian).filter(|(_, cargo)| Path::new(cargo).exists());
        let compilers: Vec<_> = [("rustc", own)].into_iter().chain(debian).collect();
        for build_std in [false, true] {
            for (rustc, cargo) in &compilers {
                let there = if build_std { has_source(rustc) } else { has_library(rustc, target.name) };
                if there {
                    return Ok(Self { rustc: rustc.into(), cargo: cargo.clone(), build_std });
                }
            }
        }
        Err(format!("No Rust compiler here has the standard library for {}.\n{INSTALL}", target.name))
    }

    /// Whether the standard library has to be compiled first.
    pub(crate) const fn builds_std(&self) -> bool {
        self.build_std
    }

    /// Cargo, to be given what to do; what it compiles goes below `folder`.
    pub(crate) fn cargo(&self, command: &str, targets: &[&Target], folder: &Path) -> Command {
        let mut cargo = Command::new(&self.cargo);
        cargo.env("RUSTC", &self.rustc).args([command, "--locked"]);
        cargo.args(targets.iter().flat_map(|target| ["--target", target.name]));
        cargo.arg("--target-dir").arg(folder);
        if self.build_std {
            // Cargo's unstable options, with a stable compiler. Backtraces would double what std costs to compile.
            cargo.env("RUSTC_BOOTSTRAP", "1");
            cargo.args(["-Zbuild-std=std,panic_unwind", "-Zbuild-std-features=panic-unwind"]);
        }
        for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
            cargo.env_remove(variable);
        }
        cargo.env_remove("CARGO_BUILD_TARGET").env_remove("CARGO_TARGET_DIR").env("CARGO_INCREMENTAL", "0");
        cargo
    }

    /// As [`Self::cargo`], with what linking for the target takes.
    pub(crate) fn linking_cargo(
        &self,
        command: &str,
        target: &Target,
        run: &Run,
        folder: &Path,
    ) -> Result<Command, String> {
        let mut cargo = self.cargo(command, &[target], folder);
        cargo.env(target.variable("LINKER"), run.linker.file);
        if let Some((emulator, libraries)) = run.emulator {
            cargo.env(target.variable("RUNNER"), format!("{} -L {libraries}", emulator.file));
        }
        if self.build_std && target.name.ends_with("musl") {
            cargo.env(target.variable("RUSTFLAGS"), musl_flags(folder)?);
        }
        Ok(cargo)
    }
}

/// What a compiler without a musl of its own needs.
fn musl_flags(folder: &Path) -> Result<String, String> {
    // A folder with the unwinder and nothing else: beside it Debian keeps libraries for glibc.
    let unwinder = folder.join("unwinder");
    let link = unwinder.join("libunwind.a");
    let failed = |error| format!("link {} to {}: {error}", link.display(), UNWINDER.file);
    fs::create_dir_all(&unwinder).map_err(failed)?;
    if !link.exists() {
        std::os::unix::fs::symlink(UNWINDER.file, &link).map_err(failed)?;
    }
    Ok(format!(
        // Debian compiled the unwinder with _FORTIFY_SOURCE, for which musl has no functions. It prints only where it
        // is about to abort, or where LIBUNWIND_PRINT_* ask for it.
        "-Clink-self-contained=no -Crelocation-model=static -Lnative={} -Clink-arg=-Wl,--defsym=__fprintf_chk=abort",
        unwinder.display()
    ))
}

/// Whether a compiler has the target's standard library, compiled.
fn has_library(rustc: &str, target: &str) -> bool {
    output(rustc, &["--print", "target-libdir", "--target", target])
        .is_some_and(|folder| Path::new(&folder).is_dir())
}

/// Whether a compiler has the source of the standard library.
fn has_source(rustc: &str) -> bool {
    output(rustc, &["--print", "sysroot"])
        .is_some_and(|folder| Path::new(&folder).join("lib/rustlib/src/rust/library/Cargo.lock").exists())
}

/// What a command prints, without the line's end; `None` if it is not there or fails.
pub(super) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(text.trim_end().to_owned())
}
