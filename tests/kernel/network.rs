//! Networks of sandboxes: who reaches whom, what the kernel has, what is left.

use crate::{ip_address, name, net};
use netns_core::network::{Network, NetworkOptions, PortInfo, PortProgram, Sandbox};
use netns_core::ping::{Ping, ping};
use netns_core::{Cause, Namespace, Result, RouteSocket, link};
use std::net::{IpAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tests::{Verdict, bridge_json, in_host, ip, ip_json, load_program, only, tc_json};

const LONG: Duration = Duration::from_secs(20);

fn options() -> NetworkOptions {
    NetworkOptions {
        subnet_v4: Some(net("10.99.0.0/24")),
        subnet_v6: Some(net("fd99::/64")),
        ..NetworkOptions::new(name("sb"))
    }
}

fn addresses(sandbox: &Sandbox) -> [IpAddr; 2] {
    [sandbox.address_v4(), sandbox.address_v6()].map(|net| net.unwrap().address())
}

/// Whether one echo request is answered at once: nothing here ever needs a second one.
fn reaches(from: &Namespace, to: IpAddr) -> bool {
    let request = Ping { timeout: Duration::from_millis(900), ..Ping::new(to) };
    ping(from, &request).is_ok_and(|report| report.all_received())
}

#[test]
fn sandboxes_and_the_host_reach_each_other() {
    in_host(|host| {
        let network = Network::create(&options()).unwrap();
        let sandboxes: Vec<_> = (0..3).map(|_| network.create_sandbox().unwrap()).collect();
        for from in &sandboxes {
            for to in &sandboxes {
                assert!(addresses(to).into_iter().all(|to| reaches(from.namespace().unwrap(), to)));
            }
            assert!(network.addresses().all(|host| reaches(from.namespace().unwrap(), host.address())));
            assert!(addresses(from).into_iter().all(|to| reaches(host.namespace(), to)));
        }
        let thousand = ip_address("10.99.0.200");
        assert!(!reaches(sandboxes[0].namespace().unwrap(), thousand));
    });
}

#[test]
fn sandboxes_reach_each_other_across_bridges_and_without_fixed_neighbours() {
    in_host(|host| {
        let options = NetworkOptions { per_bridge: 2, permanent_neighbours: false, ..options() };
        let network = Network::create(&options).unwrap();
        let sandboxes: Vec<_> = (0..7).map(|_| network.create_sandbox().unwrap()).collect();
        let bridges: std::collections::HashSet<_> = sandboxes.iter().map(Sandbox::bridge).collect();
        assert_eq!(bridges.len(), 4);
        for from in &sandboxes {
            for to in sandboxes.iter().flat_map(addresses).chain(network.addresses().map(|net| net.address()))
            {
                assert!(reaches(from.namespace().unwrap(), to), "{:?} to {to}", from.address_v4());
            }
        }
        assert!(sandboxes.iter().flat_map(addresses).all(|to| reaches(host.namespace(), to)));
    });
}

#[test]
fn nobody_else_receives_what_two_send_each_other() {
    in_host(|_| {
        let network = Network::create(&NetworkOptions { per_bridge: 2, ..options() }).unwrap();
        let [one, two, three, four] = [(); 4].map(|()| network.create_sandbox().unwrap());
        let heard = |sandbox: &Sandbox| {
            let mut socket = RouteSocket::open_in(sandbox.port_namespace().unwrap()).unwrap();
            link::stats(&mut socket, sandbox.port().index).unwrap().tx_packets
        };
        // Waits until the multicast reports of the addresses are over.
        std::thread::sleep(Duration::from_millis(200));
        let before = [heard(&two), heard(&four)];
        for to in addresses(&three) {
            assert!(reaches(one.namespace().unwrap(), to));
        }
        // Not even a question who has an address.
        assert_eq!([heard(&two), heard(&four)], before);
    });
}

/// Whether the second receives a broadcast of the first.
fn broadcast_is_heard(options: &NetworkOptions) -> bool {
    let network = Network::create(options).unwrap();
    let [one, two] = [(); 2].map(|()| network.create_sandbox().unwrap());
    let listener = two.enter(|| UdpSocket::bind("0.0.0.0:5555")).unwrap().unwrap();
    let speaker = one.enter(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
    speaker.set_broadcast(true).unwrap();
    speaker.send_to(b"hello", "10.99.0.255:5555").unwrap();
    listener.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    listener.recv(&mut [0; 8]).is_ok()
}

#[test]
fn broadcasts_go_to_others_if_asked_for() {
    in_host(|_| {
        assert!(!broadcast_is_heard(&options()));
        assert!(broadcast_is_heard(&NetworkOptions { name: name("loud"), broadcast: true, ..options() }));
        let across = NetworkOptions { name: name("wide"), broadcast: true, per_bridge: 1, ..options() };
        assert!(broadcast_is_heard(&across));
    });
}

#[test]
fn isolated_sandboxes_reach_the_host_only() {
    in_host(|_| {
        for per_bridge in [256, 1] {
            let network =
                Network::create(&NetworkOptions { isolated: true, per_bridge, ..options() }).unwrap();
            let [one, two] = [(); 2].map(|()| network.create_sandbox().unwrap());
            assert!(reaches(one.namespace().unwrap(), ip_address("10.99.0.1")));
            assert!(!reaches(one.namespace().unwrap(), addresses(&two)[0]), "{per_bridge} to a bridge");
        }
    });
}

#[test]
fn the_kernel_has_what_was_asked_for() {
    in_host(|_| {
        let network = Network::create(&NetworkOptions { mtu: Some(1400), ..options() }).unwrap();
        let sandbox = network.create_named_sandbox("box").unwrap();
        let port = sandbox.port();
        assert_eq!((port.name.as_str(), sandbox.number()), ("sbp0", 0));

        let shown = only(&ip_json("link show sbp0"));
        assert_eq!(shown["ifindex"], port.index);
        assert_eq!((&shown["master"], &shown["mtu"]), (&"sb".into(), &1400.into()));
        assert_eq!((&shown["operstate"], &shown["inet6_addr_gen_mode"]), (&"UP".into(), &"none".into()));
        assert_eq!(only(&ip_json("address show sbp0"))["addr_info"].as_array().unwrap().len(), 0);
        let shown = only(&bridge_json("link show dev sbp0"));
        for option in ["learning", "flood", "mcast_flood", "bcast_flood", "isolated"] {
            assert_eq!(shown[option], false, "{option}");
        }
        assert_eq!(shown["state"], "forwarding");

        let shown = only(&ip_json("-n box address show eth0"));
        assert_eq!((&shown["address"], &shown["mtu"]), (&sandbox.mac().to_string().into(), &1400.into()));
        let locals: Vec<_> =
            shown["addr_info"].as_array().unwrap().iter().map(|info| &info["local"]).collect();
        assert_eq!(locals, ["10.99.0.2", "fd99::2"]);
        assert_eq!(ip_json("-n box route show default")[0]["gateway"], "10.99.0.1");
        assert_eq!(ip_json("-n box -6 route show default")[0]["gateway"], "fd99::1");
        assert_eq!(only(&ip_json("-n box neigh show 10.99.0.1"))["lladdr"], network.mac().to_string());
    });
}

/// udev changes a MAC address that the kernel made up.
#[test]
fn ports_have_chosen_mac_addresses() {
    in_host(|_| {
        let network = Network::create(&NetworkOptions { per_bridge: 1, ..options() }).unwrap();
        let _sandboxes = [(); 2].map(|()| network.create_sandbox().unwrap());
        std::fs::create_dir("/run/sys").unwrap();
        let _ = tests::run(tests::oracle("mount").args(["-t", "sysfs", "sysfs", "/run/sys"]));
        let mut seen = Vec::new();
        for entry in std::fs::read_dir("/run/sys/class/net").unwrap() {
            let link = entry.unwrap();
            let kind = std::fs::read_to_string(link.path().join("addr_assign_type"));
            // `NET_ADDR_SET`; `bonding_masters` is no link.
            if let (Ok(kind), false) = (kind, link.file_name() == "lo") {
                assert_eq!(kind, "3\n", "{}", link.path().display());
                seen.push(link.file_name().into_string().unwrap());
            }
        }
        seen.sort();
        assert_eq!(seen, ["sb", "sbd1", "sbp0", "sbr0"]);
    });
}

#[test]
fn nothing_is_left_of_a_network() {
    in_host(|host| {
        let network = Network::create(&NetworkOptions { per_bridge: 1, ..options() }).unwrap();
        let anonymous = network.create_sandbox().unwrap();
        let named = network.create_named_sandbox("box").unwrap();
        assert_eq!((network.sandboxes(), ip("netns list").contains("box")), (2, true));
        drop(named);
        assert_eq!(ip("netns list"), "");
        drop(anonymous);
        network.wait_reclaimed(LONG).unwrap();
        assert_eq!((network.sandboxes(), network.reclaiming().unwrap()), (0, 0));
        assert!(ip_json("link show").as_array().unwrap().iter().all(|link| link["ifname"] != "sbp0"));
        drop(network);
        tests::eventually("the responder's port goes", || {
            ip_json("link show").as_array().unwrap().len() == 1
        });
        host.assert_clean();
    });
}

#[test]
fn a_sandbox_outlives_the_handle_of_its_network() {
    in_host(|host| {
        let network = Network::create(&options()).unwrap();
        let [one, two] = [(); 2].map(|()| network.create_sandbox().unwrap());
        drop(network);
        assert!(reaches(one.namespace().unwrap(), addresses(&two)[0]));
        drop((one, two));
        tests::eventually("all links go", || ip_json("link show").as_array().unwrap().len() == 1);
        host.assert_clean();
    });
}

#[test]
fn a_number_is_given_out_again_only_when_the_kernel_has_reclaimed_it() {
    in_host(|_| {
        let options = NetworkOptions { maximum: 2, patience: Duration::ZERO, ..options() };
        let network = Network::create(&options).unwrap();
        let [one, _two] = [(); 2].map(|()| network.create_sandbox().unwrap());
        let address = one.address_v4();
        let mut process = one.spawn(Command::new("sleep").arg("60")).unwrap();
        drop(one);
        let error = network.create_sandbox().unwrap_err();
        assert!(matches!(error.cause(), Cause::Exhausted(_)), "{error}");
        assert_eq!(
            error.to_string(),
            "create sandbox sb: 1 of 2 are in use and 1 dropped ones are not reclaimed by the kernel yet"
        );
        let error = network.wait_reclaimed(Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error.cause(), Cause::TimedOut(_)), "{error}");

        process.kill().unwrap();
        process.wait().unwrap();
        network.wait_reclaimed(LONG).unwrap();
        assert_eq!(network.create_sandbox().unwrap().address_v4(), address);
    });
}

#[test]
fn creating_waits_for_the_kernel_if_it_may() {
    in_host(|_| {
        let network = Network::create(&NetworkOptions { maximum: 1, patience: LONG, ..options() }).unwrap();
        for _ in 0..5 {
            assert_eq!(network.create_sandbox().unwrap().number(), 0);
        }
        let crowded = NetworkOptions { name: name("few"), reclaim_backlog: 0, subnet_v6: None, ..options() };
        let network =
            Network::create(&NetworkOptions { subnet_v4: Some(net("10.98.0.0/24")), ..crowded }).unwrap();
        for _ in 0..5 {
            network.create_sandbox().unwrap();
        }
    });
}

#[test]
fn a_network_may_be_made_anew_before_the_kernel_has_reclaimed_the_old_one() {
    in_host(|_| {
        for _ in 0..3 {
            let network = Network::create(&options()).unwrap();
            let sandboxes: Vec<_> = (0..20).map(|_| network.create_sandbox().unwrap()).collect();
            assert!(reaches(sandboxes[0].namespace().unwrap(), addresses(&sandboxes[19])[1]));
        }
    });
}

#[test]
fn two_halves_of_everything_are_default_routes() {
    in_host(|host| {
        // What a VPN client adds, beside the default route.
        ip("link add vpn0 type veth peer name vpn1");
        ip("link set vpn0 up");
        ip("link set vpn1 up");
        for half in ["0.0.0.0/1", "128.0.0.0/1"] {
            ip(&format!("route add {half} dev vpn0"));
        }
        for half in ["::/1", "8000::/1"] {
            ip(&format!("-6 route add {half} dev vpn0"));
        }
        let network = Network::create(&options()).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        assert!(addresses(&sandbox).into_iter().all(|to| reaches(host.namespace(), to)));
    });
}

#[test]
fn what_the_host_has_is_not_touched() {
    in_host(|host| {
        ip("link add sb type bridge");
        let error = Network::create(&options()).unwrap_err();
        assert_eq!(error.to_string(), "create network sb: there is an interface sb");
        ip("link delete sb");
        ip("link add sbp0 type veth peer name other");
        let impatient = NetworkOptions { patience: Duration::ZERO, ..options() };
        let error = Network::create(&impatient).unwrap_err();
        assert_eq!(error.to_string(), "create network sb: there is an interface sbp0");
        ip("link delete sbp0");
        ip("link add d0 type veth peer name d1");
        ip("address add 10.99.0.7/29 dev d0");
        ip("link set d0 up");
        let error = Network::create(&options()).unwrap_err();
        assert_eq!(error.to_string(), "use subnet 10.99.0.0/24: the host has a route to 10.99.0.0/29");
        ip("link delete d0");
        host.assert_clean();
    });
}

#[test]
fn deleted_sandboxes_are_gone_at_once() {
    in_host(|host| {
        let network = Network::create(&options()).unwrap();
        let mut sandboxes: Vec<_> = (0..70).map(|_| network.create_sandbox().unwrap()).collect();
        let kept = sandboxes.split_off(68);
        network.delete(sandboxes).unwrap();
        assert_eq!((network.sandboxes(), network.reclaiming().unwrap()), (2, 0));
        assert_eq!(link::list_ports(&mut host.socket(), network.bridge()).unwrap().len(), 3);
        assert!(reaches(kept[0].namespace().unwrap(), addresses(&kept[1])[0]));
        assert_eq!(network.create_sandbox().unwrap().number(), 0);
    });
}

#[test]
fn a_port_that_somebody_deletes_is_not_waited_for() {
    in_host(|_| {
        let network = Network::create(&NetworkOptions { maximum: 1, ..options() }).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        ip("link delete sbp0");
        drop(sandbox);
        assert!(reaches(network.create_sandbox().unwrap().namespace().unwrap(), ip_address("10.99.0.1")));
    });
}

#[test]
fn a_port_name_that_somebody_has_is_passed_over() {
    in_host(|_| {
        let network = Network::create(&options()).unwrap();
        ip("link add sbp1 type veth peer name other");
        let numbers = [(); 3].map(|()| network.create_sandbox().unwrap()).map(|sandbox| sandbox.number());
        assert_eq!(numbers, [0, 2, 3]);
        let full = Network::create(&NetworkOptions {
            name: name("one"),
            subnet_v4: Some(net("10.98.0.0/24")),
            subnet_v6: None,
            maximum: 1,
            ..options()
        })
        .unwrap();
        ip("link add onep0 type veth peer name another");
        let error = full.create_sandbox().unwrap_err();
        assert!(error.to_string().starts_with("create veth onep0: File exists"), "{error}");
    });
}

#[test]
fn a_taken_name_is_refused_and_nothing_is_left() {
    in_host(|_| {
        Namespace::create("box").unwrap();
        let network = Network::create(&options()).unwrap();
        let error = network.create_named_sandbox("box").unwrap_err();
        assert_eq!(error.errno(), Some(libc::EEXIST), "{error}");
        assert_eq!((network.sandboxes(), ip("netns list").as_str()), (0, "box\n"));
        assert_eq!(network.create_named_sandbox("../box").unwrap_err().errno(), None);
        Namespace::delete("box").unwrap();
        network.create_named_sandbox("box").unwrap();
    });
}

#[test]
fn a_sandbox_may_be_made_from_any_thread_in_any_namespace() {
    in_host(|_| {
        let network = Network::create(&options()).unwrap();
        let elsewhere = Namespace::anonymous().unwrap();
        let sandbox = elsewhere.enter(|| {
            let sandbox = network.create_sandbox().unwrap();
            assert_eq!(Namespace::current().unwrap().id().unwrap(), elsewhere.id().unwrap());
            sandbox
        });
        let sandbox = std::thread::spawn(move || sandbox).join().unwrap().unwrap();
        assert!(reaches(sandbox.namespace().unwrap(), ip_address("10.99.0.1")));
    });
}

/// A program that passes everything, and remembers who has which slot.
pub(crate) struct Pass {
    program: OwnedFd,
    ports: Mutex<Vec<PortInfo>>,
    released: Mutex<Vec<u16>>,
}

impl PortProgram for Pass {
    fn ingress(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    fn egress(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    fn assign(&self, port: &PortInfo) -> Result<u16> {
        let mut ports = self.ports.lock().unwrap();
        ports.push(*port);
        Ok(ports.len() as u16 + 100)
    }

    fn release(&self, slot: u16) {
        self.released.lock().unwrap().push(slot);
    }
}

pub(crate) fn pass(program: OwnedFd) -> Arc<Pass> {
    Arc::new(Pass { program, ports: Mutex::default(), released: Mutex::default() })
}

#[test]
fn a_program_is_on_every_port_with_its_slot() {
    in_host(|_| {
        let program = pass(load_program(Verdict::Pass).unwrap());
        let network =
            Network::create(&NetworkOptions { program: Some(program.clone()), ..options() }).unwrap();
        let [one, two] = [(); 2].map(|()| network.create_sandbox().unwrap());
        assert_eq!((one.slot(), two.slot()), (Some(101), Some(102)));
        assert_eq!(*program.ports.lock().unwrap(), [one.port(), two.port()]);
        for hook in ["ingress", "egress"] {
            let filters = tc_json(&format!("filter show dev sbp1 {hook}"));
            let filter =
                filters.as_array().unwrap().iter().find(|filter| !filter["options"].is_null()).unwrap();
            assert_eq!(filter["options"]["flowid"], ":66", "{filter}");
            assert_eq!(filter["options"]["direct-action"], true);
        }
        assert!(reaches(one.namespace().unwrap(), addresses(&two)[0]));
        drop(one);
        network.wait_reclaimed(LONG).unwrap();
        assert_eq!(*program.released.lock().unwrap(), [101]);
    });
}

#[test]
fn a_failure_says_which_step_and_leaves_nothing() {
    in_host(|_| {
        // A descriptor that is no program.
        let program = pass(Namespace::current().unwrap().into());
        let network =
            Network::create(&NetworkOptions { program: Some(program.clone()), ..options() }).unwrap();
        let error = network.create_sandbox().unwrap_err();
        assert!(error.to_string().starts_with("add filter bpf on ingress of interface "), "{error}");
        network.wait_reclaimed(LONG).unwrap();
        assert_eq!((network.sandboxes(), *program.released.lock().unwrap() == [101]), (0, true));

        let network = Network::create(&NetworkOptions {
            name: name("big"),
            subnet_v4: Some(net("10.98.0.0/24")),
            subnet_v6: None,
            mtu: Some(100_000),
            ..options()
        });
        let error = network.unwrap_err().to_string();
        assert!(error.starts_with("create bridge big: Invalid argument"), "{error}");
    });
}
