//! A virtual machine: a kernel, and this machine's files, read-only.
//!
//! Emulated (TCG), unless a trial shows that `/dev/kvm` boots the kernel: a para-virtual `/dev/kvm` exists and does not.

use super::apt::{failed, package_of};
use super::architecture::Architecture;
use super::initramfs;
use super::kernel::Kernel;
use netns::Failure;
use netns::signals::Stop;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Debian 12's file server for a virtual machine's root.
const FILE_SERVER: &str = "/usr/lib/qemu/virtiofsd";
/// How long a kernel may take to its first program on `/dev/kvm` before that is not used.
const KVM_LIMIT: Duration = Duration::from_secs(20);
/// How often to check for a signal.
const TICK: Duration = Duration::from_millis(200);

/// What processor the virtual machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Processor {
    Emulated,
    Real,
}

/// What to boot, and with what in it.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub(super) kernel: &'a Kernel,
    /// MiB.
    pub(super) memory: u32,
    pub(super) processor: Processor,
    /// The folder that becomes its root.
    pub(super) root: &'a Path,
    /// A folder of ours, for what it needs while it runs.
    pub(super) folder: &'a Path,
    /// The workspace, which may be on another file system than `/`.
    pub(super) workspace: &'a Path,
    /// Files for `/vm`: the guest's scripts.
    pub(super) files: &'a [(&'a str, &'a str)],
}

impl Machine<'_> {
    /// Boots it, gives every line of its report to `line`, and waits until it is off. `Ok(false)` if the limit came first.
    pub(super) fn run(
        &self,
        limit: Duration,
        stop: &Stop,
        mut line: impl FnMut(&str),
    ) -> Result<bool, Failure> {
        let place = RunFolder::new(self.folder)?;
        let image = place.0.join("initramfs");
        initramfs::write(self.kernel, self.root, self.files, &place.0.join("files"), &image)?;
        let _server = place.serve_files(self.root, self.workspace)?;
        let mut qemu = self.start(&place, &image)?;
        let out = qemu.0.stdout.take();
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for text in out.into_iter().flat_map(|out| BufReader::new(out).split(b'\n')).map_while(Result::ok)
            {
                let text = String::from_utf8_lossy(&text).trim_end_matches('\r').to_owned();
                if sender.send(text).is_err() {
                    break;
                }
            }
        });
        let deadline = Instant::now() + limit;
        loop {
            match lines.recv_timeout(TICK) {
                Ok(text) => line(&text),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if stop.requested() {
                return Err(Failure::usage("interrupted"));
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
        }
        let status = qemu.0.wait().map_err(|error| Failure::usage(format!("wait for qemu: {error}")))?;
        if !status.success() {
            return Err(Failure::usage(format!("qemu ended with {status}; its words are above")));
        }
        Ok(true)
    }

    fn start(&self, place: &RunFolder, image: &Path) -> Result<Running, Failure> {
        let memory = format!("{}M", self.memory);
        let architecture = self.kernel.architecture;
        let program = architecture.qemu();
        let mut qemu = tied(program);
        match self.processor {
            Processor::Emulated => qemu.args(architecture.emulated()),
            Processor::Real => qemu.args(["-accel", "kvm", "-cpu", "host"]),
        };
        qemu.args(["-smp", "2", "-m", &memory, "-nodefaults", "-no-reboot", "-display", "none"]);
        // The file server reads and writes the virtual machine's memory itself.
        qemu.args(["-object", &format!("memory-backend-memfd,id=memory,size={memory},share=on")]);
        qemu.args(["-numa", "node,memdev=memory"]);
        qemu.arg("-chardev").arg(format!("socket,id=files,path={}", place.socket().display()));
        qemu.args(["-device", "vhost-user-fs-pci,chardev=files,tag=root"]);
        qemu.arg("-serial").arg(format!("file:{}", self.console().display()));
        qemu.args(architecture.report().1);
        qemu.arg("-kernel").arg(&self.kernel.image).arg("-initrd").arg(image);
        // An emulated timer is late often enough for the kernel to distrust it.
        let console = architecture.console();
        let parameters = format!("console={console} quiet panic=-1 no_timer_check random.trust_cpu=on");
        qemu.args(["-append", &parameters]);
        if self.processor == Processor::Real {
            // During the trial its complaints are no errors.
            qemu.stderr(Stdio::null());
        }
        let child = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        child
            .map(Running)
            .map_err(|error| Failure::usage(format!("run {program}: {error}{}", package_of(program))))
    }

    /// What the kernel wrote to its console.
    pub(super) fn console(&self) -> PathBuf {
        self.folder.join(format!("{}.console", self.kernel.name))
    }
}

