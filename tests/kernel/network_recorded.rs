//! Networks whose process was killed: listed, taken over, removed; and a living process's network, which is left alone.

use crate::network::{Pass, pass};
use crate::nftables::needs_nftables;
use crate::{ip_address, name, net};
use netns_core::network::{
    Network, NetworkOptions, PortInfo, PortProgram, RecordPlace, RecordedNetwork, Sandbox,
};
use netns_core::ping::{Ping, ping};
use netns_core::{ErrorKind, Namespace, Result, link};
use std::mem::ManuallyDrop;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tests::{Verdict, eventually, in_fork, in_host, ip, ip_json, load_program, only, oracle, run, tc_json};

const LONG: Duration = Duration::from_secs(20);
const FOLDER: &str = RecordedNetwork::FOLDER;
/// Where the dead process left the id of the process in its second sandbox.
const PID: &str = "/run/inhabitant";

fn options() -> NetworkOptions {
    NetworkOptions {
        subnet_v4: Some(net("10.99.0.0/24")),
        subnet_v6: Some(net("fd99::/64")),
        ..NetworkOptions::new(name("sb"))
    }
}

/// A process in a sandbox that outlives the engine, and is killed in the end.
struct Inhabitant(u32);

impl Inhabitant {
    fn of_the_dead() -> Self {
        Self(std::fs::read_to_string(PID).unwrap().parse().unwrap())
    }
}

impl Drop for Inhabitant {
    fn drop(&mut self) {
        tests::signal("9", self.0);
    }
}

/// An engine that dies at once: of its three sandboxes, the first has a name, the second a process.
fn dead_engine(options: &NetworkOptions) -> Inhabitant {
    in_fork(|| {
        let network = Network::create(options).unwrap();
        assert!(network.is_recorded());
        let named = network.create_named_sandbox("box").unwrap();
        let inhabited = network.create_sandbox().unwrap();
        let mut sleeping = Command::new("sleep");
        sleeping.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // As if killed: nothing is dropped, and nobody is waited for.
        let inhabitant = ManuallyDrop::new(inhabited.spawn(&mut sleeping).unwrap());
        std::fs::write(PID, inhabitant.id().to_string()).unwrap();
        std::mem::forget((network.create_sandbox().unwrap(), network, named, inhabited));
        Ok(())
    })
    .unwrap();
    Inhabitant::of_the_dead()
}

fn recorded() -> RecordedNetwork {
    let mut networks = RecordedNetwork::list(FOLDER).unwrap();
    assert_eq!(networks.len(), 1, "{networks:?}");
    networks.remove(0)
}

fn reaches(from: &Sandbox, address: &str) {
    let report = ping(from.namespace().unwrap(), &Ping::new(ip_address(address))).unwrap();
    assert!(report.all_received(), "sandbox {} does not reach {address}: {report:?}", from.number());
}

fn nothing_is_left() {
    eventually("the kernel has reclaimed everything", || ip_json("link show").as_array().unwrap().len() == 1);
    assert!(!Path::new(FOLDER).exists(), "{:?}", std::fs::read_dir(FOLDER).unwrap().collect::<Vec<_>>());
}

#[test]
fn a_dead_processs_network_is_taken_over_with_its_sandboxes() {
    in_host(|_| {
        let inhabitant = dead_engine(&options());
        let error = Network::create(&options()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "create network sb: a process that is gone left a network of this name: RecordedNetwork::open takes it \
             over, RecordedNetwork::remove removes it"
        );
        let dead = recorded();
        assert!(!dead.is_held().unwrap());
        assert_eq!((dead.name(), dead.subnets().next()), (name("sb"), Some(net("10.99.0.0/24"))));

        let (network, mut sandboxes) = dead.open(None).unwrap();
        assert!(dead.is_held().unwrap());
        for error in [dead.remove().unwrap_err(), dead.open(None).unwrap_err()] {
            assert!(error.to_string().ends_with("network sb: a process that is alive has it"), "{error}");
        }
        let numbers: Vec<_> = sandboxes.iter().map(|one| (one.number(), one.name())).collect();
        assert_eq!(numbers, [(0, Some("box")), (1, None)]);
        // Only the dead process held the third.
        network.wait_reclaimed(LONG).unwrap();
        assert_eq!(network.sandboxes(), 2);

        let fresh = network.create_sandbox().unwrap();
        assert_eq!(fresh.number(), 2);
        for (from, to) in
            [(0, "10.99.0.3"), (0, "10.99.0.4"), (1, "10.99.0.1"), (1, "fd99::2"), (0, "fd99::1")]
        {
            reaches(&sandboxes[from], to);
        }
        reaches(&fresh, "10.99.0.2");
        reaches(&fresh, "fd99::3");

        network.delete([sandboxes.remove(0)]).unwrap();
        assert_eq!(Namespace::list().unwrap(), Vec::<String>::new());
        drop((network, sandboxes, fresh));
        drop(inhabitant);
        nothing_is_left();
    });
}

