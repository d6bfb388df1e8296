//! Waits end in time, no matter which signals arrive, and may be as long as a [`Duration`] can be.

use crate::{name, net};
use netns_core::events::Events;
use netns_core::link::{self, OperationalState};
use netns_core::network::{Network, NetworkOptions};
use netns_core::{Namespace, RouteSocket, Watch};
use netns_ebpf::attack::FrameSocket;
use std::time::{Duration, Instant};
use tests::{in_host, interrupted, ip};

/// How long the waits may take.
const LIMIT: Duration = Duration::from_millis(200);
/// Longer than that takes on a busy machine, and shorter than the interruptions last.
const SOON: Duration = Duration::from_secs(3);
/// How long the interruptions last, at most.
const LONG: Duration = Duration::from_secs(6);

fn options() -> NetworkOptions {
    NetworkOptions { subnet_v4: Some(net("10.99.0.0/24")), ..NetworkOptions::new(name("sb")) }
}

/// Waits while a signal arrives every 10 ms: at least for `limit`, and not for as long as there are signals.
#[track_caller]
fn ends_in_time(wait: impl FnOnce()) {
    let begun = Instant::now();
    interrupted(Duration::from_millis(10), LONG, wait);
    let waited = begun.elapsed();
    assert!((LIMIT..SOON).contains(&waited), "{waited:?}");
}

#[test]
fn signals_do_not_prolong_a_wait_for_events() {
    in_host(|host| {
        let mut events = Events::open_in(host.namespace()).unwrap();
        ends_in_time(|| assert_eq!(events.next(LIMIT).unwrap(), None));
    });
}

#[test]
fn signals_do_not_prolong_a_wait_for_a_link() {
    in_host(|host| {
        ip("link add br0 type bridge");
        let mut socket = RouteSocket::open_in(host.namespace()).unwrap();
        ends_in_time(|| assert!(link::wait_up(&mut socket, name("br0"), LIMIT).is_err()));
    });
}

#[test]
fn signals_do_not_prolong_a_wait_for_a_frame() {
    in_host(|_| {
        ip("link set lo up");
        let socket = FrameSocket::open(1).unwrap();
        ends_in_time(|| assert_eq!(socket.receive(LIMIT).unwrap(), None));
    });
}

#[test]
fn signals_do_not_prolong_a_wait_for_names() {
    in_host(|_| {
        let mut watch = Watch::open().unwrap();
        ends_in_time(|| assert_eq!(watch.next(LIMIT).unwrap(), None));
    });
}

#[test]
fn signals_do_not_prolong_a_wait_for_the_kernel_to_reclaim() {
    in_host(|_| {
        let network = Network::create(&options()).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        let _held = sandbox.namespace().unwrap().try_clone().unwrap();
        drop(sandbox);
        ends_in_time(|| {
            network.wait_reclaimed(LIMIT).unwrap_err();
        });
    });
}

#[test]
fn waits_may_be_of_any_length() {
    in_host(|host| {
        for forever in
            [Duration::MAX, Duration::from_secs(u64::MAX / 2), Duration::from_secs(i64::MAX as u64)]
        {
            let mut events = Events::open_in(host.namespace()).unwrap();
            ip("link add br0 type bridge");
            assert!(events.next(forever).unwrap().is_some());

            // The bridge is up when a port of it is.
            ip("link add v1 type veth peer name v2");
            ip("link set v1 up master br0");
            ip("link set br0 up");
            let mut socket = RouteSocket::open_in(host.namespace()).unwrap();
            let up = std::thread::scope(|scope| {
                let up = scope.spawn(|| link::wait_up(&mut socket, name("br0"), forever));
                ip("link set v2 up");
                up.join().unwrap()
            });
            assert_eq!(up.unwrap().state, OperationalState::Up);
            ip("link delete v1");
            ip("link delete br0");

            let mut watch = Watch::open().unwrap();
            Namespace::create("box").unwrap();
            assert!(watch.next(forever).unwrap().is_some());
            Namespace::delete("box").unwrap();

            let patient = NetworkOptions { patience: forever, maximum: 1, ..options() };
            let network = Network::create(&patient).unwrap();
            // The second one waits until the kernel has reclaimed the first.
            drop(network.create_sandbox().unwrap());
            drop(network.create_sandbox().unwrap());
            network.wait_reclaimed(forever).unwrap();
        }
    });
}

/// The verifier gives up when a signal is pending, and a program takes it longer than the time between two.
#[test]
fn a_program_is_loaded_while_signals_arrive() {
    in_host(|_| {
        let load = || netns_ebpf::Monitor::load(&netns_ebpf::MonitorOptions::default()).map(drop);
        interrupted(Duration::from_millis(1), LONG, load).unwrap();
    });
}