/// Whether `/dev/kvm` boots this kernel, by trying it.
pub(super) fn processor(
    kernel: &Kernel,
    root: &Path,
    folder: &Path,
    workspace: &Path,
    stop: &Stop,
) -> Result<Processor, Failure> {
    if kernel.architecture != Architecture::Amd64 || !Path::new("/dev/kvm").exists() {
        return Ok(Processor::Emulated);
    }
    let files = [
        ("environment", "REPORT=/dev/ttyS1\n"),
        ("guest.sh", "echo '@@ booted'; echo o >/proc/sysrq-trigger; sleep 10\n"),
    ];
    let processor = Processor::Real;
    let machine = Machine { kernel, memory: 512, processor, root, folder, workspace, files: &files };
    let mut booted = false;
    let ended = machine.run(KVM_LIMIT, stop, |line| booted |= line == "@@ booted");
    if stop.requested() {
        return ended.map(|_| processor);
    }
    Ok(if booted { Processor::Real } else { Processor::Emulated })
}

/// A folder for one run of a virtual machine, removed at its end.
struct RunFolder(PathBuf);

impl RunFolder {
    fn new(folder: &Path) -> Result<Self, Failure> {
        // Several virtual machines may run at once. A socket's path may be of 107 bytes only.
        static LATEST: AtomicU32 = AtomicU32::new(0);
        let number = LATEST.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("run-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).map_err(failed("make", &path))?;
        Ok(Self(path))
    }

    fn socket(&self) -> PathBuf {
        self.0.join("files.socket")
    }

    /// Starts the server of the machine's files, in a mount namespace of its own, where they are read-only.
    ///
    /// What is served has to be a mount other than `/`, for the server makes it its own root (`pivot_root(2)`).
    fn serve_files(&self, root: &Path, workspace: &Path) -> Result<Running, Failure> {
        const SCRIPT: &str = r#"
            set -e
            mount --bind "$5" "$1"
            # The workspace may be on a file system of its own, and is in no other root than this machine's.
            if [ "$5" != / ] || [ "$(stat -c %d "$2")" != "$(stat -c %d /)" ]; then
              mkdir -p "$1$2"
              mount --bind "$2" "$1$2"
              mount -o remount,ro,bind "$1$2"
            fi
            mount -o remount,ro,bind "$1"
            exec "$3" --socket-path="$4" -o source="$1" -o cache=always -o xattr
        "#;
        let share = self.0.join("root");
        fs::create_dir_all(&share).map_err(failed("make", &share))?;
        if !Path::new(FILE_SERVER).exists() {
            return Err(Failure::usage(format!("there is no {FILE_SERVER}{}", package_of("virtiofsd"))));
        }
        let log = self.0.join("files.log");
        let file = fs::File::create(&log).map_err(failed("write", &log))?;
        let mut server = tied("unshare");
        server.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]);
        server.arg(&share).arg(workspace).arg(FILE_SERVER).arg(self.socket()).arg(root);
        let server = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn();
        let server = server.map_err(|error| Failure::usage(format!("run unshare: {error}")))?;
        let server = Running(server);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.socket().exists() {
            if Instant::now() >= deadline {
                let words = fs::read_to_string(&log).unwrap_or_default();
                return Err(Failure::usage(format!("{FILE_SERVER} does not start: {}", words.trim_end())));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program that ends with us, however we end.
fn tied(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}

/// A child that is ended and waited for.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
