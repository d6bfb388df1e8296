//! Namespaces: named ones, compared with `ip netns`; anonymous ones; those of a process and of a path; entering;
//! commands.

use netns_core::{NameEvent, Namespace, RouteSocket, Watch, link};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};
use tests::{eventually, in_host, ip, ip_json, oracle, run};

/// The inode of the namespace that `ip netns exec NAME` leads to.
fn inode_by_ip(name: &str) -> u64 {
    let link = ip(&format!("netns exec {name} readlink /proc/self/ns/net"));
    link.trim().trim_start_matches("net:[").trim_end_matches(']').parse().unwrap()
}

#[test]
fn what_we_make_ip_lists_enters_and_deletes() {
    in_host(|host| {
        let made = ["ns1", "a b", "ns-2.x"].map(|name| Namespace::create(name).unwrap());
        let listed: Vec<_> = ip("netns list").lines().map(str::to_owned).collect();
        for name in ["ns1", "a b", "ns-2.x"] {
            assert!(listed.iter().any(|line| line == name), "{name:?} not in {listed:?}");
        }
        assert_eq!(inode_by_ip("ns1"), made[0].id().unwrap().inode);
        assert_eq!(inode_by_ip("ns-2.x"), made[2].id().unwrap().inode);
        ip("netns delete ns1");
        ip("netns delete ns-2.x");
        assert_eq!(Namespace::list().unwrap(), ["a b"]);
        Namespace::delete("a b").unwrap();
        host.assert_clean();
    });
}

#[test]
fn what_ip_makes_we_list_open_and_delete() {
    in_host(|host| {
        ip("netns add ns1");
        ip("netns add ns2");
        assert_eq!(Namespace::list().unwrap(), ["ns1", "ns2"]);
        let opened = Namespace::open("ns2").unwrap();
        assert_eq!(opened.id().unwrap().inode, inode_by_ip("ns2"));
        Namespace::delete("ns2").unwrap();
        assert_eq!(ip("netns list"), "ns1\n");
        Namespace::delete("ns1").unwrap();
        host.assert_clean();
    });
}

#[test]
fn a_name_that_is_taken_is_refused_and_stays() {
    in_host(|_| {
        ip("netns add ns1");
        let before = inode_by_ip("ns1");
        let error = Namespace::create("ns1").unwrap_err();
        assert_eq!(error.to_string(), "create namespace ns1: open: File exists (os error 17)");
        assert_eq!(error.errno(), Some(libc::EEXIST));
        assert_eq!(inode_by_ip("ns1"), before);
    });
}

#[test]
fn an_invalid_name_is_refused_before_anything_is_made() {
    in_host(|_| {
        for (name, why) in [
            ("", "the name is empty"),
            (".", "the name means a folder"),
            ("..", "the name means a folder"),
            ("a/b", "the name contains '/' or NUL"),
            ("a\0b", "the name contains '/' or NUL"),
            (&"x".repeat(256), "the name is longer than 255 bytes"),
        ] {
            let error = Namespace::create(name).unwrap_err();
            assert_eq!(error.to_string(), format!("create namespace {name:?}: {why}"));
            assert!(error.is_invalid_input());
            assert!(Namespace::delete(name).is_err());
        }
        assert!(!fs::exists("/var/run/netns").unwrap());
        Namespace::create(&"x".repeat(255)).unwrap();
    });
}

#[test]
fn a_missing_name_is_an_error_that_names_it() {
    in_host(|_| {
        let path = "/var/run/netns/none";
        let error = Namespace::open("none").unwrap_err().to_string();
        assert_eq!(error, format!("open namespace {path}: No such file or directory (os error 2)"));
        let error = Namespace::delete("none").unwrap_err().to_string();
        assert_eq!(error, "delete namespace none: unlink: No such file or directory (os error 2)");
        assert_eq!(Namespace::list().unwrap(), [""; 0]);
    });
}

#[test]
fn a_file_that_somebody_left_without_a_namespace_can_be_deleted() {
    in_host(|host| {
        Namespace::create("good").unwrap();
        File::create("/var/run/netns/half").unwrap();
        let error = Namespace::open("half").unwrap_err();
        assert!(error.to_string().ends_with("this is not a network namespace"), "{error}");
        Namespace::delete("half").unwrap();
        Namespace::delete("good").unwrap();
        host.assert_clean();
    });
}

