//! What the commands answer: exit code, and all of standard error.

/// An exit code and a sentence.
pub(crate) type Answer = (i32, &'static str);

pub(crate) const DONE: Answer = (0, "");

/// `observe`, where it shows less.
pub(crate) const COUNTED_BY_KERNEL: Answer = (
    0,
    "the kernel's port statistics in place of the program's counters: load a program: Operation not permitted (os error \
     1): loading eBPF programs needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (or CAP_SYS_ADMIN) in the initial user \
     namespace; run as root",
);
/// `run`, by somebody without any privilege.
pub(crate) const AS_NOBODY: Answer = (
    0,
    "not root: in a user namespace and a host network of its own, with the kernel's port statistics in place of the \
     program's counters",
);
/// The same where `/proc/sys` is read-only.
pub(crate) const AS_NOBODY_UNROUTED: Answer = (
    0,
    "not root: in a user namespace and a host network of its own, with the kernel's port statistics in place of the \
     program's counters\nwarning: ip_forward stays off; the host routes nothing for them: write sysctl \
     net/ipv4/ip_forward=1: Read-only file system (os error 30)",
);
/// `run` where only that is missing.
pub(crate) const UNROUTED: Answer = (
    0,
    "warning: ip_forward stays off; the host routes nothing for them: write sysctl net/ipv4/ip_forward=1: \
     Read-only file system (os error 30)",
);
/// `run`, by the root of a user namespace.
pub(crate) const AS_ROOT_INSIDE: Answer = (
    0,
    "root of a user namespace: in a host network of its own, with the kernel's port statistics in place of the \
     program's counters",
);

/// `up` in a container.
pub(crate) const BOTH_IN_CONTAINER: Answer = (
    1,
    "error: this takes CAP_NET_ADMIN, CAP_SYS_ADMIN, which root does not have here (in a container: --cap-add=NET_ADMIN \
     --cap-add=SYS_ADMIN, or --privileged)",
);
/// `netns add` in a container, and `up` where it has `CAP_NET_ADMIN`.
pub(crate) const SYS_ADMIN_IN_CONTAINER: Answer = (
    1,
    "error: this takes CAP_SYS_ADMIN, which root does not have here (in a container: --cap-add=SYS_ADMIN, or --privileged)",
);
/// `up` without `CAP_NET_ADMIN` alone.
pub(crate) const NET_ADMIN_IN_CONTAINER: Answer = (
    1,
    "error: this takes CAP_NET_ADMIN, which root does not have here (in a container: --cap-add=NET_ADMIN, or --privileged)",
);
/// `run` in a container that makes no user namespaces.
pub(crate) const RUN_IN_CONTAINER: Answer = (
    1,
    "error: this takes CAP_NET_ADMIN, CAP_SYS_ADMIN, which root does not have here (in a container: --cap-add=NET_ADMIN \
     --cap-add=SYS_ADMIN, or --privileged); a user namespace, which would do too, cannot be made: create user namespace: \
     unshare: Operation not permitted (os error 1)",
);
/// The same, with `CAP_NET_ADMIN`.
pub(crate) const RUN_IN_CONTAINER_WITH_NET_ADMIN: Answer = (
    1,
    "error: this takes CAP_SYS_ADMIN, which root does not have here (in a container: --cap-add=SYS_ADMIN, or \
     --privileged); a user namespace, which would do too, cannot be made: create user namespace: unshare: Operation not \
     permitted (os error 1)",
);
/// `Network::create` without `CAP_NET_ADMIN`.
pub(crate) const NO_BRIDGE: Answer =
    (2, "create bridge first: Operation not permitted (os error 1): this takes CAP_NET_ADMIN");
/// The same with `CAP_NET_ADMIN`, in a container, and outside.
pub(crate) const NO_SETTING: Answer = (
    2,
    "write sysctl net/ipv6/conf/first/disable_ipv6=1: fsopen: Operation not permitted (os error 1): this takes \
     CAP_SYS_ADMIN",
);
pub(crate) const NO_NAMESPACE: Answer = (
    2,
    "create namespace: setns to the present one: Operation not permitted (os error 1): this takes CAP_SYS_ADMIN",
);
/// The same in somebody else's network namespace.
pub(crate) const NO_BRIDGE_IN_FOREIGN_NETWORK: Answer = (
    2,
    "create bridge first: Operation not permitted (os error 1): this takes CAP_NET_ADMIN over the network namespace, \
     which belongs to another user namespace (unshare --net makes one that does not)",
);
/// `observe` where there is nothing to observe.
pub(crate) const NO_SUCH_BRIDGE: Answer = (2, "error: get link outside: No such device (os error 19)");

/// `up`, `netns add` and `run` by a user.
pub(crate) const UP_BY_USER: Answer = (
    1,
    "error: this takes CAP_NET_ADMIN, CAP_SYS_ADMIN; run it as root: sudo -E env \"PATH=$PATH\" netns up",
);
pub(crate) const NETNS_BY_USER: Answer =
    (1, "error: this takes CAP_SYS_ADMIN; run it as root: sudo -E env \"PATH=$PATH\" netns netns add");
pub(crate) const RUN_WITHOUT_USER_NAMESPACES: Answer = (
    1,
    "error: this takes CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN; run it as root: sudo -E env \"PATH=$PATH\" netns \
     run; a user namespace, which would do too, cannot be made: create user namespace: unshare: No space left on device \
     (os error 28): the limit user.max_user_namespaces or user.max_net_namespaces is reached",
);
/// `up` and `netns add` by the root of a user namespace in somebody else's network namespace.
pub(crate) const UP_IN_FOREIGN_NETWORK: Answer = (
    1,
    "error: this takes CAP_NET_ADMIN, CAP_SYS_ADMIN; this network namespace belongs to another user namespace, where the \
     capabilities of this one do not count: run it as root there, or in a network namespace of its own (unshare --net)",
);
pub(crate) const NETNS_IN_FOREIGN_NETWORK: Answer = (
    1,
    "error: this takes CAP_SYS_ADMIN; this network namespace belongs to another user namespace, where the capabilities of \
     this one do not count: run it as root there, or in a network namespace of its own (unshare --net)",
);
/// `up` and `netns add` where `/run` cannot be written to.
pub(crate) const UP_WITHOUT_RUN: Answer = (
    2,
    "error: make folder /run/netns-topology: mkdir: Permission denied (os error 13); names and records are kept in /run, which the \
     root of a user namespace can write to and mount in only if it is its own (unshare --mount, then mount -t tmpfs run \
     /run)",
);
pub(crate) const NETNS_WITHOUT_RUN: Answer = (
    2,
    "error: prepare /var/run/netns: mkdir: Permission denied (os error 13); names and records are kept in /run, which \
     the root of a user namespace can write to and mount in only if it is its own (unshare --mount, then mount -t tmpfs \
     run /run)",
);
/// The same where nothing can be mounted.
pub(crate) const UP_WITHOUT_MOUNTS: Answer = (
    2,
    "error: prepare /var/run/netns: mount: Operation not permitted (os error 1); what was done is undone; names and \
     records are kept in /run, which the root of a user namespace can write to and mount in only if it is its own \
     (unshare --mount, then mount -t tmpfs run /run)",
);
pub(crate) const NETNS_WITHOUT_MOUNTS: Answer = (
    2,
    "error: prepare /var/run/netns: mount: Operation not permitted (os error 1); names and records are kept in /run, \
     which the root of a user namespace can write to and mount in only if it is its own (unshare --mount, then mount -t \
     tmpfs run /run)",
);

/// `run` without one of its capabilities, by a root that has no others either.
pub(crate) const RUN_WITHOUT_NET_ADMIN: Answer = (
    1,
    "error: this takes CAP_NET_ADMIN, which root does not have here (in a container: --cap-add=NET_ADMIN, or --privileged); a user \
     namespace, which would do too, cannot be made: write /proc/self/uid_map: Operation not permitted (os error 1)",
);
/// `run` without one of its capabilities, by a root that has no others either.
pub(crate) const RUN_WITHOUT_NET_RAW: Answer = (
    1,
    "error: this takes CAP_NET_RAW, which root does not have here (in a container: --cap-add=NET_RAW, or --privileged); a user \
     namespace, which would do too, cannot be made: write /proc/self/uid_map: Operation not permitted (os error 1)",
);
/// `run` without one of its capabilities, by a root that has no others either.
pub(crate) const RUN_WITHOUT_SYS_ADMIN: Answer = (
    1,
    "error: this takes CAP_SYS_ADMIN, which root does not have here (in a container: --cap-add=SYS_ADMIN, or --privileged); a user \
     namespace, which would do too, cannot be made: write /proc/self/uid_map: Operation not permitted (os error 1)",
);

/// `Monitor::load`.
pub(crate) const NO_PROGRAM: Answer = (
    2,
    "load a program: Operation not permitted (os error 1): loading eBPF programs needs CAP_BPF, CAP_PERFMON and \
     CAP_NET_ADMIN (or CAP_SYS_ADMIN) in the initial user namespace; run as root",
);
pub(crate) const NO_PROGRAM_WITHOUT_PERFMON: Answer = (
    2,
    "load the program port_ingress: Permission denied (os error 13): loading eBPF programs needs CAP_BPF, CAP_PERFMON and \
     CAP_NET_ADMIN (or CAP_SYS_ADMIN) in the initial user namespace; run as root",
);
pub(crate) const COUNTED_WITHOUT_PERFMON: Answer = (
    0,
    "the kernel's port statistics in place of the program's counters: load the program port_ingress: Permission denied \
     (os error 13): loading eBPF programs needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (or CAP_SYS_ADMIN) in the initial \
     user namespace; run as root",
);
