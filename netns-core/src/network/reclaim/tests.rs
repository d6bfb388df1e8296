use super::{Heard, Reclaim, WINDOW};
use crate::network::{Network, NetworkOptions};
use crate::sys::socket;
use crate::veth::{self, Veth};
use crate::{IfName, Namespace, RouteSocket, link};
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

/// Runs a test in a namespace of its own, if the process may make one.
fn in_host(test: &str, body: impl FnOnce()) {
    if let Some(missing) = crate::missing_capabilities().unwrap().first() {
        assert!(std::env::var_os("CI").is_none(), "not to be skipped on CI: {missing} missing");
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {missing} missing");
        return;
    }
    Namespace::anonymous().unwrap().enter(body).unwrap();
}

/// Leaves room for one notice or two: less, the kernel does not give.
fn shrink(reclaim: &Reclaim) {
    socket::set_option(reclaim.socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, &0_i32).unwrap();
}

fn heard(reclaim: &Reclaim) -> Vec<Heard> {
    let mut all = Vec::new();
    while reclaim.read(|heard| all.push(heard)).unwrap() {}
    all
}

#[test]
fn the_end_of_a_port_of_the_window_is_heard_and_no_other() {
    in_host("the_end_of_a_port_of_the_window_is_heard_and_no_other", || {
        let reclaim = Reclaim::open(7 * WINDOW).unwrap();
        let mut socket = RouteSocket::open().unwrap();
        let name = |name| IfName::new(name).unwrap();
        for index in [7 * WINDOW, 7 * WINDOW + 0xffff, 8 * WINDOW, 6 * WINDOW + 0xffff] {
            let pair = Veth { index: Some(index), peer_index: Some(9), ..Veth::new(name("a"), name("b")) };
            veth::create(&mut socket, &pair).unwrap();
            link::delete(&mut socket, index).unwrap();
        }
        assert_eq!(
            heard(&reclaim),
            [Heard::Gone(7 * WINDOW, name("a")), Heard::Gone(7 * WINDOW + 0xffff, name("a"))]
        );
    });
}

#[test]
fn lost_notices_are_noticed() {
    in_host("lost_notices_are_noticed", || {
        let reclaim = Reclaim::open(7 * WINDOW).unwrap();
        shrink(&reclaim);
        let mut socket = RouteSocket::open().unwrap();
        for index in 7 * WINDOW..7 * WINDOW + 20 {
            let [a, b] = ["a", "b"].map(|name| IfName::new(name).unwrap());
            let pair = Veth { index: Some(index), peer_index: Some(9), ..Veth::new(a, b) };
            veth::create(&mut socket, &pair).unwrap();
            link::delete(&mut socket, index).unwrap();
        }
        let heard = heard(&reclaim);
        assert!(heard.contains(&Heard::Lost) && heard.len() < 20, "{heard:?}");
    });
}

#[test]
fn a_network_looks_for_itself_when_notices_were_lost() {
    in_host("a_network_looks_for_itself_when_notices_were_lost", || {
        let options = NetworkOptions {
            subnet_v4: Some("10.99.0.0/24".parse().unwrap()),
            per_bridge: 20,
            ..NetworkOptions::new(IfName::new("sb").unwrap())
        };
        let network = Network::create(&options).unwrap();
        let sandboxes: Vec<_> = (0..40).map(|_| network.create_sandbox().unwrap()).collect();
        for number in [0, 20] {
            shrink(&network.shared.place(number).unwrap().reclaim);
        }
        let places = [&sandboxes[0], &sandboxes[20]]
            .map(|sandbox| RouteSocket::open_in(sandbox.port_namespace().unwrap()).unwrap());
        drop(sandboxes);
        // Nobody reads until all have gone.
        for mut place in places {
            while link::list(&mut place).unwrap().iter().any(|link| link.name.as_str().starts_with("sbp")) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        assert_eq!((network.reclaiming().unwrap(), network.sandboxes()), (0, 0));
        assert!(network.create_sandbox().unwrap().number() < 40);
    });
}
