//! Every reason, and its nearest neighbour.

use super::{FROM, TO, rules, verdict};
use crate::attack::cases;
use crate::packet::{Facts, Permissions, Reason, Rules, judge};

#[test]
fn each_case_has_its_reason_and_its_neighbour_none() {
    let rules = rules();
    for case in cases(&FROM, &TO) {
        assert_eq!(verdict(&case.frame, &rules), Err(case.reason), "{}: {}", case.reason, case.what);
        assert_eq!(verdict(&case.near, &rules), Ok(()), "{}: what is near {}", case.reason, case.what);
        assert!(case.near.len().abs_diff(case.frame.len()) <= 128, "{}: {}", case.reason, case.what);
    }
}

#[test]
fn each_reason_has_a_case() {
    let cases = cases(&FROM, &TO);
    for &reason in Reason::ALL {
        let has = cases.iter().any(|case| case.reason == reason);
        // Where its checksum is left is not in its bytes.
        assert_eq!(has, reason.is_of_frame() && reason != Reason::ChecksumPlace, "{reason}");
    }
}

#[test]
fn of_a_closed_port_every_frame_is_refused() {
    // Whatever else its rules are made to say.
    let closed = Rules::closed().with_ipv4(FROM.v4, 32).unwrap().permitting(Permissions::VLAN);
    assert!(closed.is_closed() && !rules().is_closed());
    let mut frames: Vec<_> = cases(&FROM, &TO).into_iter().flat_map(|case| [case.frame, case.near]).collect();
    // The one source that could be taken for no address at all.
    frames.extend([[0xFF; 64].to_vec(), [0; 64].to_vec()]);
    for frame in frames.iter().filter(|frame| frame.len() >= 14) {
        assert_eq!(verdict(frame, &closed), Err(Reason::Closed), "{frame:02x?}");
    }
}

#[test]
fn no_two_cases_are_the_same_frame() {
    let mut frames: Vec<_> = cases(&FROM, &TO).into_iter().map(|case| case.frame).collect();
    let count = frames.len();
    frames.sort();
    frames.dedup();
    assert_eq!(frames.len(), count);
}

#[test]
fn codes_and_names_are_each_ones_own() {
    assert!(Reason::ALL.is_sorted_by(|one, next| one.code() < next.code()), "in the order of the codes");
    for &reason in Reason::ALL {
        assert_eq!(Reason::from_code(reason.code()), Some(reason));
        assert_eq!(Reason::from_name(reason.name()), Some(reason));
        assert!(reason.description().ends_with('.'));
    }
    assert_eq!(Reason::from_code(u8::MAX), None);
    assert_eq!(Reason::from_name("nothing"), None);
}

#[test]
fn what_is_permitted_has_no_reason() {
    let permissions = [
        (Reason::VlanTag, Permissions::VLAN),
        (Reason::NdRouter, Permissions::ROUTER),
        (Reason::NdRedirect, Permissions::ROUTER),
        (Reason::IcmpRouter, Permissions::ROUTER),
        (Reason::IcmpRedirect, Permissions::ROUTER),
        (Reason::IcmpError, Permissions::ROUTER),
        (Reason::IcmpError, Permissions::ICMP_ERRORS),
        (Reason::MulticastRouter, Permissions::MULTICAST_ROUTER),
        (Reason::DhcpServer, Permissions::DHCP_SERVER),
        (Reason::Dhcpv6Server, Permissions::DHCP_SERVER),
        (Reason::DhcpClient, Permissions::DHCP_RELAY),
    ];
    for case in cases(&FROM, &TO) {
        for (_, permission) in permissions.iter().filter(|(reason, _)| *reason == case.reason) {
            let rules = rules().permitting(*permission);
            assert_eq!(verdict(&case.frame, &rules), Ok(()), "{}: {}", case.reason, case.what);
            assert_eq!(verdict(&case.near, &rules), Ok(()), "{}: {}", case.reason, case.what);
        }
    }
}

