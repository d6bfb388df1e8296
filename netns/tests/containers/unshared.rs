//! Without an engine: an ordinary user, and the root of a user namespace that `unshare` makes.

use crate::answers::{
    AS_NOBODY, AS_ROOT_INSIDE, COUNTED_BY_KERNEL, DONE, NETNS_BY_USER, NETNS_IN_FOREIGN_NETWORK,
    NETNS_WITHOUT_MOUNTS, NETNS_WITHOUT_RUN, NO_BRIDGE, NO_BRIDGE_IN_FOREIGN_NETWORK,
    RUN_WITHOUT_USER_NAMESPACES, UP_BY_USER, UP_IN_FOREIGN_NETWORK, UP_WITHOUT_MOUNTS, UP_WITHOUT_RUN,
};
use crate::podman::USER;
use crate::rows::{Row, hold};
use crate::world::World;
use tests::{in_host, ip, oracle};

pub(crate) const ROWS: [Row; 7] = [
    Row {
        name: "an ordinary user",
        entered: "`setpriv --reuid 64321 ..`",
        expected: [AS_NOBODY, UP_BY_USER, COUNTED_BY_KERNEL, NETNS_BY_USER, NO_BRIDGE],
    },
    Row {
        name: "nobody, and no user namespaces",
        entered: "`setpriv --reuid 65534 ..` where `user.max_user_namespaces` is 0",
        expected: [
            RUN_WITHOUT_USER_NAMESPACES,
            UP_BY_USER,
            COUNTED_BY_KERNEL,
            NETNS_BY_USER,
            NO_BRIDGE_IN_FOREIGN_NETWORK,
        ],
    },
    Row {
        name: "`unshare -Ur`",
        entered: "by an ordinary user",
        expected: [
            AS_NOBODY,
            UP_IN_FOREIGN_NETWORK,
            COUNTED_BY_KERNEL,
            NETNS_IN_FOREIGN_NETWORK,
            NO_BRIDGE_IN_FOREIGN_NETWORK,
        ],
    },
    Row {
        name: "`unshare -Urn`",
        entered: "by an ordinary user",
        expected: [AS_ROOT_INSIDE, UP_WITHOUT_RUN, COUNTED_BY_KERNEL, NETNS_WITHOUT_RUN, DONE],
    },
    Row {
        name: "`unshare -Urnm`",
        entered: "by an ordinary user",
        expected: [AS_ROOT_INSIDE, UP_WITHOUT_RUN, COUNTED_BY_KERNEL, NETNS_WITHOUT_RUN, DONE],
    },
    Row {
        name: "`unshare -Urnm`, with a `/run`",
        entered: "by an ordinary user, then `mount -t tmpfs run /run`",
        expected: [AS_ROOT_INSIDE, DONE, COUNTED_BY_KERNEL, DONE, DONE],
    },
    Row {
        name: "root's `unshare -Urn`",
        entered: "by root, who may write to `/run` and not mount there",
        expected: [AS_ROOT_INSIDE, UP_WITHOUT_MOUNTS, COUNTED_BY_KERNEL, NETNS_WITHOUT_MOUNTS, DONE],
    },
];
/// The commands before the script's, by row.
const ENTERED: [&str; ROWS.len()] = [
    "",
    // Limits on user namespaces belong to a user namespace (`user_namespaces(7)`), so the machine's stay as they are.
    "unshare --user --map-user=65534 --map-group=65534 --keep-caps /bin/sh -c 'echo 0 \
     >/proc/sys/user/max_user_namespaces; exec setpriv --ambient-caps=-all --inh-caps=-all --bounding-set=-all \
     \"$@\"' sh",
    "unshare -Ur",
    "unshare -Urn",
    "unshare -Urnm",
    "unshare -Urnm /bin/sh -c 'mount -t tmpfs run /run; exec \"$@\"' sh",
    "unshare -Urn",
];
/// The rows of the machine's root.
const BY_ROOT: usize = 6;

#[test]
fn users_and_their_user_namespaces() {
    in_host(|_| {
        let (mut world, setpriv) = (World::new(USER), oracle("setpriv"));
        // In the host's own network namespace nobody else can make a bridge.
        ip("link add outside type bridge");
        ip("link set outside up");
        hold(&ROWS, &mut world, |number, _| {
            let (entered, user) = (ENTERED[number], if number == BY_ROOT { 0 } else { USER });
            let script = format!(
                "export PATH={0}/bin:/usr/bin OUT={0}/out FILES={0}/files COMMANDS='run up observe netns create'; \
                 exec {1} --reuid {user} --regid {user} --clear-groups {entered} /bin/sh $FILES/commands.sh",
                "/tmp/engine/root",
                setpriv.get_program().display(),
            );
            vec!["/bin/sh".to_owned(), "-c".to_owned(), script]
        });
    });
}