#[test]
fn a_namespace_in_use_can_be_deleted_and_goes_with_its_last_user() {
    in_host(|_| {
        let namespace = Namespace::create("ns1").unwrap();
        ip("link add outside type veth peer name inside netns ns1");
        Namespace::delete("ns1").unwrap();
        assert_eq!(ip("netns list"), "");
        // The handle still leads to it.
        let mut socket = RouteSocket::open_in(&namespace).unwrap();
        assert_eq!(
            link::get(&mut socket, "inside".parse::<netns_core::IfName>().unwrap()).unwrap().flags & 1,
            0
        );
        drop((socket, namespace));
        eventually("the kernel reclaims the namespace and with it the veth", || {
            ip_json("link show").as_array().unwrap().len() == 1
        });
    });
}

#[test]
fn the_calling_thread_stays_where_it_is() {
    in_host(|host| {
        let home = host.namespace().id().unwrap();
        let anonymous = Namespace::anonymous().unwrap();
        assert_ne!(anonymous.id().unwrap(), home);
        assert_eq!(Namespace::current().unwrap().id().unwrap(), home);
        let named = Namespace::create("ns1").unwrap();
        assert_eq!(Namespace::current().unwrap().id().unwrap(), home);
        Namespace::create("ns1").unwrap_err();
        assert_eq!(Namespace::current().unwrap().id().unwrap(), home);
        assert_ne!(named.id().unwrap(), anonymous.id().unwrap());
    });
}

#[test]
fn entering_brings_the_thread_back_after_return_error_panic_and_nesting() {
    in_host(|host| {
        let here = || Namespace::current().unwrap().id().unwrap();
        let home = host.namespace().id().unwrap();
        let (outer, inner) = (Namespace::anonymous().unwrap(), Namespace::anonymous().unwrap());

        assert_eq!(outer.enter(here).unwrap(), outer.id().unwrap());
        assert_eq!(here(), home);

        outer.enter(|| File::open("/no/such/file")).unwrap().unwrap_err();
        assert_eq!(here(), home);

        catch_unwind(AssertUnwindSafe(|| outer.enter(|| std::panic::resume_unwind(Box::new(())))))
            .unwrap_err();
        assert_eq!(here(), home);

        let seen = outer.enter(|| {
            let first = here();
            let second = inner.enter(here).unwrap();
            let caught =
                catch_unwind(AssertUnwindSafe(|| inner.enter(|| std::panic::resume_unwind(Box::new(())))));
            assert!(caught.is_err());
            (first, second, here())
        });
        let (outer, inner) = (outer.id().unwrap(), inner.id().unwrap());
        assert_eq!(seen.unwrap(), (outer, inner, outer));
        assert_eq!(here(), home);
    });
}

#[test]
fn entering_moves_no_other_thread() {
    in_host(|host| {
        let inside = Namespace::anonymous().unwrap();
        let other = inside.enter(|| {
            // A thread made inside is inside; one made before is not moved.
            thread::scope(|scope| scope.spawn(|| Namespace::current().unwrap().id().unwrap()).join().unwrap())
        });
        assert_eq!(other.unwrap(), inside.id().unwrap());
        thread::scope(|scope| {
            let (to, from) = std::sync::mpsc::channel::<()>();
            let watcher = scope.spawn(move || {
                from.recv().unwrap();
                Namespace::current().unwrap().id().unwrap()
            });
            let seen = inside.enter(|| {
                to.send(()).unwrap();
                watcher.join().unwrap()
            });
            assert_eq!(seen.unwrap(), host.namespace().id().unwrap());
        });
    });
}

#[test]
fn a_command_sees_only_the_inside_and_its_exit_status_comes_back() {
    in_host(|host| {
        ip("link add outside type bridge");
        let inside = Namespace::create("ns1").unwrap();
        ip("-n ns1 link add inside type bridge");
        let child = inside.spawn(oracle("ip").args(["-br", "link"]).stdout(Stdio::piped())).unwrap();
        let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let names: Vec<_> = output.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names, ["lo", "inside"]);

        let status = inside.run(Command::new("sh").args(["-c", "exit 7"])).unwrap();
        assert_eq!(status.code(), Some(7));
        let status = inside.run(Command::new("sh").args(["-c", "kill -9 $$"])).unwrap();
        assert_eq!(status.signal(), Some(9));
        assert_eq!(Namespace::current().unwrap().id().unwrap(), host.namespace().id().unwrap());
    });
}

