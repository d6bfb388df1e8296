//! Debian's kernels: from a name such as `6.1`, `6.12-rt` or `newest` to an unpacked one.

use super::apt::{Archive, failed, run};
use super::architecture::Architecture;
use netns::Failure;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kernel and its modules, unpacked.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    pub(super) architecture: Architecture,
    /// Its name on the command line, with the architecture if it is not this machine's.
    pub(super) name: String,
    /// The compressed image that boots.
    pub(super) image: PathBuf,
    /// `/lib/modules/RELEASE`.
    pub(super) modules: PathBuf,
}

impl Kernel {
    /// Downloads and unpacks a kernel, unless it is there already.
    pub(super) fn fetch(
        archive: &Archive,
        name: &str,
        architecture: Architecture,
        folder: &Path,
    ) -> Result<Self, Failure> {
        let package = choose(archive, name, architecture.name())?;
        let root = folder.join(&package);
        if !root.is_dir() {
            // From 6.19 on the image's package is split in parts of the same version.
            let mut packages = vec![package.clone()];
            let parts = ["linux-binary-", "linux-modules-", "linux-base-"];
            let dependencies = archive.dependencies(&package)?;
            packages.extend(dependencies.into_iter().filter(|name| {
                parts.iter().any(|part| name.starts_with(part))
                    && name.contains(|letter: char| letter.is_ascii_digit())
            }));
            archive.unpack(&packages, &root)?;
        }
        let modules = modules(&root)?;
        if !modules.join("modules.dep").exists() {
            // The folder that has `lib/modules/RELEASE`, by which depmod finds them.
            let base = modules.ancestors().nth(3).unwrap_or(&root);
            let release = modules.file_name().unwrap_or_default();
            run(Command::new("depmod").arg("-b").arg(base).arg(release))?;
        }
        let image =
            image(&root, &modules).ok_or_else(|| Failure::usage(format!("{package} has no kernel image")))?;
        Ok(Self { architecture, name: architecture.label(name), image, modules })
    }
}

/// The package of a kernel: the newest of a version, or the one that is named in full.
fn choose(archive: &Archive, name: &str, architecture: &str) -> Result<String, Failure> {
    if name.starts_with("linux-image-") {
        return Ok(name.to_owned());
    }
    newest(archive.names("linux-image-")?, name, architecture).ok_or_else(|| {
        Failure::usage(format!("Debian has no kernel {name} ({architecture}) that its archive still serves"))
    })
}

/// The newest package of the kernels that `name` stands for: a version's beginning, with `-rt` for those that are preemptible.
fn newest(packages: Vec<String>, name: &str, architecture: &str) -> Option<String> {
    let (version, flavour) = match name.strip_suffix("-rt") {
        Some(version) => (version, format!("-rt-{architecture}")),
        None => (name, format!("-{architecture}")),
    };
    let is_wanted = |package: &String| {
        let Some(release) = package.strip_prefix("linux-image-").and_then(|rest| rest.strip_suffix(&flavour))
        else {
            return false;
        };
        // A release is digits and what stands between them; `6.12-amd64` is a meta-package, `-cloud` another flavour.
        let plain = release.replace("+deb", "");
        let is_release = plain.chars().all(|letter| letter.is_ascii_digit() || ".-".contains(letter));
        let wanted = version == "newest"
            || release
                .strip_prefix(version)
                .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()));
        is_release && numbers(release).len() > 2 && wanted
    };
    packages.into_iter().filter(is_wanted).max_by_key(|package| numbers(package))
}

/// The numbers in a release, by which releases are older or newer.
fn numbers(release: &str) -> Vec<u64> {
    release.split(|letter: char| !letter.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// `/lib/modules/RELEASE`, where older and newer packages have it.
fn modules(root: &Path) -> Result<PathBuf, Failure> {
    for place in ["lib/modules", "usr/lib/modules"] {
        let folder = root.join(place);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        if let Some(entry) = entries.flatten().next() {
            return Ok(entry.path());
        }
    }
    Err(failed("find modules in", root)(std::io::ErrorKind::NotFound.into()))
}

/// The image, in `/boot` or, in newer packages, beside the modules.
fn image(root: &Path, modules: &Path) -> Option<PathBuf> {
    let in_boot = fs::read_dir(root.join("boot")).into_iter().flatten().flatten().map(|entry| entry.path());
    in_boot.chain([modules.join("vmlinuz")]).find(|path| {
        path.exists() && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
    })
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn a_version_stands_for_its_newest_full_kernel() {
        let packages = [
            "linux-image-6.1.0-9-amd64",
            "linux-image-6.1.0-56-amd64",
            "linux-image-6.1.0-56-rt-amd64",
            "linux-image-6.1.0-57-cloud-amd64",
            "linux-image-6.1.0-57-amd64-unsigned",
            "linux-image-6.12-amd64",
            "linux-image-6.12.95+deb12-amd64",
            "linux-image-6.12.113+deb12-amd64",
            "linux-image-6.12.113+deb12-rt-amd64",
            "linux-image-7.3.4+deb13-amd64",
            "linux-image-amd64",
        ];
        for (name, package) in [
            ("6.1", Some("linux-image-6.1.0-56-amd64")),
            ("6.1-rt", Some("linux-image-6.1.0-56-rt-amd64")),
            ("6.12", Some("linux-image-6.12.113+deb12-amd64")),
            ("6.12-rt", Some("linux-image-6.12.113+deb12-rt-amd64")),
            ("6.12.95", Some("linux-image-6.12.95+deb12-amd64")),
            ("newest", Some("linux-image-7.3.4+deb13-amd64")),
            ("5.10", None),
        ] {
            let packages = packages.map(str::to_owned).to_vec();
            assert_eq!(newest(packages, name, "amd64").as_deref(), package, "{name}");
        }
    }
}
