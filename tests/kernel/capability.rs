//! What is missing is named, and what may not be done is refused and changes nothing.

use crate::name;
use netns_core::bridge::{self, Bridge};
use netns_core::ping::{Ping, ping};
use netns_core::{MacAddress, Namespace, RouteSocket, is_privileged, link, missing_capabilities};
use tests::{in_host, without_capabilities};

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
            let denied = "Operation not permitted (os error 1)";
            let error = Namespace::anonymous().unwrap_err();
            assert_eq!(error.to_string(), format!("create namespace: unshare: {denied}"));
            let error = Namespace::open("ns1").unwrap().enter(|| ()).unwrap_err();
            assert_eq!(error.to_string(), format!("enter namespace: setns: {denied}"));
            let error = Namespace::create("ns2").unwrap_err();
            assert_eq!(error.to_string(), format!("create namespace ns2: mount: {denied}"));
            let mut socket = RouteSocket::open().unwrap();
            let error =
                bridge::create(&mut socket, &Bridge::new(name("br0"), MacAddress::local(1))).unwrap_err();
            assert_eq!(error.to_string(), format!("create bridge br0: {denied}"));
            assert_eq!(error.errno(), Some(libc::EPERM));
            // To look is permitted.
            assert_eq!(link::list(&mut socket).unwrap().len(), 1);
            let error = ping(host.namespace(), &Ping::new("127.0.0.1".parse().unwrap())).unwrap_err();
            assert_eq!(error.errno(), Some(libc::EPERM));
            let here = Namespace::current().unwrap().id().unwrap();
            assert_eq!(here, host.namespace().id().unwrap());
        });
        assert_eq!(Namespace::list().unwrap(), ["ns1"]);
        Namespace::delete("ns1").unwrap();
        host.assert_clean();
    });
}
