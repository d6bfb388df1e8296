//! netns-core with the oldest compiler that it promises to build with.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::toolchain::output;

const PACKAGE: &str = "netns-core";

/// Compiles the library with that compiler, and runs its unit tests.
pub(super) fn check(root: &Path) -> Result<(), String> {
    let version = promised(root)?;
    let folder = root.join("target/msrv");
    let mut cargo = match rustup(&version) {
        Some(rustc) => {
            let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.env("RUSTC", rustc);
            cargo
        }
        None => debian(&version, &folder)?,
    };
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(variable);
    }
    cargo.current_dir(root).args(["test", "--quiet", "--locked", "--lib", "--package", PACKAGE]);
    cargo.arg("--target-dir").arg(folder.join("target"));
    let begin = Instant::now();
    let status = cargo.status().map_err(|error| format!("run cargo: {error}"))?;
    if !status.success() {
        return Err(format!("{PACKAGE} does not build and pass its tests with Rust {version} ({status})"));
    }
    println!(
        "{:<30} test     {:>5.0} s  {PACKAGE}",
        format!("Rust {version}"),
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

/// The `rust-version` of the library's manifest.
fn promised(root: &Path) -> Result<String, String> {
    let path = root.join(PACKAGE).join("Cargo.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("read {}: {error}", path.display()))?;
    let version = text.lines().find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"'));
    version.map(str::to_owned).ok_or_else(|| format!("{} has no rust-version", path.display()))
}

/// rustup's compiler of this version, if it is installed.
fn rustup(version: &str) -> Option<String> {
    output("rustup", &["which", "--toolchain", version, "rustc"]).filter(|rustc| Path::new(rustc).exists())
}

/// Cargo with Debian's compiler of this version, unpacked into a folder, never installed.
fn debian(version: &str, folder: &Path) -> Result<Command, String> {
    let unpacked = folder.join("debian");
    let rustc = unpacked.join("usr/bin/rustc");
    if !rustc.exists() {
        unpack(version, folder, &unpacked)?;
    }
    let libraries = unpacked.join("usr/lib");
    let llvm = fs::read_dir(&libraries).map_err(|error| format!("read {}: {error}", libraries.display()))?;
    let llvm = llvm.flatten().map(|entry| entry.path().join("lib")).filter(|path| path.exists());
    let mut paths: Vec<PathBuf> = llvm.collect();
    paths.push(libraries.join("x86_64-linux-gnu"));
    let paths = env::join_paths(paths).map_err(|error| error.to_string())?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.env("RUSTC", rustc).env("LD_LIBRARY_PATH", paths);
    Ok(cargo)
}

/// Downloads and unpacks the compiler, its standard library and the LLVM that it links.
fn unpack(version: &str, folder: &Path, into: &Path) -> Result<(), String> {
    let missing = || format!("There is no Rust {version} here, by rustup or as Debian's package rustc-web");
    let versions = output("apt-cache", &["madison", "rustc-web"]).ok_or_else(missing)?;
    let mut versions = versions.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim);
    let full = versions.find(|full| full.starts_with(&format!("{version}."))).ok_or_else(missing)?;
    let library = format!("libstd-rust-web-{version}");
    let depends = output("apt-cache", &["show", &format!("{library}={full}")]).ok_or_else(missing)?;
    let depends = depends.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
    let llvm = depends.split([',', ' ']).find(|name| name.starts_with("libllvm")).ok_or_else(missing)?;

    fs::create_dir_all(into).map_err(|error| format!("create {}: {error}", into.display()))?;
    let mut download = Command::new("apt-get");
    download.current_dir(folder).args(["download", "-qq", llvm]);
    download.args(["rustc-web", &library, "libstd-rust-web-dev"].map(|name| format!("{name}={full}")));
    succeed(&mut download)?;
    let entries = fs::read_dir(folder).map_err(|error| format!("read {}: {error}", folder.display()))?;
    for package in entries.flatten().map(|entry| entry.path()) {
        if package.extension().is_some_and(|extension| extension == "deb") {
            succeed(Command::new("dpkg-deb").arg("-x").arg(&package).arg(into))?;
            fs::remove_file(&package).map_err(|error| format!("remove {}: {error}", package.display()))?;
        }
    }
    Ok(())
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().display().to_string();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} failed ({status})")),
        Err(error) => Err(format!("run {program}: {error}")),
    }
}
