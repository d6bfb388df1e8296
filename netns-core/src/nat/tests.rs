//! What makes no sense is refused before the kernel is asked, and keys are read as they were written.

use super::key::{self, PortMap};
use super::{NatOptions, PortProtocol, Publication, Published, Redirect};
use crate::MacAddress;
use crate::nftables::element::ElementInfo;

fn to(text: &str) -> std::net::SocketAddr {
    text.parse().unwrap()
}

#[test]
fn publications_that_make_no_sense_are_refused() {
    let fine = Publication::new(PortProtocol::Tcp, 8080, to("10.99.0.2:80"));
    let six = Publication::new(PortProtocol::Udp, 8080, to("[fd99::2]:80"));
    for good in [fine, six, Publication { count: 57456, ..fine }] {
        good.check().unwrap();
    }
    let address = |text: &str| Some(text.parse().unwrap());
    for (bad, why) in [
        (Publication { port: 0, ..fine }, "a port is a number from 1 to 65535"),
        (Publication { count: 0, ..fine }, "a port is a number from 1 to 65535"),
        (Publication { to: to("10.99.0.2:0"), ..fine }, "a port is a number from 1 to 65535"),
        (Publication { count: 57457, ..fine }, "the range goes past port 65535"),
        (Publication { count: 2, to: to("10.99.0.2:65535"), ..fine }, "the range goes past port 65535"),
        (Publication { address: address("::2"), ..fine }, "different families"),
        (Publication { address: address("::1"), ..six }, "[::1]"),
        (Publication { address: address("0.0.0.0"), ..fine }, "leaving the address out"),
    ] {
        let error = bad.check().unwrap_err().to_string();
        assert!(error.contains(why), "{error} does not say {why}");
    }
    assert_eq!(fine.to_string(), "tcp *:8080 -> 10.99.0.2:80");
    let range = Publication { count: 3, address: address("fd00::1"), ..six };
    assert_eq!(range.to_string(), "udp [fd00::1]:8080-8082 -> [fd99::2]:80");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let subnet = || vec!["10.99.0.0/24".parse().unwrap()];
    NatOptions::new(1, MacAddress([2, 0, 0, 0, 0, 1]), subnet()).check().unwrap();
    NatOptions::new(1, MacAddress([2, 0, 0, 0, 0, 1]), Vec::new()).check().unwrap_err();
    let with = |resolvers: &[&str]| NatOptions {
        resolvers: resolvers.iter().map(|text| text.parse().unwrap()).collect(),
        ..NatOptions::new(1, MacAddress([2, 0, 0, 0, 0, 1]), subnet())
    };
    with(&["192.0.2.1", "fd00::1"]).check().unwrap();
    with(&["192.0.2.1", "192.0.2.2"]).check().unwrap_err();
    with(&["127.0.0.53"]).check().unwrap_err();
    let redirected = |redirects: &[&str], resolvers: &[&str]| NatOptions {
        redirects: redirects.iter().map(|text| text.parse().unwrap()).collect(),
        ..with(resolvers)
    };
    redirected(&["443:8443", "443:8443/udp", "80:8443"], &["192.0.2.1"]).check().unwrap();
    redirected(&["53:5353/sctp"], &["192.0.2.1"]).check().unwrap();
    for (redirects, resolvers, why) in [
        (&["443:8443", "443:8444/tcp"][..], &[][..], "443:8444/tcp: the port is redirected already"),
        (&["53:5353/udp"], &["192.0.2.1"], "53:5353/udp: questions for names go to a resolver already"),
    ] {
        let error = redirected(redirects, resolvers).check().unwrap_err().to_string();
        assert!(error.contains(why), "{error} does not say {why}");
    }
    for wrong in ["443", "443:", "0:8443", "443:0", "443:65536", "443:8443/icmp", "443:8443:1"] {
        let error = wrong.parse::<Redirect>().unwrap_err().to_string();
        assert!(error.contains("such as \"443:8443\""), "{error}");
    }
}

#[test]
fn an_element_is_read_as_it_was_written() {
    for address in [None, Some("192.0.2.1".parse().unwrap())] {
        for protocol in [PortProtocol::Tcp, PortProtocol::Udp, PortProtocol::Sctp] {
            let publication = Publication { address, ..Publication::new(protocol, 8080, to("10.99.0.2:80")) };
            let element = ElementInfo {
                key: key::key(&publication),
                data: Some(key::data(&publication)),
                comment: Some("me".to_owned()),
                counter: None,
                timeout: None,
            };
            let read = PortMap::of(&publication).read(&element).unwrap();
            assert_eq!(read, Published { publication, owner: "me".to_owned() });
            for length in 0..element.key.len() {
                let cut = ElementInfo { key: element.key[..length].to_vec(), ..element.clone() };
                assert_eq!(PortMap::of(&publication).read(&cut), None);
            }
        }
    }
}
