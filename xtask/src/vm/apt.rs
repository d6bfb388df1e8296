//! Debian's packages of any suite and architecture, downloaded and unpacked into a folder: never installed, and by an apt
//! configuration of our own, so that the machine's own lists and sources stay as they are.

use netns::Failure;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// Where kernels are found: the oldest suite that the archive still serves, to the newest one.
const SUITES: [&str; 6] = ["bullseye", "bookworm", "bookworm-backports", "trixie", "trixie-backports", "sid"];
const SECURITY_SUITES: [&str; 1] = ["bookworm-security"];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// How old package lists may be before they are fetched anew.
const FRESH: Duration = Duration::from_hours(24);

/// Debian's archive, seen through a configuration of our own.
#[derive(Debug)]
pub(super) struct Archive {
    configuration: PathBuf,
    packages: PathBuf,
}

impl Archive {
    /// Prepares the configuration below `folder`, and fetches the package lists if there are none of today.
    pub(super) fn open(folder: &Path, architecture: &str) -> Result<Self, Failure> {
        let folder = folder.join(format!("apt-{architecture}"));
        let [lists, cache, packages] = ["lists", "cache", "packages"].map(|name| folder.join(name));
        for path in [lists.join("partial"), cache.join("archives/partial"), packages.clone()] {
            fs::create_dir_all(&path).map_err(failed("make", &path))?;
        }
        let sources = folder.join("sources.list");
        let configuration = folder.join("apt.conf");
        let archive = Self { configuration, packages };
        let [lists, cache, list] = [&lists, &cache, &sources].map(|path| path.display());
        let text = format!(
            "Dir::State::lists \"{lists}\";\nDir::Cache \"{cache}\";\nDir::Etc::sourcelist \"{list}\";\n\
             Dir::Etc::sourceparts \"-\";\nAPT::Architecture \"{architecture}\";\nAPT::Architectures {{ \
             \"{architecture}\"; }};\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n"
        );
        write(&archive.configuration, &text)?;
        write(&sources, &sources_list()?)?;
        let stamp = folder.join("updated");
        let age = fs::metadata(&stamp)
            .and_then(|found| found.modified())
            .map(|time| SystemTime::now().duration_since(time).unwrap_or_default());
        if age.is_ok_and(|age| age < FRESH) {
            return Ok(archive);
        }
        archive.apt("apt-get", &["update", "-qq"])?;
        write(&stamp, "")?;
        Ok(archive)
    }

    /// The names of all packages that begin with this.
    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        Ok(self.apt("apt-cache", &["pkgnames", prefix])?.lines().map(str::to_owned).collect())
    }

    /// The names of the packages that this one depends on.
    pub(super) fn dependencies(&self, package: &str) -> Result<Vec<String>, Failure> {
        let text = self.apt("apt-cache", &["depends", package])?;
        Ok(text.lines().filter_map(|line| line.trim().strip_prefix("Depends: ")).map(str::to_owned).collect())
    }

    /// Downloads packages and unpacks them into a folder, which is there afterwards only if all of it worked.
    pub(super) fn unpack(&self, packages: &[String], into: &Path) -> Result<(), Failure> {
        let fresh = into.with_extension("new");
        let _ = fs::remove_dir_all(&fresh);
        fs::create_dir_all(&fresh).map_err(failed("make", &fresh))?;
        for package in packages {
            let path = self.download(package)?;
            run(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(&fresh))?;
            // What is unpacked is kept; both would take a quarter of a gigabyte a kernel.
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
        fs::rename(&fresh, into).map_err(failed("rename", &fresh))
    }

    /// Downloads packages of a release with all that they depend on, as if nothing were installed, and unpacks them
    /// into a folder.
    pub(super) fn unpack_with_dependencies(
        &self,
        packages: &[&str],
        release: &str,
        into: &Path,
    ) -> Result<(), Failure> {
        let _ = fs::remove_dir_all(into);
        fs::create_dir_all(into).map_err(failed("make", into))?;
        let nothing = self.packages.join("nothing-installed");
        write(&nothing, "")?;
        let archives = self.packages.join(release);
        let partial = archives.join("partial");
        fs::create_dir_all(&partial).map_err(failed("make", &partial))?;
        let mut command = self.command("apt-get");
        command.args(["install", "-qq", "--yes", "--download-only", "--no-install-recommends"]);
        command.arg("-o").arg(format!("Dir::State::status={}", nothing.display()));
        command.arg("-o").arg(format!("Dir::Cache::archives={}", archives.display()));
        command.arg("-o").arg(format!("APT::Default-Release={release}"));
        run(command.args(packages))?;
        let entries = fs::read_dir(&archives).map_err(failed("read", &archives))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "deb") {
                run(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(into))?;
            }
        }
        fs::remove_dir_all(&archives).map_err(failed("remove", &archives))
    }

    /// Downloads a package; its file.
    fn download(&self, package: &str) -> Result<PathBuf, Failure> {
        let mut command = self.command("apt-get");
        run(command.args(["download", "-qq", package]).current_dir(&self.packages))?;
        let prefix = format!("{package}_");
        let entries = fs::read_dir(&self.packages).map_err(failed("read", &self.packages))?;
        let file = entries.flatten().find(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
        file.map(|entry| entry.path())
            .ok_or_else(|| Failure::usage(format!("apt-get downloaded no file of {package}")))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.configuration).env("LC_ALL", "C");
        command
    }

    fn apt(&self, program: &str, arguments: &[&str]) -> Result<String, Failure> {
        run(self.command(program).args(arguments))
    }
}

/// Runs a command that has to succeed; its output.
pub(super) fn run(command: &mut Command) -> Result<String, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::usage(format!("run {program}: {error}{}", package_of(&program))))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::usage(format!("{command:?}: {}: {}", output.status, words.trim_end())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What to do about a program that is not there.
pub(super) fn package_of(program: &str) -> String {
    let name = program.rsplit('/').next().unwrap_or(program);
    let package = match name {
        "qemu-system-x86_64" => "qemu-system-x86",
        "qemu-system-aarch64" => "qemu-system-arm",
        "virtiofsd" => "qemu-system-common",
        "busybox" => "busybox-static",
        "depmod" => "kmod",
        "xz" => "xz-utils",
        "apt-get" | "apt-cache" | "dpkg-deb" => {
            return "; this takes Debian or one of its children".to_owned();
        }
        other => other,
    };
    format!("; apt-get install {package}")
}

/// The suites, from the mirror that the machine's own apt uses.
fn sources_list() -> Result<String, Failure> {
    let format = "$(ORIGIN) $(LABEL) $(SITE)";
    let targets =
        run(Command::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]))?;
    let site = |label: &str| targets.lines().find_map(|line| line.strip_prefix(label));
    let main = site("Debian Debian ")
        .ok_or_else(|| Failure::usage("the machine's apt knows no mirror of Debian; apt-get update first"))?;
    let of = |site: &str, suite: &str| format!("deb [signed-by={KEYRING}] {site} {suite} main\n");
    let security = site("Debian Debian-Security ");
    let security = security.iter().flat_map(|site| SECURITY_SUITES.map(|suite| of(site, suite)));
    Ok(SUITES.iter().map(|suite| of(main, suite)).chain(security).collect())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(failed("write", path))
}

/// What to say of a file operation that failed.
pub(super) fn failed(what: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::usage(format!("{what} {}: {error}", path.display()))
}
