//! `cargo xtask dist --try`: the packages in a clean Debian, on this machine's kernel: installed, used and purged; upgraded
//! and rolled back beside a lab and an observer that are up, with systemd.

use super::failed;
use super::files::{text, write};
use netns::require;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release of Debian.
const SUITE: &str = "bookworm";
/// Its packages besides the essential ones: systemd, and the tools of the trial.
const TOOLS: &str = "systemd-sysv,dbus,iproute2,iputils-ping,man-db,procps";
/// The scripts that run there; `host.sh` runs the rest.
const SCRIPTS: [(&str, &str); 5] = [
    ("host.sh", include_str!("trial/host.sh")),
    ("machine.sh", include_str!("trial/machine.sh")),
    ("steps.sh", include_str!("trial/steps.sh")),
    ("installed.sh", include_str!("trial/installed.sh")),
    ("booted.sh", include_str!("trial/booted.sh")),
];

/// Tries the packages `netns` and `netns-cni`, an upgrade from an earlier `netns`, and the archive.
pub(super) fn try_all(
    folder: &Path,
    [netns, cni]: &[PathBuf; 2],
    earlier: &Path,
    archive: &Path,
) -> Result<(), String> {
    require::rights("dist --try", &[require::SYS_ADMIN]).map_err(|failure| failure.to_string())?;
    // It prints what it finds.
    let mut lintian = Command::new("lintian");
    lintian
        .args(["--fail-on", "error,warning", "--allow-root", "--tag-display-limit", "0"])
        .args([netns, cni]);
    run(&mut lintian, "lintian")?;
    println!("lintian: nothing to say");
    let root = debian(folder)?;
    let trial = folder.join("trial");
    fs::create_dir_all(&trial).map_err(failed("create", &trial))?;
    for (name, script) in SCRIPTS {
        write(&trial.join(name), 0o644, script.as_bytes())?;
    }
    for (from, name) in [
        (netns, "netns.deb"),
        (cni, "netns-cni.deb"),
        (&earlier.to_owned(), "earlier.deb"),
        (&archive.to_owned(), "archive.tar.gz"),
    ] {
        fs::copy(from, trial.join(name)).map_err(failed("copy", from))?;
    }
    let mut host = Command::new("unshare");
    host.args(["--mount", "bash"]).arg(trial.join("host.sh")).args([&root, &trial]);
    run(&mut host, "util-linux")
}

/// A clean Debian, made once.
fn debian(folder: &Path) -> Result<PathBuf, String> {
    let root = fs::canonicalize(folder).map_err(failed("find", folder))?.join(SUITE);
    if root.exists() {
        return Ok(root);
    }
    let unfinished = root.with_extension("unfinished");
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed("remove", &unfinished)(error));
        }
        _ => {}
    }
    // The mirror of this machine's apt, if it is a Debian; otherwise debootstrap's default.
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(LABEL) $(SITE)", "Created-By: Packages"]);
    let targets = text(&mut targets).unwrap_or_default();
    let mirror = targets.lines().find_map(|line| line.strip_prefix("Debian "));
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={TOOLS}"), SUITE]).arg(&unfinished);
    debootstrap.args(mirror).stdout(std::process::Stdio::null());
    run(&mut debootstrap, "debootstrap")?;
    fs::rename(&unfinished, &root).map_err(failed("rename", &unfinished))?;
    Ok(root)
}

/// Runs a program that must succeed, and prints its output.
fn run(command: &mut Command, package: &str) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} failed ({status}); its words are above")),
        Err(error) => Err(format!("run {program}: {error}; apt-get install {package}")),
    }
}
