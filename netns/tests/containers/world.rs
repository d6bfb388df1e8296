//! A root file system, and commands in it: what every engine is given, and what comes back.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tests::{ip, oracle, run};

/// Where everything is. `/run` is the test's own and ends with it.
const FOLDER: &str = "/run/engine";
/// The busybox applets that the script uses.
const APPLETS: [&str; 8] = ["sh", "ip", "cut", "ls", "cat", "timeout", "sleep", "mount"];
/// Runs its arguments among private mounts of everything that an engine writes to outside its own folders: locks in
/// `/dev/shm`, temporary files. crun refuses to run with both generations of cgroups at once, so where there are both
/// it sees only the second.
const PREPARE: &str = r#"set -e
for folder in /dev/shm /tmp /var/tmp /var/lib; do mount -t tmpfs -o mode=1777 engine $folder; done
mkdir /tmp/engine
mount --bind /run/engine /tmp/engine
[ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec "$@""#;

/// A command that runs its further arguments among those mounts, in a PID namespace, with a limit in seconds, so that
/// nothing of it outlives the call.
pub(crate) fn contained(seconds: &str) -> Command {
    let mut command = oracle("timeout");
    command.args(["-k", "5", seconds]).arg(oracle("unshare").get_program());
    command.args(["--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--propagation", "private"]);
    command.args(["/bin/sh", "-c", PREPARE, "sh"]);
    command
}

/// What the script can try, by its names.
const NAMES: [&str; 7] = ["run", "enforce", "up", "observe", "netns", "create", "load"];

/// What one of them did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    /// All of standard error.
    pub(crate) said: String,
}

/// The root file system of containers, in the `/run` of the test's host.
#[derive(Debug)]
pub(crate) struct World {
    folder: PathBuf,
    owner: u32,
    log: String,
}

impl World {
    /// Makes the root file system, of files of this user.
    pub(crate) fn new(owner: u32) -> Self {
        // As on any machine: only root may write to it.
        fs::set_permissions("/run", fs::Permissions::from_mode(0o755)).unwrap();
        let world = Self { folder: FOLDER.into(), owner, log: String::new() };
        for folder in ["bin", "dev", "etc", "files", "out", "proc", "root", "run", "sys", "tmp", "var"] {
            fs::create_dir_all(world.root().join(folder)).unwrap();
        }
        symlink("../run", world.root().join("var/run")).unwrap();
        world.add(Path::new(env!("CARGO_BIN_EXE_netns")), "netns");
        world.add(&std::env::current_exe().unwrap(), "first-sandbox");
        world.add(Path::new(oracle("busybox").get_program()), "busybox");
        for applet in APPLETS {
            symlink("busybox", world.root().join("bin").join(applet)).unwrap();
        }
        world.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        world.write("etc/group", "root:x:0:\n");
        world.write("files/commands.sh", include_str!("commands.sh"));
        world.write("files/bridge.toml", include_str!("../../../examples/bridge.toml"));
        let _ = run(Command::new("chown").args(["-hR", &format!("{owner}:{owner}")]).arg(world.root()));
        fs::set_permissions(world.root().join("out"), fs::Permissions::from_mode(0o777)).unwrap();
        world
    }

    /// A place outside the root file system for what an engine needs.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A folder there, owned like the root file system.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        chown(&path, Some(self.owner), Some(self.owner)).unwrap();
        path
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// What the engine reported, for a message.
    pub(crate) fn log(&self) -> &str {
        &self.log
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.root().join(name), text).unwrap();
    }

    /// Copies a program, and the libraries that it is linked with.
    fn add(&self, program: &Path, name: &str) {
        fs::copy(program, self.root().join("bin").join(name)).unwrap();
        // `ldd` fails for a program without libraries. Lines are `libc.so.6 => /lib/libc.so.6 (0x..)` and `/lib64/..`.
        let listed = Command::new("ldd").arg(program).output().expect("ldd, of libc-bin, starts");
        let listed = String::from_utf8(listed.stdout).unwrap();
        for library in listed.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':'))
        {
            let target = self.root().join(&library[1..]);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(library, target).unwrap();
        }
    }

    /// Runs the script with this command (its words; those of the script are appended), in a PID namespace, so that
    /// nothing of it outlives the call.
    pub(crate) fn enter(&mut self, words: &[String]) -> Vec<Outcome> {
        let out = self.root().join("out");
        for entry in fs::read_dir(&out).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        let Output { status, stdout, stderr } =
            contained("500").args(words).output().expect("timeout starts");
        self.log = format!("{words:?}: {status}\n");
        for text in [stdout, stderr] {
            let _ = writeln!(self.log, "{}", String::from_utf8_lossy(&text));
        }
        self.outcomes(&out)
    }

    fn outcomes(&self, out: &Path) -> Vec<Outcome> {
        let read = |name: String| {
            fs::read_to_string(out.join(&name))
                .unwrap_or_else(|error| panic!("{name}: {error}: {}", self.log))
        };
        let code = |name: &str| read(format!("{name}.code")).trim().parse::<i32>().unwrap();
        assert_eq!(read("after".into()), read("before".into()), "something is left: {}", self.log);
        let mut outcomes = Vec::new();
        for name in NAMES.iter().filter(|name| out.join(format!("{name}.code")).exists()) {
            let said = read(format!("{name}.err")).trim_end().to_owned();
            let outcome = Outcome { code: code(name), said };
            let undone = match *name {
                "up" if outcome.code == 0 => Some("down"),
                "netns" if outcome.code == 0 => Some("delete"),
                _ => None,
            };
            if let Some(undone) = undone {
                assert_eq!((code(undone), read(format!("{undone}.err")).as_str()), (0, ""), "{undone}");
            }
            outcomes.push(outcome);
        }
        outcomes
    }
}

/// The network namespace of containers that the machine's root makes.
pub(crate) const NETWORK: &str = "/var/run/netns/container";

/// Makes it, with a bridge in it, which a container without privilege cannot make.
pub(crate) fn make_network() {
    ip("netns add container");
    ip("-n container link set lo up");
    ip("-n container link add outside type bridge");
    ip("-n container link set outside up");
}

/// A name that no other container on the machine has.
pub(crate) fn unique() -> String {
    format!("netns-test-{}", std::process::id())
}

/// The cgroups with that name, which LXC always leaves, and other engines when they are killed.
#[derive(Debug)]
pub(crate) struct Cgroups;

impl Drop for Cgroups {
    fn drop(&mut self) {
        // The second is where machines with both generations have the second one.
        for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            remove_cgroups(&Path::new(mount).join(unique()));
        }
    }
}

/// A cgroup is a folder whose files go with it; inner cgroups go first.
fn remove_cgroups(folder: &Path) {
    let inner = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    inner.filter(|path| path.is_dir()).for_each(|path| remove_cgroups(&path));
    let _ = fs::remove_dir(folder);
}

/// The environment of the script, where `/` is the root file system.
pub(crate) const ENVIRONMENT: [(&str, &str); 4] =
    [("PATH", "/bin"), ("OUT", "/out"), ("FILES", "/files"), ("COMMANDS", "run up observe netns create")];
/// The script, there.
pub(crate) const SCRIPT: [&str; 2] = ["/bin/sh", "/files/commands.sh"];
