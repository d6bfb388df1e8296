//! Missing capabilities are named, and what is refused changes nothing.

use crate::name;
use netns_core::bridge::{self, Bridge};
use netns_core::ping::{Ping, ping};
use netns_core::{
    MacAddress, Namespace, RouteSocket, is_network_foreign, is_privileged, link, missing_capabilities,
};
use std::env;
use std::io::{Read, Write};
use std::process::Stdio;
use tests::{in_host, oracle, run, skip, without_capabilities};

#[test]
fn missing_capabilities_are_those_of_the_calling_thread() {
    in_host(|_| {
        assert_eq!(missing_capabilities().unwrap(), [""; 0]);
        assert!(is_privileged());
        without_capabilities(|| {
            assert_eq!(missing_capabilities().unwrap(), ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN"]);
            assert!(!is_privileged());
        });
        assert!(is_privileged());
    });
}

#[test]
fn without_privilege_each_operation_says_what_the_kernel_did_not_permit() {
    in_host(|host| {
        Namespace::create("ns1").unwrap();
        without_capabilities(|| {
            let denied = "Operation not permitted (os error 1): this takes";
            let at = "setns to the present one";
            let error = Namespace::anonymous().unwrap_err();
            assert_eq!(error.to_string(), format!("create namespace: {at}: {denied} CAP_SYS_ADMIN"));
            assert_eq!(error.missing_capability(), Some("CAP_SYS_ADMIN"));
            let error = Namespace::open("ns1").unwrap().enter(|| ()).unwrap_err();
            assert_eq!(error.to_string(), format!("enter namespace: {at}: {denied} CAP_SYS_ADMIN"));
            let error = Namespace::create("ns2").unwrap_err();
            assert_eq!(error.to_string(), format!("create namespace: {at}: {denied} CAP_SYS_ADMIN"));
            // Staying is permitted.
            assert_eq!(host.namespace().enter(|| 7).unwrap(), 7);
            let mut socket = RouteSocket::open_in(host.namespace()).unwrap();
            let error =
                bridge::create(&mut socket, &Bridge::new(name("br0"), MacAddress::local(1))).unwrap_err();
            assert_eq!(error.to_string(), format!("create bridge br0: {denied} CAP_NET_ADMIN"));
            assert_eq!(error.errno(), Some(libc::EPERM));
            // Looking is permitted.
            assert_eq!(link::list(&mut socket).unwrap().len(), 1);
            let error = ping(host.namespace(), &Ping::new("127.0.0.1".parse().unwrap())).unwrap_err();
            assert_eq!(error.to_string(), format!("ping 127.0.0.1: socket: {denied} CAP_NET_RAW"));
            let error = link::get(&mut socket, name("none")).unwrap_err();
            assert_eq!(error.missing_capability(), None);
            let here = Namespace::current().unwrap().id().unwrap();
            assert_eq!(here, host.namespace().id().unwrap());
        });
        assert_eq!(Namespace::list().unwrap(), ["ns1"]);
        Namespace::delete("ns1").unwrap();
        host.assert_clean();
    });
}

/// Runs the rest of a test, `body`, in a process that is root of its own user namespace: it has all capabilities, but
/// none over its network namespace.
fn as_root_of_a_user_namespace(test: &str, body: fn()) {
    const INSIDE: &str = "TESTS_IN_USER_NAMESPACE";
    if env::var_os(INSIDE).is_some() {
        return body();
    }
    in_host(|_| {
        let unshare = || {
            let mut unshare = oracle("unshare");
            unshare.args(["--user", "--map-root-user"]);
            unshare
        };
        if !unshare().arg("true").status().unwrap().success() {
            skip("this machine has no user namespaces");
        }
        let mut command = unshare();
        command.arg(env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
        let words = run(&mut command);
        assert!(words.contains("1 passed"), "{words}");
    });
}

#[test]
fn a_namespace_without_a_way_back_is_not_left() {
    as_root_of_a_user_namespace("capability::a_namespace_without_a_way_back_is_not_left", || {
        assert!(!is_privileged());
        let before = Namespace::current().unwrap().id().unwrap();
        let error = Namespace::anonymous().unwrap_err();
        assert_eq!(
            error.to_string(),
            "create namespace: setns to the present one: Operation not permitted (os error 1): this takes CAP_SYS_ADMIN \
             over the network namespace, which belongs to another user namespace (unshare --net makes one that does not)"
        );
        assert_eq!(Namespace::current().unwrap().id().unwrap(), before);
    });
}

#[test]
fn root_of_a_user_namespace_can_do_everything_in_its_own_network_namespace() {
    let test = "capability::root_of_a_user_namespace_can_do_everything_in_its_own_network_namespace";
    as_root_of_a_user_namespace(test, || {
        // All capabilities, and none of them over this network namespace.
        assert_eq!(missing_capabilities().unwrap(), ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN"]);
        assert!(is_network_foreign().unwrap() && !is_privileged());
        tests::unshare_network().unwrap();
        assert_eq!(missing_capabilities().unwrap(), [""; 0]);
        assert!(!is_network_foreign().unwrap() && is_privileged());
        let inside = Namespace::anonymous().unwrap();
        let mut socket = RouteSocket::open_in(&inside).unwrap();
        bridge::create(&mut socket, &Bridge::new(name("br0"), MacAddress::local(1))).unwrap();
        link::set_up(&mut socket, 1).unwrap();
        assert!(ping(&inside, &Ping::new("127.0.0.1".parse().unwrap())).unwrap().all_received());
        assert_eq!(link::list(&mut socket).unwrap().len(), 2);
    });
}

#[test]
fn capabilities_extend_to_network_namespaces_of_descendants() {
    in_host(|_| {
        let mut command = oracle("unshare");
        command.args(["--user", "--map-root-user", "--net", "cat"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // What comes back has been through `cat`, which is in its namespaces by then.
        let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        if to.write_all(b"x").is_err() || from.read_exact(&mut [0]).is_err() {
            skip("this machine has no user namespaces");
        }
        let theirs = Namespace::of_pid(child.id()).unwrap();
        assert_eq!(theirs.enter(|| missing_capabilities().unwrap()).unwrap(), [""; 0]);
        // Both kinds of capabilities are needed: the owner's alone do not make namespaces here.
        without_capabilities(|| assert_eq!(missing_capabilities().unwrap().len(), 3));
        drop(to);
        assert!(child.wait().unwrap().success());
    });
}
