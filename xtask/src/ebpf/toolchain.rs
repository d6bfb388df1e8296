//! Finding something that compiles for BPF.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "bpfel-unknown-none";

/// What to do when there is no toolchain.
const INSTALL: &str = "\
Building the eBPF program takes one of these (using it takes neither: the compiled program is in the repository):
  on Debian 12 with its security updates, or newer:
    apt-get install rustc-web libstd-rust-web-dev-bpf llvm-22-dev libpolly-22-dev libzstd-dev zlib1g-dev
    LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker --version 0.13.0 --no-default-features --features llvm-22
  with rustup:
    rustup toolchain install nightly --component rust-src
    cargo install bpf-linker --version 0.13.0";

/// A compiler and a linker for BPF.
pub(super) struct Toolchain {
    compiler: Compiler,
    /// What each tool says of itself. Cargo counts: it numbers the crates, and their order in the object follows.
    versions: Vec<String>,
}

/// Where `core` for BPF comes from.
enum Compiler {
    /// The compiler has it, compiled.
    Prebuilt { rustc: PathBuf },
    /// The compiler is rustup's nightly, which compiles it from its source.
    Nightly { sysroot: String },
}

impl Toolchain {
    /// Looks for the Debian packages first, for rustup's nightly then.
    pub(super) fn find() -> Result<Self, String> {
        let missing = |what: &str| format!("{what}.\n{INSTALL}");
        let (compiler, rustc) = prebuilt()
            .or_else(nightly)
            .ok_or_else(|| missing("There is no Rust compiler here that can compile for BPF"))?;
        let linker = output(Command::new("bpf-linker").arg("--version"))
            .ok_or_else(|| missing("There is no bpf-linker here"))?;
        let cargo =
            output(cargo(&compiler).arg("--version")).ok_or_else(|| missing("There is no cargo here"))?;
        Ok(Self { compiler, versions: vec![rustc, linker, cargo] })
    }

    /// Compiles the program and says where it is.
    pub(super) fn compile(&self, root: &Path) -> Result<PathBuf, String> {
        let target_dir = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let target_dir = target_dir.join("ebpf");
        let mut cargo = cargo(&self.compiler);
        cargo.current_dir(root).arg("build").args(["--release", "--locked", "--target", TARGET]);
        cargo.args(["--package", "netns-ebpf-program", "--features", "program"]);
        cargo.arg("--target-dir").arg(&target_dir);
        for setting in ["opt-level=3", "debug=2", "codegen-units=1", "overflow-checks=false"] {
            cargo.arg("--config").arg(format!("profile.release.{setting}"));
        }
        cargo.env("CARGO_ENCODED_RUSTFLAGS", self.flags(root).join("\x1f"));
        for variable in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"] {
            cargo.env_remove(variable);
        }
        match cargo.status() {
            Ok(status) if status.success() => Ok(target_dir.join(TARGET).join("release/netns-ebpf")),
            Ok(status) => {
                Err(format!("cargo could not build the eBPF program ({status}); its words are above"))
            }
            Err(error) => Err(format!("run cargo: {error}")),
        }
    }

    fn flags(&self, root: &Path) -> Vec<String> {
        let home = env::var_os("CARGO_HOME").map(PathBuf::from);
        let home =
            home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo"))).unwrap_or_default();
        let mut flags = vec![
            // The program reads no registers, so it is the same for every architecture; it has to be some one.
            r#"--cfg=bpf_target_arch="x86_64""#.into(),
            // 32-bit registers and jumps: Linux 5.1, less than the maps need.
            "-Ctarget-cpu=v3".into(),
            "-Clink-arg=--btf".into(),
            // Without this memcpy and its like are there even if nobody calls them.
            "-Clink-arg=--disable-memory-builtins".into(),
            // No path in the object depends on where it was built. Those of the workspace are relative to its root, and
            // cargo runs there, so LLVM finds the source lines that it puts beside the instructions for the verifier.
            format!("--remap-path-prefix={}/=", root.display()),
            format!("--remap-path-prefix={}=registry", home.join("registry/src").display()),
        ];
        if let Compiler::Nightly { sysroot } = &self.compiler {
            flags.push(format!("--remap-path-prefix={sysroot}/lib/rustlib/src/rust=rust"));
        }
        flags
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.versions.iter().try_for_each(|version| writeln!(f, "{version}"))
    }
}

/// Cargo, and which compiler to use.
fn cargo(compiler: &Compiler) -> Command {
    match compiler {
        Compiler::Prebuilt { rustc } => {
            let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            // aya's inline assembly for BPF, and ours, is not stable yet.
            cargo.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
            cargo
        }
        Compiler::Nightly { .. } => {
            let mut cargo = Command::new("rustup");
            cargo.args(["run", "nightly", "cargo", "-Zbuild-std=core"]);
            cargo.env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
            cargo
        }
    }
}

/// A compiler with `core` for BPF, as Debian's.
fn prebuilt() -> Option<(Compiler, String)> {
    ["rustc", "/usr/bin/rustc"].into_iter().find_map(|rustc| {
        let libraries = output(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]))?;
        if !Path::new(&libraries).is_dir() {
            return None;
        }
        let version = output(Command::new(rustc).arg("--version"))?;
        Some((Compiler::Prebuilt { rustc: rustc.into() }, version))
    })
}

/// rustup's nightly, if it has the source of `core`.
fn nightly() -> Option<(Compiler, String)> {
    let rustc = |argument: &[&str]| {
        let mut command = Command::new("rustup");
        output(command.args(["run", "nightly", "rustc"]).args(argument).env_remove("RUSTUP_TOOLCHAIN"))
    };
    let sysroot = rustc(&["--print", "sysroot"])?;
    if !Path::new(&sysroot).join("lib/rustlib/src/rust/library/core").is_dir() {
        return None;
    }
    let version = rustc(&["--version"])?;
    Some((Compiler::Nightly { sysroot }, version))
}

/// What a command prints, without the line's end; `None` if it is not there or fails.
fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim_end().to_owned())
}
