//! podman, as root and as an ordinary user.

use crate::bundle::{DOCKER_CAPABILITIES, filter};
use crate::rows::{Row, hold};
use crate::world::{ENVIRONMENT, SCRIPT, World};
use std::fs;
use tests::{in_host, oracle};

pub(crate) const ROWS: [Row; 5] = [
    Row {
        name: "podman's default",
        entered: "`podman run`",
        expected: [
            // `run`
            (
                2,
                "not root: in a user namespace and a host network of its own, with the kernel's port statistics in place of the program's counters\nerror: write sysctl net/ipv4/ip_forward=1: write: Read-only file system (os error 30)",
            ),
            // `up`
            (
                2,
                "error: enter namespace: setns to the present one: Operation not permitted (os error 1); run as root",
            ),
            // `observe`
            (
                1,
                "error: this takes CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN; run it as root: sudo -E env \"PATH=$PATH\" cargo xtask observe",
            ),
            // `netns add`
            (
                2,
                "error: create namespace: setns to the present one: Operation not permitted (os error 1); run as root",
            ),
            // `Network::create`
            (2, "create bridge first: Operation not permitted (os error 1)"),
        ],
    },
    Row {
        name: "podman, as Docker",
        entered: "`podman run` with Docker's capabilities and filter of system calls",
        expected: [
            // `run`
            (
                1,
                "error: this takes CAP_NET_ADMIN, CAP_SYS_ADMIN; run it as root: sudo -E env \"PATH=$PATH\" cargo xtask run (and without root: create user namespace: unshare: Operation not permitted (os error 1))",
            ),
            // `up`
            (
                2,
                "error: enter namespace: setns to the present one: Operation not permitted (os error 1); run as root",
            ),
            // `observe`
            (
                1,
                "error: this takes CAP_NET_ADMIN, CAP_SYS_ADMIN; run it as root: sudo -E env \"PATH=$PATH\" cargo xtask observe",
            ),
            // `netns add`
            (
                2,
                "error: create namespace: setns to the present one: Operation not permitted (os error 1); run as root",
            ),
            // `Network::create`
            (2, "create bridge first: Operation not permitted (os error 1)"),
        ],
    },
    Row {
        name: "podman, privileged",
        entered: "`podman run --privileged`",
        expected: [(0, ""), (0, ""), (0, ""), (0, ""), (0, "")],
    },
    Row {
        name: "rootless podman",
        entered: "`podman run` by an ordinary user",
        expected: [
            // `run`
            (
                2,
                "not root: in a user namespace and a host network of its own, with the kernel's port statistics in place of the program's counters\nerror: write sysctl net/ipv4/ip_forward=1: write: Read-only file system (os error 30)",
            ),
            // `up`
            (
                2,
                "error: enter namespace: setns to the present one: Operation not permitted (os error 1); run as root",
            ),
            // `observe`
            (
                1,
                "error: this takes CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN; run it as root: sudo -E env \"PATH=$PATH\" cargo xtask observe",
            ),
            // `netns add`
            (
                2,
                "error: create namespace: setns to the present one: Operation not permitted (os error 1); run as root",
            ),
            // `Network::create`
            (2, "create bridge first: Operation not permitted (os error 1)"),
        ],
    },
    Row {
        name: "rootless podman, privileged",
        entered: "`podman run --privileged` by an ordinary user",
        expected: [
            // `run`
            (
                1,
                "error: create the map *: Operation not permitted (os error 1): loading eBPF programs needs CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN) in the initial user namespace; run as root",
            ),
            // `up`
            (
                2,
                "error: prepare the view of /sys: mount: Operation not permitted (os error 1); what was done is undone",
            ),
            // `observe`
            (
                1,
                "error: create the map *: Operation not permitted (os error 1): loading eBPF programs needs CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN) in the initial user namespace; run as root",
            ),
            // `netns add`
            (0, ""),
            // `Network::create`
            (0, ""),
        ],
    },
];
/// The options of each row.
const OPTIONS: [&str; ROWS.len()] =
    ["", "--cap-drop=all --security-opt=seccomp=/run/engine/filter.json", "--privileged", "", "--privileged"];
const ROOTLESS: usize = 3;
/// The ordinary user.
pub(crate) const USER: u32 = 64_321;

#[test]
fn rootful() {
    in_host(|_| {
        let mut world = World::new(0);
        fs::write(world.path("filter.json"), filter().to_string()).unwrap();
        hold(&ROWS[..ROOTLESS], &mut world, |number, world| {
            let mut options: Vec<String> = OPTIONS[number].split_whitespace().map(str::to_owned).collect();
            if options.iter().any(|option| option == "--cap-drop=all") {
                options
                    .extend(DOCKER_CAPABILITIES.split_whitespace().map(|name| format!("--cap-add={name}")));
            }
            let folder =
                |(option, name): (&str, &str)| [option.to_owned(), world.path(name).display().to_string()];
            let folders =
                [("--root", "store"), ("--runroot", "run"), ("--tmpdir", "tmp")].map(folder).concat();
            [vec![podman()], folders, run(world, &options)].concat()
        });
    });
}

#[test]
fn rootless() {
    in_host(|_| {
        let _ = oracle("newuidmap");
        let mut world = World::new(USER);
        let home = world.folder("home");
        // The user that podman looks for, and the ids that it may give to its containers.
        let line = format!("netns:x:{USER}:{USER}::{}:/bin/sh\n", home.display());
        let passwd = fs::read_to_string("/etc/passwd").unwrap() + &line;
        let ids = "netns:100000:65536\n";
        let mut binds = String::new();
        for (name, text) in [("passwd", passwd.as_str()), ("subuid", ids), ("subgid", ids)] {
            fs::write(world.path(name), text).unwrap();
            binds += &format!("mount --bind {} /etc/{name}; ", world.path(name).display());
        }
        let script = format!(
            "{binds} export HOME={} XDG_RUNTIME_DIR={}; cd; exec setpriv --reuid {USER} --regid {USER} --clear-groups \
             \"$@\"",
            home.display(),
            world.folder("runtime").display(),
        );
        hold(&ROWS[ROOTLESS..], &mut world, |number, world| {
            let enter = ["/bin/sh", "-c", &script, "sh"].map(str::to_owned);
            let options = OPTIONS[ROOTLESS + number].split_whitespace().map(str::to_owned);
            [enter.into(), vec![podman()], run(world, &options.collect::<Vec<_>>())].concat()
        });
    });
}

fn podman() -> String {
    oracle("podman").get_program().to_str().unwrap().to_owned()
}

/// Without cgroups, which this user may not make, and with limits that anybody may set.
fn run(world: &World, options: &[String]) -> Vec<String> {
    let mut words: Vec<String> = [
        "--cgroup-manager=cgroupfs",
        "--storage-driver=vfs",
        "--runtime=crun",
        "run",
        "--rm",
        "--cgroups=disabled",
        "--network=none",
        "--ulimit=nofile=1024:1024",
        "--ulimit=nproc=1024:1024",
    ]
    .map(str::to_owned)
    .into();
    words.extend_from_slice(options);
    words.extend(ENVIRONMENT.iter().map(|(name, value)| format!("--env={name}={value}")));
    words.extend(["--rootfs".to_owned(), world.root().display().to_string()]);
    words.extend(SCRIPT.map(str::to_owned));
    words
}
