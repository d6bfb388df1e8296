//! Networks in processes that have changed: forks, and those that have entered a user namespace or cannot go back.

use crate::{name, net};
use netns_core::network::{Network, NetworkOptions, Sandbox};
use netns_core::{Error, Namespace, become_root_of_user_namespace};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use tests::{
    become_effective_user, become_user, drop_capabilities, in_fork, in_host, ip, require_privilege,
    unshare_user,
};

/// Which of the tests below [`child`] is the child of.
const CHILD: &str = "NETWORK_PROCESS";

fn options() -> NetworkOptions {
    NetworkOptions { subnet_v4: Some(net("10.99.0.0/24")), ..NetworkOptions::new(name("sb")) }
}

#[test]
fn a_fork_has_nothing_of_its_parents_network() {
    in_host(|host| {
        let network = Network::create(&options()).unwrap();
        let mut handles = Some((
            network.create_named_sandbox("box").unwrap(),
            network.create_sandbox().unwrap(),
            network.clone(),
            network,
        ));
        let links = ip("-o link show");
        let outcome = in_fork(|| {
            let (_, anonymous, network, _) = handles.as_ref().unwrap();
            let error = network.create_sandbox().unwrap_err();
            let reported = error.to_string();
            let expected =
                "create sandbox sb: the network belongs to the process that this one was forked from";
            if reported != expected {
                return Err(reported);
            }
            for error in [
                network.create_named_sandbox("fork").unwrap_err(),
                network.reclaiming().unwrap_err(),
                network.wait_reclaimed(Duration::MAX).unwrap_err(),
                network.delete([]).unwrap_err(),
            ] {
                if !error
                    .to_string()
                    .ends_with("the network belongs to the process that this one was forked from")
                {
                    return Err(error.to_string());
                }
            }
            // What needs only the sandbox's own descriptors works.
            let inside = anonymous.enter(|| Namespace::current().unwrap().id().unwrap()).unwrap();
            if inside == host.namespace().id().unwrap() {
                return Err("a sandbox cannot be entered".to_owned());
            }
            // Here, in the fork.
            handles = None;
            Ok(())
        });
        assert_eq!(outcome, Ok(()));
        assert_eq!(ip("-o link show"), links);
        assert_eq!(Namespace::list().unwrap(), ["box"]);
        let (named, anonymous, network, _) = handles.as_ref().unwrap();
        assert_eq!((named.number(), anonymous.number(), network.sandboxes()), (0, 1, 2));
        network.create_sandbox().unwrap();
        drop(handles);
        tests::eventually("all links go", || ip("-o link show").lines().count() == 1);
        host.assert_clean();
    });
}

/// The error of a thread that could not come back.
const NO_WAY_BACK: &str = "enter namespace: setns to the present one: Operation not permitted (os error 1)";

/// What a network returns to a process that has entered a user namespace, if `make` made the first sandbox. Runs in a
/// fork, which has one thread, as the kernel demands of a process that enters a user namespace.
fn sandbox_in_user_namespace(
    enter: impl FnOnce(),
    make: impl FnOnce(&Network) -> Sandbox,
    expected: &str,
) -> Result<(), String> {
    in_fork(|| {
        let network = Network::create(&options()).unwrap();
        let one = make(&network);
        enter();
        let here = Namespace::current().unwrap().id().unwrap();
        let anonymous = network.create_sandbox().map(|_| ()).unwrap_err();
        let named = network.create_named_sandbox("box").map(|_| ()).unwrap_err();
        let after = Namespace::current().unwrap().id().unwrap();
        drop(one);
        let is_refused = |error: &Error| error.errno() == Some(libc::EPERM);
        // There, not even names are prepared.
        if !anonymous.to_string().starts_with(expected) || ![&anonymous, &named].into_iter().all(is_refused) {
            return Err(format!("{anonymous}\n{named}"));
        }
        if here == after { Ok(()) } else { Err("it is elsewhere".to_owned()) }
    })
}

/// Not before the kernel has noticed the other thread's end.
fn enter_user_namespace() {
    tests::eventually("one thread is left", || unshare_user().is_ok());
}

#[test]
fn a_thread_that_could_not_come_back_does_not_leave() {
    in_host(|_| {
        let make = |network: &Network| network.create_sandbox().unwrap();
        let outcome = sandbox_in_user_namespace(enter_user_namespace, make, NO_WAY_BACK);
        assert_eq!(outcome, Ok(()));
    });
}

#[test]
fn nor_does_it_if_another_thread_made_the_first_sandbox() {
    in_host(|_| {
        let make = |network: &Network| {
            thread::scope(|scope| scope.spawn(|| network.create_sandbox().unwrap()).join().unwrap())
        };
        let outcome = sandbox_in_user_namespace(enter_user_namespace, make, NO_WAY_BACK);
        assert_eq!(outcome, Ok(()));
    });
}

#[test]
fn nor_does_it_as_root_of_a_user_namespace() {
    in_host(|_| {
        let enter = || become_root_of_user_namespace().unwrap();
        let make = |network: &Network| network.create_sandbox().unwrap();
        // It is in another network, which it may come back to, but it may not change the network's own. Linux 6.12 lets
        // it make the veth pair and refuses the change of the port; 6.18 refuses the pair.
        let outcome = sandbox_in_user_namespace(enter, make, "");
        assert_eq!(outcome, Ok(()));
    });
}

#[test]
fn the_user_that_becomes_root_is_the_effective_one() {
    in_host(|_| {
        let outcome = in_fork(|| {
            become_effective_user(1, 65_534).unwrap();
            become_root_of_user_namespace().map_err(|error| error.to_string())?;
            let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
            let words: Vec<&str> = map.split_whitespace().collect();
            // As the initial user namespace calls it.
            if words == ["0", "65534", "1"] { Ok(()) } else { Err(map) }
        });
        assert_eq!(outcome, Ok(()));
    });
}

#[test]
fn a_process_that_may_not_map_its_user_stays_where_it_is() {
    in_host(|_| {
        let outcome = in_fork(|| {
            let users = || std::fs::read_link("/proc/thread-self/ns/user").unwrap();
            let here = (users(), Namespace::current().unwrap().id().unwrap());
            // Like a process that has dropped its privileges: its files in /proc are root's.
            become_user(65_534).unwrap();
            let error = become_root_of_user_namespace().unwrap_err().to_string();
            let there = (users(), Namespace::current().unwrap().id().unwrap());
            let expected = "write /proc/self/uid_map: open: Permission denied (os error 13)";
            if error == expected && here == there {
                Ok(())
            } else {
                Err(format!("{error}: {here:?} {there:?}"))
            }
        });
        assert_eq!(outcome, Ok(()));
    });
}

#[test]
fn a_thread_that_cannot_go_back_aborts_even_if_nobody_reads_the_reason() {
    require_privilege();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "network_process::child", "--nocapture"]).env(CHILD, "abort");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // A pipe that nobody reads.
    drop(child.stderr.take());
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGABRT), "{status}");
}

/// The process that the test above runs. Does nothing unless asked to.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    in_host(|_| {
        let inside = Namespace::anonymous().unwrap();
        // By now the pipe is closed.
        std::thread::sleep(Duration::from_millis(200));
        let _ = inside.enter(drop_capabilities);
        // In the wrong namespace.
        std::process::exit(0);
    });
}