#[test]
fn what_cannot_be_taken_over_is_left_as_it_was() {
    in_host(|_| {
        let inhabitant = dead_engine(&options());
        let dead = recorded();
        // The network is not in this namespace.
        let elsewhere = Namespace::anonymous().unwrap().enter(|| (dead.open(None), dead.remove())).unwrap();
        for error in [elsewhere.0.unwrap_err(), elsewhere.1.unwrap_err()] {
            assert!(error.to_string().ends_with("network sb: it is in another network namespace"), "{error}");
        }
        // A link of somebody else's with the index that the responder's port will have.
        let bridge = only(&ip_json("link show sb"))["ifindex"].as_u64().unwrap();
        eventually("the responder is gone", || !ip("-o link show").contains("sbr0"));
        ip(&format!("link add stranger index {} type veth peer name other", bridge + 1));
        let error = dead.open(None).unwrap_err();
        assert!(error.to_string().contains("the kernel has not reclaimed stranger"), "{error}");
        assert_eq!(Namespace::list().unwrap(), ["box"]);
        assert_eq!(ip_json("link show type bridge").as_array().unwrap().len(), 1);
        ip("link del stranger");
        let (network, sandboxes) = dead.open(None).unwrap();
        reaches(&sandboxes[1], "10.99.0.2");
        drop((network, sandboxes, inhabitant));
        nothing_is_left();
    });
}

/// Program id and class of the filters on the named sandbox's port.
fn filters() -> Vec<(u64, String)> {
    let hooks = ["ingress", "egress"].map(|hook| tc_json(&format!("filter show dev sbp0 {hook}")));
    let all = hooks.iter().flat_map(|filters| filters.as_array().unwrap());
    let filters = all.filter(|filter| !filter["options"].is_null()).map(|filter| {
        let options = &filter["options"];
        (options["prog"]["id"].as_u64().unwrap(), options["flowid"].as_str().unwrap().to_owned())
    });
    filters.collect()
}

#[test]
fn a_new_program_replaces_the_dead_processs() {
    in_host(|_| {
        let with = |program: Arc<Pass>| NetworkOptions { program: Some(program), ..options() };
        let inhabitant = dead_engine(&with(pass(load_program(Verdict::Pass).unwrap())));
        let dead = recorded();
        let before = filters();
        assert_eq!(before.len(), 2);
        let error = dead.open(None).unwrap_err().to_string();
        let why = "open network sb: it was made with a program on its ports, and is opened with one";
        assert_eq!(error, why);
        // A descriptor that is no program.
        let error = dead.open(Some(pass(Namespace::current().unwrap().into()))).unwrap_err().to_string();
        assert!(error.starts_with("add filter bpf on ingress of interface "), "{error}");
        assert_eq!((filters(), Namespace::list().unwrap()), (before.clone(), vec!["box".to_owned()]));

        let (network, sandboxes) = dead.open(Some(pass(load_program(Verdict::Pass).unwrap()))).unwrap();
        assert_eq!(sandboxes.iter().map(Sandbox::slot).collect::<Vec<_>>(), [Some(101), Some(102)]);
        let after = filters();
        assert_eq!(after.len(), 2, "{after:?}");
        assert!(after.iter().all(|(id, class)| *id != before[0].0 && class == ":65"), "{before:?} {after:?}");
        reaches(&sandboxes[0], "10.99.0.3");
        drop((network, sandboxes, inhabitant));
        nothing_is_left();
    });
}

/// A program that says it marks frames, so there is a barrier against unmarked ones.
struct Marking(Arc<Pass>, u32);

impl Marking {
    fn new(stamp: u32) -> Arc<Self> {
        Arc::new(Self(pass(load_program(Verdict::Pass).unwrap()), stamp))
    }
}

impl PortProgram for Marking {
    fn ingress(&self) -> BorrowedFd<'_> {
        self.0.ingress()
    }

    fn egress(&self) -> BorrowedFd<'_> {
        self.0.egress()
    }

    fn assign(&self, port: &PortInfo) -> Result<u16> {
        self.0.assign(port)
    }

    fn release(&self, slot: u16) {
        self.0.release(slot);
    }

    fn stamp(&self) -> Option<u32> {
        Some(self.1)
    }
}

