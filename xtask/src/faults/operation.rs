//! What is tested: each command that makes or removes something.

/// What happens to the machine, if all goes well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It is as it was before.
    None,
    /// There is more. After a failure there is not; after a kill, [`Operation::recovery`] removes it.
    Makes,
    /// There is less. After a failure or a kill, running the same command again completes it.
    Removes,
}

/// A command, in a host of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    /// Shell commands before it, with `netns` for the program. What they leave counts as "before".
    pub(super) setup: &'static str,
    pub(super) arguments: &'static str,
    pub(super) effect: Effect,
    /// Arguments of the command that cleans up after a kill.
    pub(super) recovery: &'static str,
    /// Whether SIGTERM and SIGINT end it in order, so that nothing is left even without the recovery.
    pub(super) orderly: bool,
    /// Shell commands that succeed before it, and after a kill at any of its calls.
    pub(super) holds: &'static str,
}

const fn operation(
    name: &'static str,
    arguments: &'static str,
    effect: Effect,
    recovery: &'static str,
) -> Operation {
    Operation { name, setup: "", arguments, effect, recovery, orderly: false, holds: "" }
}

/// An operation that leaves nothing, and that signals end in order.
const fn passing(name: &'static str, arguments: &'static str, recovery: &'static str) -> Operation {
    Operation { orderly: true, ..operation(name, arguments, Effect::None, recovery) }
}

/// A lab that is up, and its file changed since.
const EDITED: &str = "cp examples/bridge-host.toml /run/lab.toml; netns up -q /run/lab.toml; \
     sed -i 's|10.1.1.2/24|10.1.1.22/24|' /run/lab.toml";
/// A bridge that somebody else made, with a port.
const BRIDGE: &str = "ip link add br7 type bridge; ip link set br7 up; ip netns add box; \
     ip link add port7 type veth peer name eth0 netns box; ip link set port7 master br7 up; \
     ip -n box link set eth0 up";
/// The same, with what its port may send in a file.
const POLICY: &str = "ip link add br7 type bridge; ip link set br7 up; ip netns add box; \
     ip link add port7 type veth peer name eth0 netns box; ip link set port7 master br7 up; \
     ip -n box link set eth0 up; \
     printf '[namespace.box]\\nmac = \"02:00:00:00:00:07\"\\naddresses = [\"10.7.0.2\"]\\nmode = \"enforce\"\\n' >/run/policy.toml";

/// The same, enforced by an observer that was killed.
const ENFORCED: &str = "ip link add br7 type bridge; ip link set br7 up; ip address add 10.7.0.254/24 dev br7; \
     ip netns add box; ip link add port7 type veth peer name eth0 netns box; ip link set port7 master br7 up; \
     ip -n box link set eth0 address 02:00:00:00:00:07 up; ip -n box address add 10.7.0.2/24 dev eth0; \
     ip -n box address add 10.7.0.9/24 dev eth0; \
     printf '[namespace.box]\\nmac = \"02:00:00:00:00:07\"\\naddresses = [\"10.7.0.2\"]\\nmode = \"enforce\"\\n' >/run/policy.toml; \
     $program observe br7 --policy /run/policy.toml --interval 0.1 --json >/run/said 2>&1 & \
     until grep -q observe /run/said; do sleep 0.05; done; kill -KILL $!; wait $! || rm /run/said";
/// What the policy allows passes, and nothing else does, until the observer takes its barrier away in the end.
const ENFORCING: &str = "test -e /run/netns-observe-* || exit 0; \
     if grep -q '^lowered' /run/netns-observe-*; then exit 0; fi; ip netns exec box ping -c 1 -W 5 -I 10.7.0.2 10.7.0.254; \
     if ip netns exec box ping -c 1 -W 1 -I 10.7.0.9 10.7.0.254; then echo 'what is forbidden passes' >&2; exit 1; fi";

/// A link with a default route, by which ways out lead.
const UPLINK: &str = "ip link add up0 type veth peer name up1; ip address add 192.0.2.1/24 dev up0; \
     ip link set up0 up; ip link set up1 up; ip route add default via 192.0.2.2";
/// The same, and in a file a lab whose bridge has a way out and a published port.
const WAY_OUT: &str = "ip link add up0 type veth peer name up1; ip address add 192.0.2.1/24 dev up0; \
     ip link set up0 up; ip link set up1 up; ip route add default via 192.0.2.2; \
     printf '[bridge.br0]\\naddresses = [\"10.7.1.254/24\", \"fd07:1::ffff/64\"]\\n\
     masquerade = true\\npublish = [\"8080:ns1:80\"]\\nredirect = [\"443:8443\"]\\n[namespace.ns1]\\n\
     interface.eth0 = { bridge = \"br0\", addresses = [\"10.7.1.1/24\", \"fd07:1::1/64\"] }\\n' >/run/out.toml";