#[test]
fn a_command_that_does_not_exist_is_an_error_that_names_it() {
    in_host(|_| {
        let inside = Namespace::anonymous().unwrap();
        let error = inside.run(&mut Command::new("/no/such/command")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "run command /no/such/command: exec: No such file or directory (os error 2)"
        );
    });
}

#[test]
fn the_namespace_of_a_process_or_a_path_is_found() {
    in_host(|_| {
        let inside = Namespace::create("ns1").unwrap();
        let mut child = inside.spawn(Command::new("sleep").arg("60")).unwrap();
        let of_pid = Namespace::of_pid(child.id()).unwrap().id().unwrap();
        let of_path = Namespace::of_path(format!("/proc/{}/ns/net", child.id())).unwrap().id().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let by_name = Namespace::of_path(Namespace::path("ns1").unwrap()).unwrap().id().unwrap();
        assert_eq!([of_pid, of_path, by_name], [inside.id().unwrap(); 3]);
        assert_eq!(Namespace::of_pid(child.id()).unwrap_err().errno(), Some(libc::ENOENT));
    });
}

#[test]
fn only_network_namespaces_are_accepted() {
    in_host(|host| {
        for path in ["/dev/null", "/", "/proc/self/ns/mnt"] {
            let error = Namespace::of_path(path).unwrap_err();
            assert_eq!(error.to_string(), format!("open namespace {path}: this is not a network namespace"));
            let fd = OwnedFd::from(File::open(path).unwrap());
            assert!(Namespace::try_from(fd).unwrap_err().is_invalid_input());
        }
        let fd = OwnedFd::from(File::open("/proc/thread-self/ns/net").unwrap());
        assert_eq!(Namespace::try_from(fd).unwrap().id().unwrap(), host.namespace().id().unwrap());
    });
}

#[test]
fn a_clone_and_the_socket_of_a_namespace_lead_to_the_same_one() {
    in_host(|_| {
        let inside = Namespace::anonymous().unwrap();
        let clone = inside.try_clone().unwrap();
        let of_socket = RouteSocket::open_in(&inside).unwrap().namespace().unwrap();
        assert_eq!([clone.id().unwrap(), of_socket.id().unwrap()], [inside.id().unwrap(); 2]);
    });
}

#[test]
fn names_are_watched_no_matter_who_makes_and_removes_them() {
    in_host(|_| {
        let mut watch = Watch::open().unwrap();
        let none = watch.next(Duration::from_millis(10)).unwrap();
        assert_eq!(none, None);
        ip("netns add theirs");
        Namespace::create("ours").unwrap();
        Namespace::delete("theirs").unwrap();
        ip("netns delete ours");
        let mut seen = Vec::new();
        while let Some(event) = watch.next(Duration::from_millis(100)).unwrap() {
            seen.push(event);
        }
        assert_eq!(
            seen,
            [
                NameEvent::Added("theirs".to_owned()),
                NameEvent::Added("ours".to_owned()),
                NameEvent::Deleted("theirs".to_owned()),
                NameEvent::Deleted("ours".to_owned()),
            ]
        );
    });
}

#[test]
fn a_folder_that_was_removed_is_watched_again() {
    const SOON: Duration = Duration::from_secs(5);
    in_host(|_| {
        let mut watch = Watch::open().unwrap();
        fs::remove_dir("/var/run/netns").unwrap();
        assert_eq!(watch.next(SOON).unwrap(), Some(NameEvent::Lost));
        ip("netns add theirs");
        assert_eq!(watch.next(SOON).unwrap(), Some(NameEvent::Added("theirs".to_owned())));
    });
}

#[test]
fn an_anonymous_namespace_has_no_name_and_goes_with_its_handle() {
    in_host(|host| {
        let inside = Namespace::anonymous().unwrap();
        assert!(!fs::exists("/var/run/netns").unwrap());
        let path = format!("/proc/{}/fd/{}", std::process::id(), inside.as_fd().as_raw_fd());
        ip(&format!("link add outside type veth peer name inside netns {path}"));
        assert_eq!(ip_json("link show outside")[0]["ifname"], "outside");
        drop(inside);
        eventually("the kernel reclaims it", || ip_json("link show").as_array().unwrap().len() == 1);
        let _ = run(oracle("ip").args(["netns", "list"]));
        host.assert_clean();
    });
}
