//! Networks at the limits that the kernel sets. Each is reached in a process of its own, which the limit is set for.

use crate::{name, net};
use netns_core::network::{Network, NetworkOptions};
use netns_core::{Cause, Namespace, link};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};
use tests::{in_host, oracle, run};

/// Which limit [`child`] is to try.
const LIMIT: &str = "NETWORK_LIMIT";
const LONG: Duration = Duration::from_secs(20);

fn options() -> NetworkOptions {
    NetworkOptions { subnet_v4: Some(net("10.99.0.0/24")), patience: LONG, ..NetworkOptions::new(name("sb")) }
}

/// Runs [`child`] through a program that sets a limit.
fn in_child(limit: &str, wrapper: &mut Command) {
    in_host(|_| {
        let wrapper = wrapper.arg(env::current_exe().unwrap());
        let _ = run(wrapper.args(["--exact", "network_limits::child", "--nocapture"]).env(LIMIT, limit));
    });
}

#[test]
fn no_more_namespaces() {
    in_child("namespaces", oracle("unshare").args(["--user", "--map-root-user", "--net"]));
}

#[test]
fn no_more_descriptors() {
    in_child("descriptors", oracle("prlimit").arg("--nofile=40"));
}

/// What the tests above run. Does nothing unless it is asked to.
#[test]
fn child() {
    match env::var(LIMIT).as_deref() {
        Ok("namespaces") => in_host(|host| {
            // Of this user namespace alone.
            fs::write("/proc/sys/user/max_net_namespaces", "10").unwrap();
            let network = Network::create(&options()).unwrap();
            let mut sandboxes = Vec::new();
            // At once, though it may wait: there is nothing to wait for.
            let error = loop {
                match network.create_sandbox() {
                    Ok(sandbox) => sandboxes.push(sandbox),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error.cause(), Cause::Exhausted(_)));
            assert_eq!(
                error.to_string(),
                "create namespace: the kernel allows no more network namespaces (user.max_net_namespaces)"
            );
            assert!((3..10).contains(&sandboxes.len()), "{}", sandboxes.len());
            assert_eq!(network.sandboxes() as usize, sandboxes.len());
            let ports = link::list_ports(&mut host.socket(), network.bridge()).unwrap();
            assert_eq!(ports.len(), sandboxes.len() + 1, "nothing is left of the one that failed");
            // It waits: the kernel lets a namespace go some time after its port.
            drop(sandboxes);
            for _ in 0..30 {
                network.create_sandbox().unwrap();
            }
        }),
        Ok("descriptors") => in_host(|host| {
            let network = Network::create(&options()).unwrap();
            for _ in 0..2 {
                let mut sandboxes = Vec::new();
                let error = loop {
                    match network.create_sandbox() {
                        Ok(sandbox) => sandboxes.push(sandbox),
                        Err(error) => break error,
                    }
                };
                assert_eq!(error.errno(), Some(libc::EMFILE));
                assert_eq!(error.to_string(), "open route socket: socket: Too many open files (os error 24)");
                assert!((10..40).contains(&sandboxes.len()), "{}", sandboxes.len());
                assert_eq!(network.sandboxes() as usize, sandboxes.len());
                drop(sandboxes);
                network.wait_reclaimed(LONG).unwrap();
                assert_eq!(link::list_ports(&mut host.socket(), network.bridge()).unwrap().len(), 1);
                assert_eq!(Namespace::current().unwrap().id().unwrap(), host.namespace().id().unwrap());
            }
        }),
        _ => {}
    }
}