fn tables() -> usize {
    run(oracle("nft").args(["list", "tables", "bridge"])).lines().count()
}

#[test]
fn a_dead_processs_barrier_is_replaced_or_removed() {
    in_host(|_| {
        needs_nftables();
        let with = |program: Arc<dyn PortProgram>| NetworkOptions { program: Some(program), ..options() };
        let inhabitant = dead_engine(&with(Marking::new(0x40)));
        assert_eq!(tables(), 1);
        let (network, sandboxes) = recorded().open(Some(Marking::new(0x50))).unwrap();
        let rules = run(oracle("nft").args(["list", "ruleset"]));
        assert!(rules.contains("50") && !rules.contains("0:40") && tables() == 1, "{rules}");
        drop((network, sandboxes, inhabitant));
        nothing_is_left();
        assert_eq!(tables(), 0);

        let inhabitant = dead_engine(&with(Marking::new(0x40)));
        let (network, sandboxes) = recorded().open(Some(pass(load_program(Verdict::Pass).unwrap()))).unwrap();
        assert_eq!(tables(), 0, "this program marks nothing");
        drop((network, sandboxes, inhabitant));
        nothing_is_left();

        let inhabitant = dead_engine(&with(Marking::new(0x40)));
        assert_eq!(recorded().remove().unwrap(), Vec::<String>::new());
        drop(inhabitant);
        nothing_is_left();
        assert_eq!(tables(), 0);

        drop(dead_engine(&with(Marking::new(0x40))));
        ip("netns delete box");
        ip("link del sb");
        drop(Network::create(&options()).unwrap());
        assert_eq!(tables(), 0, "with the record goes what it is of");
        nothing_is_left();
    });
}

#[test]
fn a_dead_processs_network_is_removed_and_nothing_else() {
    in_host(|_| {
        ip("netns add theirs");
        let inhabitant = dead_engine(&options());
        // A link of somebody else's takes the index and the name of a port that is gone.
        let port = only(&ip_json("link show sbp1"))["ifindex"].as_u64().unwrap();
        ip("link del sbp1");
        ip(&format!("link add sbp1 index {port} type veth peer name sbx"));
        let left = recorded().remove().unwrap();
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(left[0].starts_with(&format!("sbp1 (index {port}, MAC address ")), "{left:?}");
        assert_eq!(Namespace::list().unwrap(), ["theirs"]);
        ip("link del sbp1");
        nothing_is_left();
        // It is gone: removing it once more does nothing, and its name is free.
        drop(inhabitant);
        assert_eq!(RecordedNetwork::list(FOLDER).unwrap().len(), 0);
        drop(Network::create(&options()).unwrap());
        ip("netns delete theirs");
        nothing_is_left();
    });
}

#[test]
fn a_namespace_of_somebody_else_outlives_both_engines() {
    in_host(|_| {
        ip("netns add theirs");
        let theirs = Namespace::open("theirs").unwrap();
        let abandon = || {
            in_fork(|| {
                let network = Network::create(&options()).unwrap();
                std::mem::forget((network.create_sandbox_in(&theirs).unwrap(), network));
                Ok(())
            })
            .unwrap();
        };
        let is_as_it_was = || {
            assert_eq!(Namespace::list().unwrap(), ["theirs"]);
            eventually("eth0 is gone", || !ip("-n theirs -o link show").contains("eth0"));
        };
        abandon();
        assert_eq!(recorded().remove().unwrap(), Vec::<String>::new());
        is_as_it_was();
        abandon();
        let (network, sandboxes) = recorded().open(None).unwrap();
        assert_eq!((sandboxes.len(), sandboxes[0].name()), (1, None));
        reaches(&sandboxes[0], "10.99.0.1");
        drop(sandboxes);
        is_as_it_was();
        drop(network);
        ip("netns delete theirs");
        nothing_is_left();
    });
}

