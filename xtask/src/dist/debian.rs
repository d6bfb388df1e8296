//! The packages for Debian and its derivatives. Everything in them is static, so one package serves all releases.

use super::binaries::Binaries;
use super::failed;
use super::files::{output, text};
use super::release::Release;
use super::tree::Tree;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A package.
#[derive(Debug)]
pub(super) struct DebianPackage {
    name: &'static str,
    release: Release,
    pub(super) tree: Tree,
}

/// What is copied from the repository: from where, to where below a package's root.
const COPIES: [(&str, &str); 11] = [
    ("netns/systemd/netns-up@.service", "usr/lib/systemd/system/netns-up@.service"),
    ("netns/systemd/netns-observe@.service", "usr/lib/systemd/system/netns-observe@.service"),
    ("netns/systemd/netns-labs.target", "usr/lib/systemd/system/netns-labs.target"),
    ("netns/systemd/05-netns.network", "usr/lib/systemd/network/05-netns.network"),
    ("netns/NetworkManager/netns.conf", "usr/lib/NetworkManager/conf.d/netns.conf"),
    ("netns/grafana/netns.json", "usr/share/netns/grafana/netns.json"),
    ("netns/prometheus/netns.rules.yml", "usr/share/netns/prometheus/netns.rules.yml"),
    ("README.md", "usr/share/doc/netns/README.md"),
    ("SECURITY.md", "usr/share/doc/netns/SECURITY.md"),
    ("DESIGN.md", "usr/share/doc/netns/DESIGN.md"),
    ("netns-topology/FILE.md", "usr/share/doc/netns/netns-topology/FILE.md"),
];
/// Folders that are copied with their contents.
const FOLDERS: [(&str, &str); 2] =
    [("docs", "usr/share/doc/netns/docs"), ("examples", "usr/share/doc/netns/examples")];
/// Where shells look for completions.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/netns"),
    ("zsh", "usr/share/zsh/vendor-completions/_netns"),
    ("fish", "usr/share/fish/vendor_completions.d/netns.fish"),
];

/// The command, and the CNI plugin.
pub(super) fn packages(
    release: &Release,
    binaries: &Binaries,
    root: &Path,
    notices: &str,
) -> Result<[DebianPackage; 2], String> {
    let package = |name: &'static str| {
        let tree = Tree::new(root.join("target/dist/tree").join(name))?;
        Ok::<_, String>(DebianPackage { name, release: release.clone(), tree })
    };
    let (netns, cni) = (package("netns")?, package("netns-cni")?);
    let tree = &netns.tree;
    tree.file("usr/bin/netns", 0o755, &binaries.netns)?;
    for (from, to) in COPIES {
        tree.copy(&root.join(from), to)?;
    }
    for (from, to) in FOLDERS {
        tree.copy_folder(&root.join(from), to)?;
    }
    // Where users put their files.
    for folder in ["etc/netns-topology", "etc/netns-observe"] {
        tree.folder(folder)?;
    }
    // Written by the program itself.
    let program = tree.root.join("usr/bin/netns");
    let pages = tree.folder("usr/share/man/man1")?;
    output(Command::new(&program).arg("man").arg(&pages))?;
    output(Command::new("gzip").args(["-9n", "--recursive"]).arg(&pages))?;
    for (shell, path) in COMPLETIONS {
        tree.file(path, 0o644, &output(Command::new(&program).args(["completions", shell]))?)?;
    }
    cni.tree.file("usr/lib/cni/netns-cni", 0o755, &binaries.cni)?;
    cni.tree.copy(&root.join("docs/cni.md"), "usr/share/doc/netns-cni/cni.md")?;
    for package in [&netns, &cni] {
        package.document(root, notices)?;
    }
    netns.override_lintian(include_str!("debian/netns.lintian-overrides"))?;
    cni.override_lintian(include_str!("debian/netns-cni.lintian-overrides"))?;
    // Last, since it counts and sums up the files.
    let scripts = [
        ("postinst", include_str!("debian/netns.postinst")),
        ("prerm", include_str!("debian/netns.prerm")),
        ("postrm", include_str!("debian/netns.postrm")),
    ];
    netns.control(include_str!("debian/netns.control"), &scripts)?;
    cni.control(include_str!("debian/netns-cni.control"), &[])?;
    Ok([netns, cni])
}

