//! A machine for engines: whatever they start dies with it, whatever they write is in folders of the test.

use crate::{oracle, skip, until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Becomes the first process of the machine, in the test's network namespace. What engines write outside of the folders that
/// they are given goes to private mounts: `ctr` always reads `/etc/cni/net.d` and `/opt/cni/bin`, and keeps results in
/// `/var/lib/cni`. Engines see the second generation of cgroups alone, with the test's own as its root, even where the
/// machine has both generations; the file system below is there because the kernel does not mount the same one twice in one
/// place. A shell that waits reaps orphans.
const BOOT: &str = r"set -e
for folder in /dev/shm /tmp /var/tmp /var/lib /opt; do mount -t tmpfs -o mode=1777 engine $folder; done
cp -a /etc /run/engine/etc
mount --bind /run/engine/etc /etc
mkdir -p /etc/cni/net.d /opt/cni
rm -f /etc/cni/net.d/*
mount -t tmpfs engine /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -s /run/engine/plugins /opt/cni/bin
touch /run/engine/booted
while :; do sleep 100000 & wait; done";

/// It goes, with all its processes, when this is dropped or the thread that made it ends.
#[derive(Debug)]
pub struct Machine {
    /// `unshare`, whose child is the first process. When `unshare` is killed, so is that child, and then the kernel
    /// kills all others.
    unshare: Child,
    /// What was started here, as the test sees it.
    started: Vec<Child>,
    cgroup: PathBuf,
}

impl Machine {
    /// Where engines and their tests have their files. `/run` is the test's own and ends with it.
    pub const FOLDER: &str = "/run/engine";

    /// Boots one in the network namespace of the calling thread, which is in a host of its own ([`crate::in_host`]). It has a
    /// copy of the mounts that are there now.
    ///
    /// # Panics
    /// If it does not boot. Without cgroups the test is skipped: see [`crate::skip`].
    #[must_use]
    pub fn boot() -> Self {
        fs::create_dir_all(Self::FOLDER).expect("a folder");
        let cgroup = make_cgroup();
        let mut command = within(&cgroup, "exec \"$@\"");
        command.arg(oracle("setpriv").get_program()).args(["--pdeathsig", "KILL"]);
        command.arg(oracle("unshare").get_program()).args(["--pid", "--fork", "--kill-child", "--cgroup"]);
        command.args(["--mount", "--mount-proc", "--propagation", "private", "/bin/sh", "-c", BOOT]);
        let unshare = command.stdin(Stdio::null()).spawn().expect("unshare starts");
        let mut machine = Self { unshare, started: Vec::new(), cgroup };
        until("the machine boots", || {
            let ended = machine.unshare.try_wait().expect("a child");
            assert!(ended.is_none(), "the machine did not boot: {ended:?}");
            Path::new(Self::FOLDER).join("booted").exists().then_some(())
        });
        machine
    }

    /// A command that will run there.
    #[must_use]
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = within(&self.cgroup, "exec nsenter \"$@\"");
        let of = |kind: &str| format!("/proc/{}/ns/{kind}", self.unshare.id());
        command.arg(format!("--mount={}", of("mnt"))).arg(format!("--cgroup={}", of("cgroup")));
        command.arg(format!("--pid={}", of("pid_for_children")));
        command.args(["--wd=/", "--", program]).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command there, which reads nothing.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn run(&self, program: &str, arguments: &[&str]) -> Ran {
        let mut command = self.command(program, arguments);
        let Output { status, stdout, stderr } = command.output().expect("a shell starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let words = format!("{program} {}", arguments.join(" "));
        Ran { words, code: status.code(), out: text(&stdout), err: text(&stderr) }
    }

    /// Starts a daemon, which writes to [`Machine::log`].
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(&mut self, program: &str, arguments: &[&str]) {
        let log = fs::File::create(Self::log(program)).expect("a log");
        let mut command = self.command(program, arguments);
        command.stdout(log.try_clone().expect("a descriptor")).stderr(log);
        self.started.push(command.spawn().expect("a shell starts"));
    }

    /// Kills every process there but the first with `SIGKILL`, as a failing machine does, and returns when they are
    /// gone.
    ///
    /// # Panics
    /// If one is still there after a minute.
    pub fn kill_everything(&self) {
        // The first process's `sleep` as well, which it starts again.
        let _ = self.run("sh", &["-c", "kill -9 -1"]);
        until("everything is dead", || (self.processes() <= 3).then_some(()));
    }

    /// The file that a daemon writes to.
    #[must_use]
    pub fn log(program: &str) -> PathBuf {
        Path::new(Self::FOLDER).join(program).with_extension("log")
    }

    /// How many processes there are. Three are its own: `unshare`, the first one, and its `sleep`.
    fn processes(&self) -> usize {
        count(&self.cgroup)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        for child in &mut self.started {
            let _ = child.kill();
            let _ = child.wait();
        }
        // A cgroup can be removed once no process is left in it.
        let deadline = Instant::now() + Duration::from_secs(30);
        while !remove_cgroup(&self.cgroup) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What a command did.
#[derive(Debug, Clone)]
pub struct Ran {
    words: String,
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to its standard output.
    pub out: String,
    /// What it wrote to its standard error.
    pub err: String,
}

impl Ran {
    /// The standard output of a command that has to succeed.
    ///
    /// # Panics
    /// If it did not.
    #[expect(clippy::must_use_candidate, reason = "many commands write nothing")]
    #[track_caller]
    pub fn fine(self) -> String {
        assert_eq!(self.code, Some(0), "{}: {}{}", self.words, self.out, self.err);
        self.out
    }
}

/// A shell in this cgroup; the words for `$@` follow.
fn within(cgroup: &Path, script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    let script = format!("echo $$ >{}/first/cgroup.procs && {script}", cgroup.display());
    command.args(["-c", &script, "sh"]);
    command
}

/// A cgroup of the second generation, and one in it for processes, which engines see as the root. No controllers are
/// enabled for it, so engines find none there, on any machine.
fn make_cgroup() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("netns-engine-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
    // Where both generations are mounted this is the usual place of the second.
    let folders = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
    let Some(mount) = folders.into_iter().find(|folder| folder.join("cgroup.procs").exists()) else {
        skip("cgroups of the second generation missing; run: mount -t cgroup2 cgroup2 /sys/fs/cgroup");
    };
    let cgroup = mount.join(name);
    fs::create_dir_all(cgroup.join("first"))
        .unwrap_or_else(|error| skip(&format!("cgroups cannot be made: {error}")));
    cgroup
}

fn inner(cgroup: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn count(cgroup: &Path) -> usize {
    let here = fs::read_to_string(cgroup.join("cgroup.procs")).map_or(0, |text| text.lines().count());
    here + inner(cgroup).iter().map(|folder| count(folder)).sum::<usize>()
}

/// Whether it is gone. Its files go with it; cgroups inside go first.
fn remove_cgroup(cgroup: &Path) -> bool {
    for folder in inner(cgroup) {
        remove_cgroup(&folder);
    }
    fs::remove_dir(cgroup).is_ok() || !cgroup.exists()
}