#[test]
fn no_permission_gives_another() {
    let all = [
        Permissions::VLAN,
        Permissions::ROUTER,
        Permissions::DHCP_SERVER,
        Permissions::DHCP_CLIENT,
        Permissions::MULTICAST_ROUTER,
        Permissions::ICMP_ERRORS,
        Permissions::DHCP_RELAY,
    ];
    let lifted = |permission| -> Vec<(Reason, &str)> {
        let rules = rules().permitting(permission);
        let is_lifted = |case: &crate::attack::Case| verdict(&case.frame, &rules) != Err(case.reason);
        cases(&FROM, &TO).into_iter().filter(is_lifted).map(|case| (case.reason, case.what)).collect()
    };
    let reasons = |permission| -> Vec<Reason> {
        let mut reasons: Vec<_> = lifted(permission).into_iter().map(|(reason, _)| reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    };
    let [vlan, router, server, client, multicast, errors, relay] = all.map(reasons);
    assert_eq!(vlan, [Reason::VlanTag]);
    let discovery = [Reason::NdRouter, Reason::NdRedirect];
    let icmp = [Reason::IcmpRouter, Reason::IcmpRedirect, Reason::IcmpError];
    assert_eq!(router, [&discovery[..], &icmp].concat());
    assert_eq!(errors, [Reason::IcmpError]);
    assert_eq!(server, [Reason::DhcpServer, Reason::Dhcpv6Server]);
    assert_eq!(client, []);
    assert_eq!(multicast, [Reason::MulticastRouter]);
    assert_eq!(relay, [Reason::DhcpServer, Reason::DhcpClient], "what a relay sends from a server's port");
    // What a server says stays a server's.
    let kept =
        lifted(Permissions::DHCP_RELAY).into_iter().filter(|(reason, _)| *reason == Reason::DhcpServer);
    assert_eq!(kept.collect::<Vec<_>>(), [(Reason::DhcpServer, "to a server, from a relay")]);
}

#[test]
fn a_tag_that_the_kernel_took_out_is_one() {
    let frame = &cases(&FROM, &TO)[0].near;
    let facts = Facts { has_tag: true, ..Facts::of(frame) };
    assert_eq!(judge(&frame[..], facts, &rules()), Err(Reason::VlanTag));
    assert_eq!(judge(&frame[..], facts, &rules().permitting(Permissions::VLAN)), Ok(()));
}

#[test]
fn three_tags_are_too_many() {
    let frame = &cases(&FROM, &TO)[0].near;
    let tags = |count: usize| [&frame[..12], &[0x81, 0, 0, 5].repeat(count), &frame[12..]].concat();
    let rules = rules().permitting(Permissions::VLAN);
    assert_eq!(verdict(&tags(2), &rules), Ok(()));
    assert_eq!(verdict(&tags(3), &rules), Err(Reason::EtherType));
}

#[test]
fn a_train_of_segments_may_have_no_length() {
    for (reason, near) in cases(&FROM, &TO).into_iter().map(|case| (case.reason, case.near)) {
        let (at, is_ip) = match near.get(12..14) {
            Some([8, 0]) => (16, true),
            Some([0x86, 0xDD]) => (18, near[20] == 6 || near[20] == 17),
            _ => (0, false),
        };
        if is_ip && reason == Reason::TcpFlags {
            let mut train = near.clone();
            let old = u16::from_be_bytes([train[at], train[at + 1]]);
            train[at..at + 2].fill(0);
            // The checksum is of the header with the length 0.
            let sum = u32::from(u16::from_be_bytes([train[24], train[25]])) + u32::from(old);
            let sum = (sum >> 16) + (sum & 0xFFFF);
            train[24..26].copy_from_slice(&(sum as u16).to_be_bytes());
            let facts = Facts { is_train: true, ..Facts::of(&train) };
            assert_eq!(judge(&train[..], facts, &rules()), Ok(()));
            assert_eq!(verdict(&train, &rules()), Err(Reason::Ipv4TotalLength));
        }
    }
}

#[test]
fn rules_end_with_an_error() {
    let mut rules = crate::packet::Rules::new(FROM.mac);
    for last in 0..4 {
        rules = rules.with_ipv4([10, 0, 0, last].into(), 32).unwrap();
        rules = rules.with_ether_type(0x88B5 + u16::from(last)).unwrap();
    }
    assert!(rules.with_ipv4([10, 0, 0, 9].into(), 32).is_err());
    assert!(rules.with_ether_type(0x9000).is_err());
    assert_eq!(rules.link_local().to_string(), "fe80::ff:fe00:1");
}
