//! The folder of named namespaces: made once, by the first user, and put back as it was.

use netns_core::{Folder, Namespace};
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::process::Child;
use std::sync::Barrier;
use std::thread;
use tests::{eventually, in_host, ip, oracle, run};

const FOLDER: &str = "/run/netns";

/// The lines of `mountinfo` whose mount point is the folder itself.
fn folder_mounts() -> Vec<String> {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    mounts.lines().filter(|line| line.split(' ').nth(4) == Some(FOLDER)).map(str::to_owned).collect()
}

fn mounts() -> String {
    fs::read_to_string("/proc/thread-self/mountinfo").unwrap()
}

#[test]
fn many_threads_at_once_make_one_shared_mount() {
    const THREADS: usize = 8;
    in_host(|_| {
        let before = Folder::observe().unwrap();
        for round in 0..10 {
            assert!(!fs::exists(FOLDER).unwrap(), "round {round} does not begin without the folder");
            let barrier = Barrier::new(THREADS);
            thread::scope(|scope| {
                for number in 0..THREADS {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        Namespace::create(&format!("ns{number}")).unwrap();
                    });
                }
            });
            let mounted = folder_mounts();
            assert_eq!(mounted.len(), 1, "{mounted:#?}");
            assert!(mounted[0].contains(" shared:"), "{mounted:?}");
            assert_eq!(ip("netns list").lines().count(), THREADS);
            for number in 0..THREADS {
                Namespace::open(&format!("ns{number}")).unwrap();
                Namespace::delete(&format!("ns{number}")).unwrap();
            }
            before.restore().unwrap();
        }
    });
}

#[test]
fn our_threads_and_ip_processes_at_once_make_one_mount() {
    const EACH: usize = 4;
    in_host(|_| {
        let barrier = Barrier::new(2 * EACH);
        thread::scope(|scope| {
            for number in 0..EACH {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    Namespace::create(&format!("ours{number}")).unwrap();
                });
                scope.spawn(move || {
                    let mut command = oracle("ip");
                    command.args(["netns", "add", &format!("theirs{number}")]);
                    barrier.wait();
                    let mut child: Child = command.spawn().unwrap();
                    assert!(child.wait().unwrap().success());
                });
            }
        });
        assert_eq!(folder_mounts().len(), 1, "{:#?}", folder_mounts());
        assert_eq!(Namespace::list().unwrap().len(), 2 * EACH);
        assert_eq!(ip("netns list").lines().count(), 2 * EACH);
    });
}

#[test]
fn one_of_many_threads_with_the_same_name_gets_it() {
    const THREADS: usize = 8;
    in_host(|_| {
        let made = thread::scope(|scope| {
            let threads = [(); THREADS].map(|()| scope.spawn(|| Namespace::create("ns1").is_ok()));
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|made| *made).count()
        });
        assert_eq!(made, 1);
        Namespace::open("ns1").unwrap();
        assert_eq!(ip("netns list"), "ns1\n");
    });
}

#[test]
fn a_folder_that_was_not_there_is_gone_afterwards() {
    in_host(|_| {
        let before = mounts();
        let found = Folder::observe().unwrap();
        assert!(!found.existed && !found.mounted);
        Namespace::create("ns1").unwrap();
        assert_ne!(mounts(), before);
        Namespace::delete("ns1").unwrap();
        found.restore().unwrap();
        assert_eq!(mounts(), before);
        assert!(!fs::exists(FOLDER).unwrap());
        // And once more with nothing to do.
        found.restore().unwrap();
        assert_eq!(mounts(), before);
    });
}

#[test]
fn a_folder_that_was_not_mounted_is_not_mounted_afterwards() {
    in_host(|_| {
        fs::create_dir(FOLDER).unwrap();
        let before = mounts();
        let found = Folder::observe().unwrap();
        assert!(found.existed && !found.mounted);
        Namespace::create("ns1").unwrap();
        Namespace::delete("ns1").unwrap();
        found.restore().unwrap();
        assert_eq!(mounts(), before);
        assert!(fs::exists(FOLDER).unwrap());
    });
}

#[test]
fn a_folder_that_ip_had_mounted_stays_mounted() {
    in_host(|_| {
        ip("netns add theirs");
        ip("netns delete theirs");
        let before = mounts();
        let found = Folder::observe().unwrap();
        assert!(found.existed && found.mounted);
        Namespace::create("ns1").unwrap();
        Namespace::delete("ns1").unwrap();
        found.restore().unwrap();
        assert_eq!(mounts(), before);
    });
}