impl DebianPackage {
    /// What every package has below `/usr/share/doc`.
    fn document(&self, root: &Path, notices: &str) -> Result<(), String> {
        let Release { version, maintainer, .. } = &self.release;
        let (name, date) = (self.name, self.release.date()?);
        let licence = root.join("LICENSE-MIT");
        let licence = fs::read_to_string(&licence).map_err(failed("read", &licence))?;
        // The format requires each line to be indented, and a full stop in empty ones.
        let paragraph = licence.lines().skip_while(|line| !line.starts_with("Permission"));
        let lines: Vec<String> = paragraph
            .map(|line| if line.is_empty() { " .".to_owned() } else { format!(" {line}") })
            .collect();
        let copyright =
            include_str!("debian/copyright").replace("@MIT@", &lines.join("\n")).replace("@NAME@", name);
        let changes = root.join("CHANGELOG.md");
        let changes = fs::read(&changes).map_err(failed("read", &changes))?;
        let changelog = format!(
            "{name} ({version}) unstable; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n -- {maintainer}  {date}\n"
        );
        let folder = format!("usr/share/doc/{name}");
        self.tree.file(&format!("{folder}/copyright"), 0o644, copyright.as_bytes())?;
        self.tree.compressed(&format!("{folder}/notices"), notices.as_bytes())?;
        self.tree.compressed(&format!("{folder}/CHANGELOG.md"), &changes)?;
        self.tree.compressed(&format!("{folder}/changelog"), changelog.as_bytes())
    }

    fn override_lintian(&self, overrides: &str) -> Result<(), String> {
        self.tree.file(&format!("usr/share/lintian/overrides/{}", self.name), 0o644, overrides.as_bytes())
    }

    /// The control file for dpkg.
    fn control(&self, control: &str, scripts: &[(&str, &str)]) -> Result<(), String> {
        let Release { version, maintainer, .. } = &self.release;
        let files = self.tree.files()?;
        // In the tree's own order, and with its own names.
        let mut md5sum = Command::new("md5sum");
        let sums = output(
            md5sum.current_dir(&self.tree.root).args(files.iter().filter(|path| path.starts_with("usr"))),
        )?;
        let bytes: Result<u64, String> = files
            .iter()
            .map(|path| self.tree.root.join(path))
            .map(|path| Ok(fs::metadata(&path).map_err(failed("look at", &path))?.len()))
            .sum();
        let size = (bytes? / 1024).to_string();
        let control = control
            .replace("@VERSION@", version)
            .replace("@MAINTAINER@", maintainer)
            .replace("@SIZE@", &size);
        self.tree.file("DEBIAN/control", 0o644, control.as_bytes())?;
        self.tree.file("DEBIAN/md5sums", 0o644, &sums)?;
        for (name, script) in scripts {
            self.tree.file(&format!("DEBIAN/{name}"), 0o755, script.as_bytes())?;
        }
        Ok(())
    }

    /// Makes the package's file in a folder; its path.
    pub(super) fn build(&self, folder: &Path) -> Result<PathBuf, String> {
        let Release { version, epoch, .. } = &self.release;
        let path = folder.join(format!("{}_{version}_amd64.deb", self.name));
        self.tree.open_to_all()?;
        let mut command = Command::new("dpkg-deb");
        // Later times become this one, so that the same commit makes the same bytes.
        command.env("SOURCE_DATE_EPOCH", epoch).args(["--root-owner-group", "-Zxz", "--build"]);
        text(command.arg(&self.tree.root).arg(&path))?;
        Ok(path)
    }
}
