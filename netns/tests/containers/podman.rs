//! podman, as root and as an ordinary user.

use crate::answers::{
    AS_NOBODY_UNROUTED, AS_ROOT_INSIDE, BOTH_IN_CONTAINER, COUNTED_BY_KERNEL, DONE, NO_BRIDGE,
    NO_SUCH_BRIDGE, RUN_IN_CONTAINER, SYS_ADMIN_IN_CONTAINER,
};
use crate::bundle::{DOCKER_CAPABILITIES, filter};
use crate::rows::{Row, hold};
use crate::world::{ENVIRONMENT, NETWORK, SCRIPT, World, make_network};
use std::fmt::Write;
use std::fs;
use tests::{in_host, oracle};

pub(crate) const ROWS: [Row; 5] = [
    Row {
        name: "podman's default",
        entered: "`podman run`",
        expected: [
            AS_NOBODY_UNROUTED,
            BOTH_IN_CONTAINER,
            COUNTED_BY_KERNEL,
            SYS_ADMIN_IN_CONTAINER,
            NO_BRIDGE,
        ],
    },
    Row {
        name: "podman, as Docker",
        entered: "`podman run` with Docker's capabilities and filter of system calls",
        expected: [RUN_IN_CONTAINER, BOTH_IN_CONTAINER, COUNTED_BY_KERNEL, SYS_ADMIN_IN_CONTAINER, NO_BRIDGE],
    },
    Row {
        name: "podman, privileged",
        entered: "`podman run --privileged`",
        expected: [DONE, DONE, DONE, DONE, DONE],
    },
    Row {
        name: "rootless podman",
        entered: "`podman run` by an ordinary user",
        expected: [AS_NOBODY_UNROUTED, BOTH_IN_CONTAINER, NO_SUCH_BRIDGE, SYS_ADMIN_IN_CONTAINER, NO_BRIDGE],
    },
    Row {
        name: "rootless podman, privileged",
        entered: "`podman run --privileged` by an ordinary user",
        expected: [AS_ROOT_INSIDE, DONE, COUNTED_BY_KERNEL, DONE, DONE],
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
        make_network();
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
            options.push(format!("--network=ns:{NETWORK}"));
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
        // The user that podman looks up, and the ids that this user may give to containers.
        let line = format!("netns:x:{USER}:{USER}::{}:/bin/sh\n", home.display());
        let passwd = fs::read_to_string("/etc/passwd").unwrap() + &line;
        let ids = "netns:100000:65536\n";
        let mut binds = String::new();
        for (name, text) in [("passwd", passwd.as_str()), ("subuid", ids), ("subgid", ids)] {
            fs::write(world.path(name), text).unwrap();
            let _ = write!(binds, "mount --bind {} /etc/{name}; ", world.path(name).display());
        }
        let script = format!(
            "{binds} export HOME={} XDG_RUNTIME_DIR={}; cd; exec setpriv --reuid {USER} --regid {USER} --clear-groups \
             \"$@\"",
            home.display(),
            world.folder("runtime").display(),
        );
        hold(&ROWS[ROOTLESS..], &mut world, |number, world| {
            let enter = ["/bin/sh", "-c", &script, "sh"].map(str::to_owned);
            let options =
                OPTIONS[ROOTLESS + number].split_whitespace().chain(["--network=none"]).map(str::to_owned);
            [enter.into(), vec![podman()], run(world, &options.collect::<Vec<_>>())].concat()
        });
    });
}

fn podman() -> String {
    let _ = oracle("crun");
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