#[test]
fn a_folder_whose_mount_is_covered_by_another_is_not_mounted() {
    in_host(|_| {
        ip("netns add theirs");
        // A container, or a test like this one, has a /run of its own over the machine's.
        let _ = run(oracle("mount").args(["-t", "tmpfs", "tests", "/run"]));
        fs::create_dir(FOLDER).unwrap();
        let before = mounts();
        let found = Folder::observe().unwrap();
        assert!(found.existed && !found.mounted, "{found:?} of {before}");
        Namespace::create("ns1").unwrap();
        assert!(Folder::observe().unwrap().mounted);
        Namespace::delete("ns1").unwrap();
        found.restore().unwrap();
        assert_eq!(mounts(), before);
    });
}

#[test]
fn a_folder_with_somebody_elses_name_in_it_is_left_alone() {
    in_host(|_| {
        let found = Folder::observe().unwrap();
        Namespace::create("ours").unwrap();
        ip("netns add theirs");
        Namespace::delete("ours").unwrap();
        let before = mounts();
        found.restore().unwrap();
        assert_eq!(mounts(), before);
        assert_eq!(ip("netns list"), "theirs\n");
        ip("netns exec theirs true");
    });
}

#[test]
fn a_folder_with_a_name_in_it_that_is_no_text_is_left_alone() {
    in_host(|_| {
        let found = Folder::observe().unwrap();
        Namespace::create("ours").unwrap();
        let _ = run(oracle("ip").args(["netns", "add"]).arg(OsStr::from_bytes(b"x\xff")));
        Namespace::delete("ours").unwrap();
        let mounts = || fs::read("/proc/thread-self/mountinfo").unwrap();
        let before = mounts();
        found.restore().unwrap();
        assert!(mounts() == before, "the other name is no mount any more");
    });
}

#[test]
fn a_folder_that_goes_while_its_lock_is_waited_for_is_made_again() {
    in_host(|_| {
        fs::create_dir(FOLDER).unwrap();
        let folder = File::open(FOLDER).unwrap();
        folder.lock().unwrap();
        let (device, inode) = folder.metadata().map(|found| (found.dev(), found.ino())).unwrap();
        let place = format!(" {:02x}:{:02x}:{inode} ", libc::major(device), libc::minor(device));
        thread::scope(|scope| {
            let made = scope.spawn(|| Namespace::create("ns1"));
            eventually("somebody waits for the lock", || {
                let locks = fs::read_to_string("/proc/locks").unwrap();
                locks.lines().any(|line| line.contains("->") && line.contains(&place))
            });
            fs::remove_dir(FOLDER).unwrap();
            drop(folder);
            made.join().unwrap().unwrap();
        });
        assert_eq!(ip("netns list"), "ns1\n");
        assert!(Folder::observe().unwrap().mounted);
    });
}

/// With no descriptor left there is only the path to look at.
#[test]
fn a_name_that_is_not_there_is_none_without_descriptors_too() {
    const INSIDE: &str = "TESTS_WITHOUT_DESCRIPTORS";
    let test = "folder::a_name_that_is_not_there_is_none_without_descriptors_too";
    in_host(|_| {
        if env::var_os(INSIDE).is_none() {
            let mut limited = oracle("prlimit");
            limited.arg("--nofile=40").arg(env::current_exe().unwrap());
            let _ = run(limited.args(["--exact", test, "--nocapture"]).env(INSIDE, "1"));
            return;
        }
        let namespace = Namespace::anonymous().unwrap();
        let mut held = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            held.push(file);
        }
        let unbound = namespace.unbind("nothing");
        drop(held);
        assert!(!unbound.unwrap());
    });
}

#[test]
fn a_name_reaches_mount_namespaces_made_before_it() {
    in_host(|_| {
        Namespace::create("first").unwrap();
        // `ip netns exec` makes a mount namespace; what is mounted here afterwards is to be seen in it.
        let mut child = oracle("ip")
            .args(["netns", "exec", "first", "sh", "-c", "echo; read _; stat -f -c %T /run/netns/second"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        Namespace::create("second").unwrap();
        drop(child.stdin.take());
        line.clear();
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        child.wait().unwrap();
        assert_eq!(line, "nsfs\n");
    });
}
