//! Without an engine: an ordinary user, and the root of a user namespace that `unshare` makes.

use crate::podman::USER;
use crate::rows::{Row, hold};
use crate::world::World;
use tests::{in_host, ip, oracle};

pub(crate) const ROWS: [Row; 6] = [
    Row {
        name: "an ordinary user",
        entered: "`setpriv --reuid 64321 ..`",
        expected: [
            // `run`
            (
                0,
                "not root: in a user namespace and a host network of its own, with the kernel's port statistics in place of the program's counters",
            ),
            // `up`
            (1, "error: lock /run/netns-topology: Permission denied (os error 13)"),
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
        name: "nobody, and no user namespaces",
        entered: "`setpriv --reuid 65534 ..` where `user.max_user_namespaces` is 0",
        expected: [
            // `run`
            (
                1,
                "error: this takes CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN; run it as root: sudo -E env \"PATH=$PATH\" cargo xtask run (and without root: create user namespace: unshare: No space left on device (os error 28))",
            ),
            // `up`
            (1, "error: lock /run/netns-topology: Permission denied (os error 13)"),
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
        name: "`unshare -Ur`",
        entered: "by an ordinary user",
        expected: [
            // `run`
            (
                2,
                "error: enter namespace: setns to the present one: Operation not permitted (os error 1); run as root",
            ),
            // `up`
            (1, "error: lock /run/netns-topology: Permission denied (os error 13)"),
            // `observe`
            (
                2,
                "error: enter namespace: setns to the present one: Operation not permitted (os error 1); run as root",
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
        name: "`unshare -Urn`",
        entered: "by an ordinary user",
        expected: [
            // `run`
            (
                1,
                "error: create the map *: Operation not permitted (os error 1): loading eBPF programs needs CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN) in the initial user namespace; run as root",
            ),
            // `up`
            (1, "error: lock /run/netns-topology: Permission denied (os error 13)"),
            // `observe`
            (
                1,
                "error: create the map *: Operation not permitted (os error 1): loading eBPF programs needs CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN) in the initial user namespace; run as root",
            ),
            // `netns add`
            (2, "error: create namespace ns7: mount: Permission denied (os error 13)"),
            // `Network::create`
            (0, ""),
        ],
    },
    Row {
        name: "`unshare -Urnm`",
        entered: "by an ordinary user",
        expected: [
            // `run`
            (
                1,
                "error: create the map *: Operation not permitted (os error 1): loading eBPF programs needs CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN) in the initial user namespace; run as root",
            ),
            // `up`
            (1, "error: lock /run/netns-topology: Permission denied (os error 13)"),
            // `observe`
            (
                1,
                "error: create the map *: Operation not permitted (os error 1): loading eBPF programs needs CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN) in the initial user namespace; run as root",
            ),
            // `netns add`
            (2, "error: create namespace ns7: mount: Permission denied (os error 13)"),
            // `Network::create`
            (0, ""),
        ],
    },
    Row {
        name: "`unshare -Urnm`, with a `/run`",
        entered: "by an ordinary user, then `mount -t tmpfs run /run`",
        expected: [
            // `run`
            (
                1,
                "error: create the map *: Operation not permitted (os error 1): loading eBPF programs needs CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN) in the initial user namespace; run as root",
            ),
            // `up`
            (0, ""),
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
/// The commands before the script's, by row.
const ENTERED: [&str; ROWS.len()] = [
    "",
    // Limits on user namespaces are a user namespace's own (`user_namespaces(7)`), so the machine's stays as it is.
    "unshare --user --map-user=65534 --map-group=65534 --keep-caps /bin/sh -c 'echo 0 \
     >/proc/sys/user/max_user_namespaces; exec setpriv --ambient-caps=-all --inh-caps=-all --bounding-set=-all \
     \"$@\"' sh",
    "unshare -Ur",
    "unshare -Urn",
    "unshare -Urnm",
    "unshare -Urnm /bin/sh -c 'mount -t tmpfs run /run; exec \"$@\"' sh",
];

#[test]
fn users_and_their_user_namespaces() {
    in_host(|_| {
        let (mut world, setpriv) = (World::new(USER), oracle("setpriv"));
        // In the host's own network namespace nobody else can make one.
        ip("link add outside type bridge");
        ip("link set outside up");
        hold(&ROWS, &mut world, |number, _| {
            let entered = ENTERED[number];
            let script = format!(
                "export PATH={0}/bin:/usr/bin OUT={0}/out FILES={0}/files COMMANDS='run up observe netns create'; \
                 exec {1} --reuid {USER} --regid {USER} --clear-groups {entered} /bin/sh $FILES/commands.sh",
                "/tmp/engine/root",
                setpriv.get_program().display(),
            );
            vec!["/bin/sh".to_owned(), "-c".to_owned(), script]
        });
    });
}
