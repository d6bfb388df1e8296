//! Networks at limits of the kernel's. Each is reached in a process of its own, for which the limit is set.

use crate::{name, net};
use netns_core::network::{Network, NetworkOptions, Sandbox};
use netns_core::{Cause, Error, Namespace, link};
use std::collections::HashSet;
use std::process::Command;
use std::time::Duration;
use std::{env, fs};
use tests::{in_host, oracle, run};

/// Which limit [`child`] tries.
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

#[test]
fn no_more_namespaces_for_a_further_bridge() {
    in_child("bridge namespaces", oracle("unshare").args(["--user", "--map-root-user", "--net"]));
}

#[test]
fn no_more_descriptors_for_a_further_bridge() {
    in_child("bridge descriptors", oracle("prlimit").arg("--nofile=64"));
}

/// strace drops the answer to each request in turn: what the request made is removed.
#[test]
fn lost_answers() {
    in_host(|_| {
        // The first answer is to the harness.
        for number in 2..=12 {
            in_child(
                "answers",
                oracle("strace")
                    .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=recvmsg", "-e"])
                    .arg(format!("inject=recvmsg:error=ENOBUFS:when={number}")),
            );
        }
    });
}

/// Makes sandboxes, four a bridge, until it fails; this must happen `times` times in the same way and leave nothing.
fn fill(network: &Network, times: usize, is_it: impl Fn(&Error) -> bool) -> Vec<Sandbox> {
    let mut sandboxes = Vec::new();
    let mut refused = 0;
    while refused < times {
        match network.create_sandbox() {
            Ok(sandbox) => {
                assert_eq!(refused, 0, "it was refused, and then not");
                sandboxes.push(sandbox);
            }
            Err(error) => {
                assert!(is_it(&error), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!(network.sandboxes() as usize, sandboxes.len());
    sandboxes
}

/// The process that the tests above run. Does nothing unless asked to.
#[test]
fn child() {
    match env::var(LIMIT).as_deref() {
        Ok("namespaces") => in_host(|host| {
            // The limit of this user namespace alone.
            fs::write("/proc/sys/user/max_net_namespaces", "10").unwrap();
            let network = Network::create(&options()).unwrap();
            let mut sandboxes = Vec::new();
            // At once, although it may wait: there is nothing to wait for.
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
            // It waits: the kernel releases a namespace some time after its port.
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
                let words = error.to_string();
                assert!(words.starts_with("open route socket of sbp"), "{words}");
                assert!(words.ends_with(": socket: Too many open files (os error 24)"), "{words}");
                assert!((10..40).contains(&sandboxes.len()), "{}", sandboxes.len());
                assert_eq!(network.sandboxes() as usize, sandboxes.len());
                drop(sandboxes);
                network.wait_reclaimed(LONG).unwrap();
                assert_eq!(link::list_ports(&mut host.socket(), network.bridge()).unwrap().len(), 1);
                assert_eq!(Namespace::current().unwrap().id().unwrap(), host.namespace().id().unwrap());
            }
        }),
        Ok("answers") => in_host(|_| {
            let made = Network::create(&options()).and_then(|network| network.create_sandbox());
            if let Err(error) = made {
                assert_eq!(error.errno(), Some(libc::ENOBUFS), "{error}");
            }
            // Not by a socket, whose answer could be lost; `lo` and two heading lines.
            let links = || fs::read_to_string("/proc/thread-self/net/dev").unwrap();
            tests::eventually("all links go", || links().lines().count() == 3);
        }),
        Ok("bridge namespaces") => in_host(|_| {
            let network = Network::create(&NetworkOptions { per_bridge: 4, ..options() }).unwrap();
            for limit in 3..12 {
                fs::write("/proc/sys/user/max_net_namespaces", limit.to_string()).unwrap();
                let sandboxes = fill(&network, 3, |error| {
                    error.to_string()
                        == "create namespace: the kernel allows no more network namespaces (user.max_net_namespaces)"
                });
                // Numbers and slots are all there again.
                assert_eq!(network.reclaiming().unwrap(), 0, "limit {limit}");
                let numbers: HashSet<u32> = sandboxes.iter().map(Sandbox::number).collect();
                assert!(numbers.iter().all(|&number| (number as usize) < limit), "{numbers:?}");
                drop(sandboxes);
                network.wait_reclaimed(LONG).unwrap();
            }
            // It waits for the namespaces of dropped sandboxes, even if a bridge needs one.
            fs::write("/proc/sys/user/max_net_namespaces", "9").unwrap();
            for _ in 0..3 {
                let sandboxes: Vec<_> = (0..5).map(|_| network.create_sandbox().unwrap()).collect();
                drop(sandboxes);
            }
        }),
        Ok("bridge descriptors") => in_host(|host| {
            let network = Network::create(&NetworkOptions { per_bridge: 4, ..options() }).unwrap();
            for _ in 0..3 {
                let sandboxes = fill(&network, 4, |error| error.errno() == Some(libc::EMFILE));
                assert_eq!(network.reclaiming().unwrap(), 0);
                drop(sandboxes);
                network.wait_reclaimed(LONG).unwrap();
                assert_eq!(Namespace::current().unwrap().id().unwrap(), host.namespace().id().unwrap());
            }
        }),
        _ => {}
    }
}