#[test]
fn everything_that_dead_processes_left_is_removed_at_once() {
    in_host(|_| {
        let inhabitant = dead_engine(&options());
        let other = NetworkOptions { subnet_v6: None, subnet_v4: Some(net("10.98.0.0/24")), ..options() };
        let living = Network::create(&NetworkOptions { name: name("alive"), ..other.clone() }).unwrap();
        // One in another namespace; and one killed after it began its record.
        let elsewhere = Namespace::anonymous().unwrap();
        elsewhere
            .enter(|| {
                in_fork(|| {
                    std::mem::forget(Network::create(&other).unwrap());
                    Ok(())
                })
            })
            .unwrap()
            .unwrap();
        std::fs::write(format!("{FOLDER}/begun.7.record"), "").unwrap();
        assert_eq!(RecordedNetwork::remove_all(FOLDER).unwrap(), Vec::<String>::new());
        let left = RecordedNetwork::list(FOLDER).unwrap();
        assert_eq!(left.iter().map(|one| one.name().to_string()).collect::<Vec<_>>(), ["alive", "sb"]);
        assert_eq!(std::fs::read_dir(FOLDER).unwrap().count(), 2);
        assert_eq!(Namespace::list().unwrap(), Vec::<String>::new());
        assert!(living.create_sandbox().is_ok(), "nobody touched it");
        elsewhere.enter(|| RecordedNetwork::remove_all(FOLDER)).unwrap().unwrap();
        drop((living, inhabitant));
        nothing_is_left();
        // Killed between making the folder and beginning the record.
        std::fs::create_dir(FOLDER).unwrap();
        RecordedNetwork::remove_all(FOLDER).unwrap();
        nothing_is_left();
    });
}

#[test]
fn a_name_whose_file_cannot_be_removed_is_removed_later() {
    in_host(|_| {
        let network = Network::create(&options()).unwrap();
        let one = network.create_named_sandbox("one").unwrap();
        // A file can be unmounted even in a folder in which nothing may be removed.
        let remount =
            |how: &str| run(Command::new("mount").args(["-o", &format!("remount,bind,{how}"), "/run/netns"]));
        let _ = remount("ro");
        drop(one);
        let error = network.wait_reclaimed(LONG).unwrap_err();
        let why = "delete namespace one: unlink: Read-only file system (os error 30)";
        assert_eq!((error.to_string(), Namespace::list().unwrap()), (why.to_owned(), vec!["one".to_owned()]));
        let _ = remount("rw");
        network.wait_reclaimed(LONG).unwrap();
        assert_eq!(Namespace::list().unwrap(), Vec::<String>::new());
        // From now on it may belong to somebody else.
        ip("netns add one");
        network.wait_reclaimed(LONG).unwrap();
        assert_eq!(Namespace::list().unwrap(), ["one"]);
        ip("netns delete one");
        drop(network);
        nothing_is_left();
    });
}

#[test]
fn an_empty_record_is_in_nobodys_way() {
    in_host(|_| {
        drop(dead_engine(&options()));
        ip("link del sb");
        let error = Network::create(&options()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists, "there is a name: {error}");
        ip("netns delete box");
        let network = Network::create(&options()).unwrap();
        assert!(recorded().is_held().unwrap());
        drop(network);
        nothing_is_left();
    });
}

#[test]
fn a_network_of_a_living_process_is_in_the_way_and_says_so() {
    in_host(|_| {
        let network = Network::create(&options()).unwrap();
        let error = Network::create(&options()).unwrap_err();
        let why = "create network sb: a process that is alive has a network of this name";
        assert_eq!((error.to_string(), error.kind()), (why.to_owned(), ErrorKind::Busy));
        drop(network);
        nothing_is_left();
    });
}

#[test]
fn a_network_need_not_be_on_record() {
    in_host(|_| {
        let nowhere = NetworkOptions { record: RecordPlace::Nowhere, ..options() };
        let network = Network::create(&nowhere).unwrap();
        assert!(!network.is_recorded() && !Path::new(FOLDER).exists());
        drop(network);
        // Where nothing can be written, there is no record by default, and no network if a record was asked for.
        let _ = run(Command::new("mount").args(["-t", "tmpfs", "-o", "ro", "none", "/run"]));
        let network = Network::create(&options()).unwrap();
        assert!(!network.is_recorded());
        drop(network);
        let folder = NetworkOptions { record: RecordPlace::Folder(FOLDER.into()), ..options() };
        let error = Network::create(&folder).unwrap_err();
        let why = "make folder /run/netns-networks: mkdir: Read-only file system (os error 30)";
        assert_eq!(error.to_string(), why);
        assert_eq!(link::list(&mut netns_core::RouteSocket::open().unwrap()).unwrap().len(), 1);
        let _ = run(Command::new("umount").arg("/run"));
    });
}

#[test]
fn failing_leaves_no_record() {
    in_host(|_| {
        ip("link add sb type veth peer name other");
        let error = Network::create(&options()).unwrap_err();
        assert_eq!(error.to_string(), "create network sb: there is an interface sb");
        assert!(!Path::new(FOLDER).exists());
        ip("link del sb");
    });
}
