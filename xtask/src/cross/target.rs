//! The machines and C libraries that the workspace is compiled for, besides `x86_64` with glibc.

use std::path::Path;

/// A file that says whether a Debian package is installed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needed {
    /// A program's name, looked for in `PATH`, or an absolute path.
    pub(crate) file: &'static str,
    /// The package that has it.
    pub(crate) package: &'static str,
}

/// What running tests of a target takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// The linker.
    pub(crate) linker: Needed,
    /// The C library to link with.
    pub(crate) library: Needed,
    /// The emulator, and where it finds the target's shared libraries; `None` if this machine runs them itself.
    pub(crate) emulator: Option<(Needed, &'static str)>,
    /// The packages of the workspace whose unit tests are run.
    pub(crate) packages: &'static [&'static str],
    /// Beginnings of the names of those that are not.
    pub(crate) skipped: &'static [&'static str],
}

/// A target of rustc's.
#[derive(Debug)]
pub(crate) struct Target {
    /// As rustc names it.
    pub(crate) name: &'static str,
    /// The packages of the workspace that compile for it.
    pub(crate) packages: &'static [&'static str],
    /// `None` if its tests are not run.
    pub(crate) run: Option<Run>,
}

const fn needed(file: &'static str, package: &'static str) -> Needed {
    Needed { file, package }
}

/// The library, the program's user space, topologies, the command line and the developers'.
const ALL: &[&str] = &["netns-core", "netns-packet", "netns-ebpf", "netns-topology", "netns", "xtask"];
/// Those with unit tests that need no privilege.
const LIBRARIES: &[&str] = &["netns-core", "netns-packet", "netns-ebpf", "netns-topology"];

/// What qemu-user cannot run. On arm64 `cargo xtask vm-test --arch arm64 --full` runs it on a kernel.
const NOT_EMULATED: &[&str] = &[
    // It takes MADV_WIPEONFORK and does not do it.
    "sys::fork::",
    // It does not know the ioctl that names a namespace's kind, and passes on only some netlink messages.
    "network::fabric::",
    "network::reclaim::",
    "rtnetlink::socket::",
    // It does not know bpf().
    "monitor::kernel_types::tests::the_function_that_the_kernel_has_is_called",
];
/// And what holds requests against bytes that are written down, or reads this machine's kernel types: both are a
/// little-endian machine's.
const NOT_EMULATED_BIG_ENDIAN: &[&str] = &[
    "sys::fork::",
    "network::fabric::",
    "network::reclaim::",
    "rtnetlink::socket::",
    "monitor::kernel_types::tests::the_function_that_the_kernel_has_is_called",
    "monitor::kernel_types::tests::the_kernels_fields_are_found_and_fit",
    "nftables::tests::",
    "rtnetlink::tests::",
    "wire::tests::writer::",
];

/// Every one of them.
pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "x86_64-unknown-linux-musl",
        packages: ALL,
        run: Some(Run {
            linker: needed("musl-gcc", "musl-tools"),
            library: needed("/usr/lib/x86_64-linux-musl/libc.a", "musl-dev"),
            emulator: None,
            packages: LIBRARIES,
            skipped: &[],
        }),
    },
    Target {
        name: "aarch64-unknown-linux-gnu",
        packages: ALL,
        run: Some(Run {
            linker: needed("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
            library: needed("/usr/aarch64-linux-gnu/lib/libc.a", "libc6-dev-arm64-cross"),
            emulator: Some((needed("qemu-aarch64-static", "qemu-user-static"), "/usr/aarch64-linux-gnu")),
            packages: LIBRARIES,
            skipped: NOT_EMULATED,
        }),
    },
    Target { name: "aarch64-unknown-linux-musl", packages: ALL, run: None },
    Target {
        name: "i686-unknown-linux-gnu",
        packages: &["netns-core"],
        run: Some(Run {
            linker: needed("i686-linux-gnu-gcc", "gcc-i686-linux-gnu"),
            library: needed("/usr/i686-linux-gnu/lib/libc.a", "libc6-dev-i386-cross"),
            emulator: Some((needed("qemu-i386-static", "qemu-user-static"), "/usr/i686-linux-gnu")),
            packages: &["netns-core"],
            skipped: NOT_EMULATED,
        }),
    },
    Target {
        name: "riscv64gc-unknown-linux-gnu",
        packages: &["netns-core"],
        run: Some(Run {
            linker: needed("riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu"),
            library: needed("/usr/riscv64-linux-gnu/lib/libc.a", "libc6-dev-riscv64-cross"),
            emulator: Some((needed("qemu-riscv64-static", "qemu-user-static"), "/usr/riscv64-linux-gnu")),
            packages: &["netns-core"],
            skipped: NOT_EMULATED,
        }),
    },
    // Big-endian. netns-ebpf compiles, and refuses to load its little-endian object.
    Target {
        name: "s390x-unknown-linux-gnu",
        packages: &["netns-core", "netns-packet", "netns-ebpf"],
        run: Some(Run {
            linker: needed("s390x-linux-gnu-gcc", "gcc-s390x-linux-gnu"),
            library: needed("/usr/s390x-linux-gnu/lib/libc.a", "libc6-dev-s390x-cross"),
            emulator: Some((needed("qemu-s390x-static", "qemu-user-static"), "/usr/s390x-linux-gnu")),
            packages: &["netns-core", "netns-packet", "netns-ebpf"],
            skipped: NOT_EMULATED_BIG_ENDIAN,
        }),
    },
];

impl Needed {
    /// Whether it is there.
    pub(crate) fn is_there(&self) -> bool {
        if self.file.starts_with('/') {
            return Path::new(self.file).exists();
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(self.file).is_file())
    }
}

impl Target {
    /// The one with this name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// In the middle of an environment variable that is cargo's: `CARGO_TARGET_<this>_LINKER`.
    pub(crate) fn variable(&self, setting: &str) -> String {
        format!("CARGO_TARGET_{}_{setting}", self.name.to_uppercase().replace('-', "_"))
    }
}
