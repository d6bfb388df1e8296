//! What rules say of destinations, judged as the kernel does.

use crate::attack::{Party, egress_cases};
use crate::packet::{EgressList, EgressRule, Facts};

use super::EgressRules;

fn rule(text: &str) -> EgressRule {
    text.parse().unwrap()
}

/// Whether a packet is allowed, of a protocol, to a port.
fn allows(rules: &EgressRules, address: &str, protocol: u8, port: impl Into<Option<u16>>) -> bool {
    let table = rules.compile().unwrap();
    let destination = format!("allow {address}").parse::<EgressRule>().unwrap().prefix();
    table.of(destination).unwrap().allows(protocol, port.into(), || 1)
}

const TCP: u8 = 6;
const UDP: u8 = 17;

#[test]
fn each_frame_of_the_table_has_its_verdict() {
    let own = ["allow 10.1.1.0/24", "allow fd00::/64"].map(rule);
    let table = EgressRules::new().with_all(own).compile().unwrap();
    for case in egress_cases(&Party::numbered(1), &Party::numbered(2)) {
        let verdict = table.judge(&case.frame, Facts::of(&case.frame));
        assert_eq!(verdict.is_ok(), case.is_allowed, "{}: {:02x?}", case.what, case.frame);
    }
    // Without the lists, what remains is what goes elsewhere than it says, and is refused all the same.
    let open = EgressList::ALL.into_iter().fold(EgressRules::new(), EgressRules::without).compile().unwrap();
    let refused = |case: &crate::attack::EgressCase| open.judge(&case.frame, Facts::of(&case.frame)).is_err();
    let cases = egress_cases(&Party::numbered(1), &Party::numbered(2));
    let refused: Vec<_> = cases.iter().filter(|case| refused(case)).map(|case| case.what).collect();
    assert_eq!(
        refused,
        ["in three tags, to metadata", "a source route by the internet", "a routing header by the internet"]
    );
}

#[test]
fn the_smallest_network_decides() {
    let rules = EgressRules::new()
        .with(rule("deny 203.0.113.0/24"))
        .with(rule("allow 203.0.113.128/25"))
        .with(rule("allow 10.0.0.5"))
        .with(rule("deny 203.0.113.200"));
    assert!(!allows(&rules, "203.0.113.1", TCP, 80) && allows(&rules, "203.0.113.129", TCP, 80));
    assert!(!allows(&rules, "203.0.113.200", TCP, 80) && allows(&rules, "203.0.114.1", TCP, 80));
    assert!(allows(&rules, "10.0.0.5", UDP, 1) && !allows(&rules, "10.0.0.6", UDP, 1));
}

#[test]
fn of_one_network_the_first_that_says_something_decides_and_then_wider_ones() {
    let rules = EgressRules::new()
        .with(rule("allow 10.0.0.5 tcp/443"))
        .with(rule("deny 10.0.0.5 tcp/400-500"))
        .with(rule("allow 10.0.0.5 tcp"))
        .with(rule("deny any tcp/25"));
    assert!(allows(&rules, "10.0.0.5", TCP, 443) && !allows(&rules, "10.0.0.5", TCP, 444));
    // By the third rule; and of UDP nothing is said there, so `private` decides.
    assert!(allows(&rules, "10.0.0.5", TCP, 80) && !allows(&rules, "10.0.0.5", UDP, 80));
    assert!(!allows(&rules, "203.0.113.1", TCP, 25) && allows(&rules, "203.0.113.1", TCP, 26));
    assert!(!allows(&rules, "2001:db8::1", TCP, 25) && allows(&rules, "2001:db8::1", UDP, 25));
}

#[test]
fn what_shows_no_port_is_refused_where_a_rule_asks_for_one() {
    let rules =
        EgressRules::new().with(rule("allow 10.0.0.5 tcp/443")).with(rule("deny 203.0.113.0/24 udp/53"));
    assert!(!allows(&rules, "10.0.0.5", TCP, None));
    assert!(!allows(&rules, "203.0.113.1", UDP, None) && allows(&rules, "203.0.113.1", TCP, None));
    assert!(allows(&rules, "203.0.114.1", UDP, None));
}

#[test]
fn nothing_but_what_is_named() {
    let rules = EgressRules::new().refusing_others().with(rule("allow 203.0.113.0/24 icmp"));
    assert!(allows(&rules, "203.0.113.1", 1, 8) && !allows(&rules, "203.0.113.1", TCP, 80));
    assert!(!allows(&rules, "203.0.114.1", 1, 8));
    // What goes no further than the link is not meant.
    assert!(allows(&rules, "224.0.0.251", UDP, 5353) && allows(&rules, "fe80::1", 58, 135));
    assert!(!allows(&rules, "fe80::1", 58, 128));
}

#[test]
fn a_list_can_be_left_out_by_name() {
    let without = |list: &str| EgressRules::new().without(list.parse().unwrap());
    assert!(allows(&without("private"), "192.168.1.1", TCP, 80));
    assert!(!allows(&without("link-local"), "169.254.169.254", TCP, 80), "metadata is a list of its own");
    assert!(allows(&without("link-local"), "169.254.1.1", TCP, 80));
    assert!(
        allows(&without("tunnels"), "203.0.113.1", 47, None)
            && !allows(&without("nat64"), "203.0.113.1", 47, None)
    );
    for list in EgressList::ALL {
        assert_eq!(list.name().parse(), Ok(list));
        assert_eq!(without(list.name()).lists().count(), EgressList::ALL.len() - 1);
    }
}

#[test]
fn more_than_there_is_room_for_is_refused() {
    let ports = (1..=4).map(|port| rule(&format!("deny 203.0.113.0/24 tcp/{port}")));
    let full = EgressRules::new().with_all(ports);
    assert_eq!(full.compile().unwrap_err().to_string(), "203.0.113.0/24");
    // What comes after the last word takes no room.
    let rules = EgressRules::new().with(rule("allow 203.0.113.0/24"));
    let more = (1..=9).map(|port| rule(&format!("deny 203.0.113.0/24 tcp/{port}")));
    assert!(allows(&rules.with_all(more), "203.0.113.1", TCP, 5));
}

#[test]
fn what_is_no_rule_is_refused() {
    for text in [
        "",
        "allow",
        "permit 10.0.0.0/8",
        "allow 10.0.0.0/33",
        "allow 10.0.0.1/8",
        "allow fd00::/129",
        "allow ten",
        "allow 10.0.0.0/8 tcp/",
        "allow 10.0.0.0/8 tcp/70000",
        "allow 10.0.0.0/8 tcp/2-1",
        "allow 10.0.0.0/8 tcp udp",
        "allow 10.0.0.0/8 gre",
        "allow any icmp",
        "allow ::/0",
        "allow ::/8",
        "allow any protocol/0",
        "allow 10.0.0.0/+8",
    ] {
        assert!(text.parse::<EgressRule>().is_err(), "{text}");
    }
}
