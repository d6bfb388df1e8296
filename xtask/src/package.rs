//! `cargo xtask package`: packs every public crate, unpacks the packages, and runs their own tests there, without the rest of
//! the repository.

use crate::root;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The packages, and whether tests are run in them: those of the program are the repository's.
const PACKAGES: &[(&str, bool)] = &[
    ("netns-core", true),
    ("netns-packet", true),
    ("netns-ebpf", true),
    ("netns-topology", true),
    ("netns", false),
    ("netns-cni", false),
];

/// Packs, unpacks, builds and tests.
pub(crate) fn package() -> Result<(), String> {
    let root = root();
    let folder = root.join("target/packaged");
    let mut pack = cargo(&root, &["package", "--locked", "--allow-dirty", "--no-verify", "--quiet"]);
    for (name, _) in PACKAGES {
        pack.args(["--package", name]);
    }
    succeed(pack.env("CARGO_TARGET_DIR", root.join("target")))?;
    // What was built from earlier packages stays.
    for (name, _) in PACKAGES {
        let _ = fs::remove_dir_all(folder.join(unpacked(name)));
    }
    fs::create_dir_all(&folder).map_err(|error| format!("create {}: {error}", folder.display()))?;
    for (name, _) in PACKAGES {
        let package = root.join("target/package").join(format!("{}.crate", unpacked(name)));
        // With new times: packages have the same one for all files, and cargo would take what changed for what it has built.
        succeed(Command::new("tar").arg("-xzmf").arg(package).arg("-C").arg(&folder))?;
    }
    let manifest = folder.join("Cargo.toml");
    fs::write(&manifest, workspace()).map_err(|error| format!("write {}: {error}", manifest.display()))?;
    // The same versions of everything else.
    let lock = folder.join("Cargo.lock");
    fs::copy(root.join("Cargo.lock"), &lock).map_err(|error| format!("write {}: {error}", lock.display()))?;
    for &(name, test) in PACKAGES {
        let command = if test { "test" } else { "check" };
        println!("{name}: cargo {command}");
        succeed(cargo(&folder, &[command, "--quiet", "--package", name]).env_remove("CARGO_TARGET_DIR"))?;
    }
    Ok(())
}

/// The folder that a package unpacks to.
fn unpacked(name: &str) -> String {
    format!("{name}-{}", env!("CARGO_PKG_VERSION"))
}

/// A workspace of the unpacked packages, in which they find each other as if they were published.
fn workspace() -> String {
    let members: Vec<String> = PACKAGES.iter().map(|(name, _)| unpacked(name)).collect();
    let patches =
        PACKAGES.iter().zip(&members).map(|((name, _), path)| format!("{name} = {{ path = {path:?} }}"));
    let patches: Vec<String> = patches.collect();
    let patches = patches.join("\n");
    format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n[patch.crates-io]\n{patches}\n")
}

fn cargo(folder: &Path, arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(folder).args(arguments);
    cargo
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().display().to_string();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} failed ({status}); its words are above")),
        Err(error) => Err(format!("run {program}: {error}")),
    }
}