/// A policy for where namespaces may send to.
const EGRESS: &str = "printf 'without = [\"shared\"]\\nrules = [\"deny any tcp/25\"]\\nothers = \"deny\"\\n' >/run/egress.toml";
/// A lab whose ports have such a policy, and limits.
const LIMITED: &str = "printf '[egress.web]\\nrules = [\"deny any tcp/25\"]\\n[bridge.br0]\\n\
     addresses = [\"10.7.1.254/24\"]\\negress = \"web\"\\n[namespace.ns1]\\n\
     interface.eth0 = { bridge = \"br0\", addresses = [\"10.7.1.1/24\"], limit = \"100mbit\" }\\n' >/run/limited.toml";
/// The same, up, and changed since.
const RELAXED: &str = "printf '[egress.web]\\nrules = [\"deny any tcp/25\"]\\n[bridge.br0]\\n\
     addresses = [\"10.7.1.254/24\"]\\negress = \"web\"\\n[namespace.ns1]\\n\
     interface.eth0 = { bridge = \"br0\", addresses = [\"10.7.1.1/24\"], limit = \"100mbit\" }\\n' >/run/limited.toml; \
     netns up -q /run/limited.toml; sed -i 's|tcp/25|tcp/26|; s|100mbit|90mbit|' /run/limited.toml";

/// All of them.
pub(super) const ALL: &[Operation] = &[
    passing("run", "run --namespaces 2 --duration 0.2 --json", "clean"),
    passing(
        "run with addresses of both families, isolated",
        "run --namespaces 2 --duration 0.2 --json --subnet6 fd00:7::/64 --isolated",
        "clean",
    ),
    passing("run of a cable", "run --topology pair --subnet6 fd00:7::/64 --duration 0.2 --json", "clean"),
    passing("run that enforces", "run --namespaces 2 --duration 0.2 --json --enforce", "clean"),
    Operation {
        setup: UPLINK,
        ..passing(
            "run with a way out",
            "run --namespaces 2 --duration 0.2 --json --masquerade --publish 8080:ns1:80 \
             --redirect 443:8443 --resolver 192.0.2.2",
            "clean",
        )
    },
    Operation {
        setup: EGRESS,
        ..passing(
            "run with egress, limits and scopes",
            "run --namespaces 2 --duration 0.2 --json --enforce --egress /run/egress.toml --limit 100mbit --scopes",
            "clean",
        )
    },
    operation("run that keeps", "run --namespaces 2 --duration 0.2 --json --keep", Effect::Makes, "clean"),
    Operation {
        setup: "netns run --namespaces 2 --duration 0.2 --json --keep >/dev/null",
        ..operation("clean", "clean", Effect::Removes, "clean")
    },
    operation("up", "up -q examples/bridge-host.toml", Effect::Makes, "down -q examples/bridge-host.toml"),
    operation(
        "up with policies",
        "up -q examples/tenants.toml",
        Effect::Makes,
        "down -q examples/tenants.toml",
    ),
    Operation {
        setup: WAY_OUT,
        ..operation("up with a way out", "up -q /run/out.toml", Effect::Makes, "down -q /run/out.toml")
    },
    Operation {
        setup: LIMITED,
        ..operation(
            "up with egress and limits",
            "up -q /run/limited.toml",
            Effect::Makes,
            "down -q /run/limited.toml",
        )
    },
    Operation {
        setup: RELAXED,
        ..operation(
            "up after an edit of egress and limits",
            "up -q /run/limited.toml",
            Effect::Removes,
            "up -q /run/limited.toml",
        )
    },
    Operation {
        setup: EDITED,
        // Taken down, the lab is not where it was before the edit; up again it is where the edit leads to.
        ..operation("up after an edit", "up -q /run/lab.toml", Effect::Removes, "up -q /run/lab.toml")
    },
    Operation {
        setup: "netns up -q examples/bridge-host.toml",
        ..operation("down", "down -q examples/bridge-host.toml", Effect::Removes, "")
    },
    Operation {
        setup: "netns up -q examples/tenants.toml",
        ..operation("down with policies", "down -q examples/tenants.toml", Effect::Removes, "")
    },
    Operation {
        setup: BRIDGE,
        ..passing("observe", "observe br7 --duration 0.3 --interval 0.1 --json", "observe --cleanup")
    },
    Operation {
        setup: POLICY,
        ..passing(
            "observe with a policy",
            "observe br7 --policy /run/policy.toml --duration 0.3 --interval 0.1 --json",
            "observe --cleanup",
        )
    },
    Operation {
        setup: ENFORCED,
        holds: ENFORCING,
        ..operation(
            "observe that takes over",
            "observe br7 --policy /run/policy.toml --duration 0.3 --interval 0.1 --json",
            Effect::Removes,
            "observe br7 --policy /run/policy.toml --duration 0.3 --interval 0.1 --json",
        )
    },
    operation("netns add", "netns add one", Effect::Makes, "netns delete one"),
    Operation {
        setup: "ip netns add one",
        ..operation("netns delete", "netns delete one", Effect::Removes, "")
    },
    operation("link add", "link add v0 type veth peer name v1", Effect::Makes, "link delete v0"),
    library("library: network", "faults --library network"),
    library("library: sandbox", "faults --library sandbox"),
    library("library: sandbox that is deleted", "faults --library delete"),
    library("library: sandbox with a name", "faults --library named"),
    library("library: sandbox on a further bridge", "faults --library further"),
    Operation {
        setup: "ip netns add lent",
        ..library("library: sandbox in a namespace", "faults --library lent")
    },
    library("library: sandbox that is judged", "faults --library judged"),
    library("library: sandbox with an egress policy", "faults --library egress"),
    Operation { setup: UPLINK, ..library("library: network with a way out", "faults --library way-out") },
    library("library: command that resolves", "faults --library resolving"),
    library("library: pool", "faults --library pool"),
    Operation {
        setup: "netns faults --library abandon",
        effect: Effect::Removes,
        ..library("library: network that is taken over", "faults --library adopt")
    },
    Operation {
        setup: "netns faults --library abandon-judged",
        effect: Effect::Removes,
        ..library("library: judged network that is taken over", "faults --library adopt-judged")
    },
    Operation {
        setup: "netns faults --library abandon",
        effect: Effect::Removes,
        ..library("library: network that is removed", LIBRARY_RECOVERY)
    },
    Operation {
        // The bridge is there, and holds the program.
        setup: "ip netns add one; netns faults --plugin ADD,DEL",
        ..operation("plugin: ADD", "faults --plugin ADD", Effect::Makes, "faults --plugin DEL")
    },
    Operation {
        setup: "ip netns add one; netns faults --plugin ADD,GC",
        // What the network's containers share stays where it fails.
        ..operation(
            "plugin: ADD of the first",
            "faults --plugin ADD",
            Effect::Removes,
            "faults --plugin DEL,ADD",
        )
    },
    Operation {
        setup: "ip netns add one; netns faults --plugin ADD",
        ..operation("plugin: DEL", "faults --plugin DEL", Effect::Removes, "")
    },
    Operation {
        setup: "ip netns add one; netns faults --plugin ADD",
        ..operation("plugin: GC", "faults --plugin GC", Effect::Removes, "")
    },
];

