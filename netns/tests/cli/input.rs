//! Bad input: one clear line, exit code 1, and nothing made.

use crate::{done, state_of_the_host, xtask};
use tests::{in_host, ip, without_capabilities};

/// Runs it in this host and compares its message.
fn refused(arguments: &str, message: &str) {
    let before = state_of_the_host();
    let run = done(&mut xtask(arguments));
    assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "{arguments}: {}", run.err);
    assert_eq!(run.err.lines().next(), Some(format!("error: {message}").as_str()), "{arguments}");
    assert_eq!(state_of_the_host(), before, "{arguments}");
}

#[test]
fn contradictory_arguments_are_refused() {
    in_host(|_| {
        refused(
            "run --namespaces 6 --subnet 10.9.0.0/29",
            "--subnet 10.9.0.0/29: its 6 addresses are too few for 6 namespaces and the host",
        );
        refused(
            "run --topology pair --namespaces 3",
            "--topology pair has two namespaces, no more and no fewer",
        );
        refused(
            "run --bridge a-name-that-is-too-long",
            "invalid value 'a-name-that-is-too-long' for '--bridge <BRIDGE>': use interface name \
             \"a-name-that-is-too-long\": the name is longer than 15 bytes",
        );
        refused("run --isolated --keep", "the argument '--isolated' cannot be used with '--keep'");
        refused("run --interval 0", "invalid value '0' for '--interval <SECONDS>': less than 0.01 seconds");
        refused(
            "run --duration -1",
            "invalid value '-1' for '--duration <SECONDS>': not a number of seconds",
        );
        refused(
            "observe br0 --interval -1",
            "invalid value '-1' for '--interval <SECONDS>': not a number of seconds",
        );
        refused("frobnicate", "unrecognized subcommand 'frobnicate'");
    });
}

#[test]
fn a_subnet_that_overlaps_one_of_the_hosts() {
    in_host(|_| {
        ip("link add uplink type bridge");
        ip("addr add 10.1.0.5/16 dev uplink");
        refused(
            "run",
            "10.1.1.0/24 overlaps the host's address 10.1.0.5/16; choose another with --subnet, or use --isolated",
        );
        ip("link set uplink up");
        refused(
            "run",
            "10.1.1.0/24 overlaps the host's route 10.1.0.0/16; choose another with --subnet, or use --isolated",
        );
        assert_eq!(done(&mut xtask("run --duration 1 --subnet 10.3.0.0/24 --json")).code, Some(0));
    });
}

#[test]
fn taken_names_are_refused() {
    in_host(|_| {
        ip("link add br0 type bridge");
        refused(
            "run",
            "there is a link br0 already; if an earlier run left it: `netns clean`; or choose another with \
             --bridge, or use --isolated",
        );
        ip("link add veth-ns2 type bridge");
        refused(
            "run --bridge br1",
            "there is a link veth-ns2 already; if an earlier run left it: `netns clean`; or choose another with \
             --bridge, or use --isolated",
        );
        ip("netns add ns1");
        refused(
            "run --bridge br1",
            "there is a namespace ns1 already; if an earlier run left it: `netns clean`; or use --isolated",
        );
        assert_eq!(done(&mut xtask("run --isolated --duration 1 --json")).code, Some(0));
    });
}

#[test]
fn without_privilege_the_capabilities_and_the_command_are_named() {
    in_host(|_| {
        // What a user namespace does not help with either.
        let run = without_capabilities(|| done(&mut xtask("run --keep")));
        assert_eq!((run.code, run.out.as_str()), (Some(1), ""));
        assert_eq!(
            run.err,
            "error: --keep takes CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN, which root does not have here (in a \
             container: --cap-add=NET_ADMIN --cap-add=NET_RAW --cap-add=SYS_ADMIN, or --privileged)\n"
        );
    });
}
