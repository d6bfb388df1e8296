//! Plain OCI bundles, as Docker makes them, run by crun and by runc.

use crate::answers::{
    BOTH_IN_CONTAINER, COUNTED_BY_KERNEL, DONE, NO_BRIDGE, NO_SETTING, RUN_IN_CONTAINER,
    RUN_IN_CONTAINER_WITH_NET_ADMIN, SYS_ADMIN_IN_CONTAINER, UNROUTED,
};
use crate::rows::{Row, hold};
use crate::world::{Cgroups, ENVIRONMENT, NETWORK, SCRIPT, World, make_network, unique};
use serde_json::{Value, json};
use std::fs;
use tests::{in_host, oracle};

/// What Docker gives a container
/// (<https://github.com/moby/moby/blob/v27.0.0/oci/caps/defaults.go>).
pub(crate) const DOCKER_CAPABILITIES: &str = "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP \
    SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE";
/// The new namespaces that `clone` can make; a container may set none of these flags.
const NEW_NAMESPACES: [u64; 7] =
    [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// How a container is made.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// With these capabilities besides [`DOCKER_CAPABILITIES`].
    Ordinary(&'static str),
    /// With all capabilities, nothing read-only and no filter of system calls.
    Privileged,
    /// The same, without `/sys`.
    WithoutSys,
}

pub(crate) const ROWS: [Row; 5] = [
    Row {
        name: "an ordinary container",
        entered: "crun, runc: a bundle with Docker's capabilities, read-only `/proc/sys`, Docker's filter of system \
                  calls",
        expected: [RUN_IN_CONTAINER, BOTH_IN_CONTAINER, COUNTED_BY_KERNEL, SYS_ADMIN_IN_CONTAINER, NO_BRIDGE],
    },
    Row {
        name: "with `NET_ADMIN` added",
        entered: "crun, runc: the same and `CAP_NET_ADMIN`",
        expected: [
            RUN_IN_CONTAINER_WITH_NET_ADMIN,
            SYS_ADMIN_IN_CONTAINER,
            COUNTED_BY_KERNEL,
            SYS_ADMIN_IN_CONTAINER,
            NO_SETTING,
        ],
    },
    Row {
        name: "with `NET_ADMIN`, `SYS_ADMIN` added",
        entered: "crun, runc: the same and `CAP_NET_ADMIN`, `CAP_SYS_ADMIN`",
        expected: [UNROUTED, DONE, DONE, DONE, DONE],
    },
    Row {
        name: "privileged",
        entered: "crun, runc: a bundle with all capabilities",
        expected: [DONE, DONE, DONE, DONE, DONE],
    },
    Row {
        name: "privileged, without `/sys`",
        entered: "crun, runc: a bundle with all capabilities and no mount of `/sys`",
        expected: [DONE, DONE, DONE, DONE, DONE],
    },
];
const KINDS: [Kind; ROWS.len()] = [
    Kind::Ordinary(""),
    Kind::Ordinary("NET_ADMIN"),
    Kind::Ordinary("NET_ADMIN SYS_ADMIN"),
    Kind::Privileged,
    Kind::WithoutSys,
];

#[test]
fn crun() {
    in_host(|_| every_row(&["crun", "--cgroup-manager=disabled"]));
}

#[test]
fn runc() {
    in_host(|_| every_row(&["runc"]));
}

fn every_row(engine: &[&str]) {
    let (tool, options) = engine.split_first().unwrap();
    let tool = oracle(tool).get_program().to_str().unwrap().to_owned();
    let (mut world, _cgroups) = (World::new(0), Cgroups);
    make_network();
    hold(&ROWS, &mut world, |number, world| {
        let bundle = world.folder("bundle");
        fs::write(bundle.join("config.json"), config(KINDS[number], engine[0], world).to_string()).unwrap();
        let mut words = vec![tool.clone(), "--root".to_owned(), world.path("state").display().to_string()];
        words.extend(options.iter().map(ToString::to_string));
        let name = format!("{}-{}", unique(), engine[0]);
        words.extend(["run", "--bundle", bundle.to_str().unwrap(), &name].map(str::to_owned));
        words
    });
}

fn config(kind: Kind, engine: &str, world: &World) -> Value {
    let environment: Vec<String> =
        ENVIRONMENT.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let (capabilities, rights) = match kind {
        Kind::Ordinary(added) => {
            let names = DOCKER_CAPABILITIES.split_whitespace().chain(added.split_whitespace());
            (names.map(|name| format!("CAP_{name}")).collect(), "ro")
        }
        Kind::Privileged | Kind::WithoutSys => (all_capabilities(), "rw"),
    };
    let mut mounts = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc" }),
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] }),
    ];
    if !matches!(kind, Kind::WithoutSys) {
        let options = ["nosuid", "noexec", "nodev", rights];
        mounts.push(json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": options }));
    }
    let mut namespaces = ["pid", "ipc", "uts", "mount"].map(|kind| json!({ "type": kind })).to_vec();
    namespaces.push(json!({ "type": "network", "path": NETWORK }));
    let mut linux = json!({ "namespaces": namespaces, "cgroupsPath": format!("/{}/{engine}", unique()) });
    if let Kind::Ordinary(added) = kind {
        linux["maskedPaths"] =
            json!(["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]);
        linux["readonlyPaths"] =
            json!(["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]);
        if !added.contains("SYS_ADMIN") {
            linux["seccomp"] = filter();
        }
    }
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": SCRIPT,
            "env": environment,
            "cwd": "/",
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
        },
        "root": { "path": world.root() },
        "mounts": mounts,
        "linux": linux,
    })
}

/// What Docker's default profile forbids to containers without `CAP_SYS_ADMIN`
/// (<https://github.com/moby/moby/blob/v27.0.0/profiles/seccomp/default.json>), in the OCI's words. It allows
/// everything else that the commands use.
pub(crate) fn filter() -> Value {
    let names = [
        "bpf",
        "fsconfig",
        "fsmount",
        "fsopen",
        "fspick",
        "mount",
        "mount_setattr",
        "move_mount",
        "open_tree",
        "perf_event_open",
        "setns",
        "umount2",
        "unshare",
    ];
    let mut calls = vec![
        json!({ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM }),
        // The C library falls back to `clone`.
        json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS }),
    ];
    calls.extend(NEW_NAMESPACES.iter().map(|flag| {
        let argument = json!({ "index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ" });
        json!({ "names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM, "args": [argument] })
    }));
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": calls })
}

/// All that this process can give: the engines refuse to give what they do not have.
fn all_capabilities() -> Vec<String> {
    let had = bounding_set();
    let named = ALL.split_whitespace().enumerate().filter(|(bit, _)| had & 1 << bit != 0);
    named.map(|(_, name)| format!("CAP_{name}")).collect()
}

fn bounding_set() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap()
}

/// All capabilities, by bit number (`include/uapi/linux/capability.h`).
const ALL: &str = "\
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE \
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT \
    SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE \
    AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ \
    PERFMON BPF CHECKPOINT_RESTORE";