/// What an operation of the library leaves if it is killed is removed by `RecordedNetwork::remove_all`.
const LIBRARY_RECOVERY: &str = "faults --library remove";

/// An operation of the library: see `library.rs`.
const fn library(name: &'static str, arguments: &'static str) -> Operation {
    operation(name, arguments, Effect::None, LIBRARY_RECOVERY)
}

/// Errors that pass: a call that undoes something is made once more after one of them, so that nothing stays.
pub(super) const PASSING: &[&str] =
    &["ENOBUFS", "ENOMEM", "EINTR", "EAGAIN", "EBUSY", "EMFILE", "ENFILE", "ENOLCK"];

/// After which refusals something may stay until the recovery: the beginning of an operation's name, the call, and its
/// object. None of them is one of [`PASSING`]. Whatever stays is on record, and the command reports its failure.
pub(super) const MAY_STAY: &[(&str, &str, &str)] = &[
    // What cannot be removed is there.
    ("", "umount2", ""),
    ("", "unlink", ""),
    ("", "rmdir", ""),
    ("run", "sendto", "RTM_DELLINK"),
    // Links are put into a group that is then deleted.
    ("run", "sendto", "RTM_NEWLINK"),
    ("run", "sendto", "NFT_MSG_DELTABLE"),
    ("run", "bpf", "BPF_MAP_DELETE_ELEM"),
    ("up", "flock", ""),
    // A network whose bridge or barrier cannot be removed when it is dropped.
    ("library", "sendto", "RTM_DELLINK"),
    // It is not known whether the bridge is gone.
    ("library", "sendto", "RTM_GETLINK"),
    ("library", "socket", ""),
    ("library", "openat", "/proc"),
    ("library", "sendto", "NFT_MSG_DELTABLE"),
    ("library", "flock", ""),
    // It is not known whether the published ports and rules are gone, nor who else needs the settings. `#x#a` is
    // `NFT_MSG_GETSET`, for which strace has no name.
    ("library: network with a way out", "sendto", "NFT_MSG_GETRULE"),
    ("library: network with a way out", "sendto", "#x#a"),
    ("library: network with a way out", "openat", "/run/netns-settings.record"),
    // An empty record, which another process may have locked at that moment.
    ("run", "flock", ""),
    ("observe", "flock", ""),
    ("plugin", "flock", ""),
    ("observe", "sendto", "RTM_DEL"),
    ("observe", "bpf", "BPF_MAP_DELETE_ELEM"),
];

/// As [`MAY_STAY`], whatever the error. The link was made and the answer lost: the command reports that and cannot know more,
/// since somebody else may have made a link of this name at the same time.
pub(super) const MAY_ALWAYS_STAY: &[(&str, &str, &str)] = &[("link add", "recvmsg", "")];
