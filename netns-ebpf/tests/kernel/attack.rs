//! Frames that no honest host sends, from one namespace to another: seen, and dropped or not.

use netns_core::MacAddress;
use netns_ebpf::attack::{Case, FrameSocket, Party, Trial, TrialOutcome, cases, egress_cases};
use netns_ebpf::packet::Reason;
use netns_ebpf::{EgressRules, Mode, Monitor, MonitorOptions, Policy, Slot};

use crate::harness::{Network, privileged, privileged_since};

/// The first two namespaces of a network, whose first sends by this port.
fn trial<'m>(monitor: &'m Monitor, network: &Network, port: Slot) -> Trial<'m> {
    let open =
        |place: usize| network.insides[place].namespace.enter(|| FrameSocket::open(2)).unwrap().unwrap();
    Trial { monitor, port, sender: open(0), receiver: open(1) }
}

/// Sends every case, observed and enforced, by a port with this policy of the first namespace.
fn attack(trial: &Trial<'_>, network: &Network, of_port: impl Fn(Policy) -> Policy) {
    let [(mac, addresses), them] = [1, 2].map(|number: u64| {
        let address = network.insides[number as usize - 1].address;
        (MacAddress::local(number), [address.into()])
    });
    let policy = of_port(Policy::of_host(mac, &addresses).unwrap());
    let cases = cases(&Party::new(mac, &addresses), &Party::new(them.0, &them.1));
    assert!(cases.iter().any(|case| !case.passes_bridge(&network.host)), "the bridge itself stops some");
    for mode in [Mode::Observe, Mode::Enforce] {
        trial.monitor.set_policy(trial.port, &Policy { mode, ..policy }).unwrap();
        for case in &cases {
            let arrived = mode == Mode::Observe && case.passes_bridge(&network.host);
            let (reason, what) = (case.reason, case.what);
            assert_eq!(
                trial.send(case).unwrap(),
                TrialOutcome { seen: 1, arrived },
                "{mode:?} {reason} {what}"
            );
        }
    }
}

#[test]
fn each_case_is_seen_once_and_arrives_if_nobody_stops_it() {
    if !privileged("each_case_is_seen_once_and_arrives_if_nobody_stops_it") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    let port = network.add(Some(&monitor)).unwrap();
    network.add(None);
    network.introduce();
    attack(&trial(&monitor, &network, port), &network, |policy| policy);
}

#[test]
fn each_case_is_seen_once_by_tcx_links_with_everything_on() {
    if !privileged_since("each_case_is_seen_once_by_tcx_links_with_everything_on", (6, 6), "TCX links") {
        return;
    }
    let options = MonitorOptions {
        tcx: true,
        egress: 1,
        limits: true,
        scopes: true,
        verdicts: 1024,
        ..MonitorOptions::default()
    };
    let monitor = Monitor::load(&options).unwrap();
    let mut network = Network::new();
    network.add(None);
    network.add(None);
    network.introduce();
    let own = ["allow 10.1.1.0/24", "allow fd00::/64"].map(|rule| rule.parse().unwrap());
    let egress = monitor.add_egress(&EgressRules::new().with_all(own)).unwrap();
    let limits = "in=10gbit,out=10gbit,in=10mpps,out=10mpps,quota=100gb".parse().unwrap();
    // The first port of a network without slots.
    let port = monitor.attach_tcx(&network.socket, 101, None).unwrap();
    let trial = trial(&monitor, &network, port.slot());
    attack(&trial, &network, |policy| Policy { egress: Some(egress), limits, ..policy });
    // And each destination, where the policy for those is the only one.
    monitor.clear_policy(port.slot()).unwrap();
    let [us, them] = [1, 2].map(Party::numbered);
    let [any, ..] = &cases(&us, &them)[..] else { panic!("no cases") };
    for mode in [Mode::Observe, Mode::Enforce] {
        monitor.set_egress(port.slot(), Some((egress, mode))).unwrap();
        for case in egress_cases(&us, &them) {
            let sent = Case { reason: Reason::Egress, frame: case.frame.clone(), ..any.clone() };
            let outcome = trial.send(&sent).unwrap();
            assert_eq!(outcome.seen, u64::from(!case.is_allowed), "{mode:?} {}", case.what);
            assert!(mode == Mode::Observe || case.is_allowed || !outcome.arrived, "{}", case.what);
        }
    }
    monitor.detach_tcx(port).unwrap();
}
