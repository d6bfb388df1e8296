//! Frames that no honest host sends, from one namespace to another: seen, and dropped or not.

use netns_core::MacAddress;
use netns_ebpf::attack::{FrameSocket, Party, Trial, TrialOutcome, cases};
use netns_ebpf::{Mode, Monitor, MonitorOptions, Policy};

use crate::harness::{Network, privileged};

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
    let party = |number: u64| {
        let address = network.insides[number as usize - 1].address;
        (MacAddress::local(number), [address.into()])
    };
    let [(mac, addresses), them] = [1, 2].map(party);
    let policy = Policy::of_host(mac, &addresses).unwrap();
    let open =
        |place: usize| network.insides[place].namespace.enter(|| FrameSocket::open(2)).unwrap().unwrap();
    let trial = Trial { monitor: &monitor, port, sender: open(0), receiver: open(1) };
    let cases = cases(&Party::new(mac, &addresses), &Party::new(them.0, &them.1));
    assert!(cases.iter().any(|case| !case.passes_bridge(&network.host)), "the bridge itself stops some");
    for mode in [Mode::Observe, Mode::Enforce] {
        monitor.set_policy(port, &Policy { mode, ..policy }).unwrap();
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
