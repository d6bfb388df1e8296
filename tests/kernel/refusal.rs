//! The kernel's refusals in exact words: operation, object, errno, its own explanation, the attribute that it points
//! at.

use crate::{index, name};
use netns_core::bridge::{self, Bridge};
use netns_core::link;
use netns_core::link::kind::IFLA_BR_STP_STATE;
use netns_core::veth::{self, Veth};
use netns_core::wire::{Batch, IfAddrMsg, IfInfoMsg, VETH_INFO_PEER};
use netns_core::{Cause, ErrorKind, MacAddress, Operation, RouteSocket};
use tests::{in_host, ip, ipv4_words};

const CREATE: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL;

#[test]
fn a_taken_name() {
    in_host(|host| {
        ip("link add v0 type bridge");
        let mut socket = host.socket();
        let error = veth::create(&mut socket, &Veth::new(name("v0"), name("v1"))).unwrap_err();
        assert_eq!(error.to_string(), "create veth v0: File exists (os error 17)");
        assert_eq!((error.operation(), error.object()), (Operation::CreateLink("veth"), "v0"));
        assert_eq!(error.kind(), ErrorKind::Exists);
        let error = veth::create(&mut socket, &Veth::new(name("v1"), name("v0"))).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EEXIST));
        ip("link delete v0");
        host.assert_clean();
    });
}

#[test]
fn a_missing_link() {
    in_host(|host| {
        let mut socket = host.socket();
        let error = link::get(&mut socket, name("none")).unwrap_err();
        assert_eq!(error.to_string(), "get link none: No such device (os error 19)");
        let error = link::get(&mut socket, 99).unwrap_err();
        assert_eq!(error.to_string(), "get link interface 99: No such device (os error 19)");
        let error = link::set_up(&mut socket, name("none")).unwrap_err();
        assert_eq!(error.to_string(), "set link none: No such device (os error 19)");
        let error = link::delete(&mut socket, 1).unwrap_err();
        assert_eq!(error.to_string(), "delete link interface 1: Operation not supported (os error 95)");
    });
}

#[test]
fn one_port_more_than_a_bridge_takes() {
    in_host(|host| {
        let mut socket = host.socket();
        bridge::create(&mut socket, &Bridge::new(name("br0"), MacAddress::local(1))).unwrap();
        let bridge = index(&mut socket, "br0");
        let port = |number: u32| {
            let (near, far) = (name(&format!("p{number}")), name(&format!("q{number}")));
            Veth { bridge: Some(bridge), group: 9, index: Some(10_000 + number), ..Veth::new(near, far) }
        };
        for number in 0..bridge::MAX_PORTS {
            veth::create(&mut socket, &port(number)).unwrap();
        }
        assert_eq!(link::list_ports(&mut socket, bridge).unwrap().len(), 1023);
        let error = veth::create(&mut socket, &port(bridge::MAX_PORTS)).unwrap_err();
        assert_eq!(error.to_string(), "create veth p1023: Exchange full (os error 54)");
        assert_eq!(
            link::get(&mut socket, name("p1023")).unwrap_err().errno(),
            Some(libc::ENODEV),
            "nothing is left"
        );
        link::delete_group(&mut socket, 9).unwrap();
        assert_eq!(link::list(&mut socket).unwrap().len(), 2);
    });
}

/// The kernel's answer to a request.
fn refused(socket: &mut RouteSocket, batch: &mut Batch) -> String {
    let error = socket.execute(batch).unwrap_err();
    assert!(matches!(error.cause(), Cause::Refused { .. }), "{error}");
    error.to_string()
}

#[test]
fn an_attribute_of_the_wrong_length_is_named_by_its_path() {
    in_host(|host| {
        let mut socket = host.socket();
        let header = IfInfoMsg::default();
        let mut batch = Batch::new();
        batch.message(libc::RTM_NEWLINK, CREATE, &header, |attributes| {
            attributes.text(libc::IFLA_IFNAME, "br0");
            attributes.value(libc::IFLA_MTU, 7_u8);
            attributes.nest(libc::IFLA_LINKINFO, |info| info.text(libc::IFLA_INFO_KIND, "bridge"));
        });
        assert_eq!(
            refused(&mut socket, &mut batch),
            "create bridge br0: Numerical result out of range (os error 34): \
             Attribute failed policy validation (at IFLA_MTU)"
        );

        batch.clear();
        batch.message(libc::RTM_NEWLINK, CREATE, &header, |attributes| {
            attributes.text(libc::IFLA_IFNAME, "br0");
            attributes.nest(libc::IFLA_LINKINFO, |info| {
                info.text(libc::IFLA_INFO_KIND, "bridge");
                info.nest(libc::IFLA_INFO_DATA, |data| data.value(IFLA_BR_STP_STATE, 1_u8));
            });
        });
        assert_eq!(
            refused(&mut socket, &mut batch),
            "create bridge br0: Numerical result out of range (os error 34): \
             Attribute failed policy validation (at IFLA_LINKINFO/IFLA_INFO_DATA/IFLA_BR_STP_STATE)"
        );

        batch.clear();
        batch.message(libc::RTM_NEWLINK, CREATE, &header, |attributes| {
            attributes.text(libc::IFLA_IFNAME, "v0");
            attributes.nest(libc::IFLA_LINKINFO, |info| {
                info.text(libc::IFLA_INFO_KIND, "veth");
                info.nest(libc::IFLA_INFO_DATA, |data| {
                    data.nest_after(VETH_INFO_PEER, &header, |peer| {
                        peer.text(libc::IFLA_IFNAME, "v1");
                        peer.value(libc::IFLA_MTU, 7_u8);
                    });
                });
            });
        });
        assert_eq!(
            refused(&mut socket, &mut batch),
            "create veth v0: Numerical result out of range (os error 34): \
             Attribute failed policy validation (at IFLA_LINKINFO/IFLA_INFO_DATA/VETH_INFO_PEER/IFLA_MTU)"
        );
        host.assert_clean();
    });
}

#[test]
fn a_value_out_of_range_is_named_with_its_attribute_and_the_kernels_words() {
    in_host(|host| {
        let mut socket = host.socket();
        let too_large = Bridge { mtu: Some(70_000), ..Bridge::new(name("br0"), MacAddress::local(1)) };
        let error = bridge::create(&mut socket, &too_large).unwrap_err();
        assert_eq!(
            error.to_string(),
            "create bridge br0: Invalid argument (os error 22): mtu greater than device maximum"
        );
        let queues = Veth { queues: Some(5000), ..Veth::new(name("v0"), name("v1")) };
        let error = veth::create(&mut socket, &queues).unwrap_err();
        assert_eq!(
            error.to_string(),
            "create veth v0: Invalid argument (os error 22): Invalid number of transmit queues"
        );
        let multicast = Bridge::new(name("br0"), "01:00:00:00:00:01".parse().unwrap());
        let error = bridge::create(&mut socket, &multicast).unwrap_err();
        assert_eq!(error.to_string(), "create bridge br0: Cannot assign requested address (os error 99)");
        host.assert_clean();
    });
}

#[test]
fn an_unknown_kind_of_link_is_named() {
    in_host(|host| {
        let mut batch = Batch::new();
        batch.message(libc::RTM_NEWLINK, CREATE, &IfInfoMsg::default(), |attributes| {
            attributes.text(libc::IFLA_IFNAME, "x0");
            attributes.nest(libc::IFLA_LINKINFO, |info| info.text(libc::IFLA_INFO_KIND, "nosuchkind"));
        });
        assert_eq!(
            refused(&mut host.socket(), &mut batch),
            "create link x0 of kind nosuchkind: Operation not supported (os error 95): Unknown device type"
        );
    });
}

#[test]
fn an_address_that_is_missing_or_of_the_wrong_length_is_named() {
    in_host(|host| {
        let mut socket = host.socket();
        let header = IfAddrMsg { family: libc::AF_INET as u8, prefix: 24, index: 1, ..IfAddrMsg::default() };
        let mut batch = Batch::new();
        batch.message(libc::RTM_NEWADDR, CREATE, &header, |_| {});
        assert_eq!(
            refused(&mut socket, &mut batch),
            "add address interface 1: Invalid argument (os error 22)".to_owned()
                + &ipv4_words("ipv4: Local address is not supplied")
        );
        batch.clear();
        batch.message(libc::RTM_NEWADDR, CREATE, &header, |attributes| {
            attributes.bytes(libc::IFA_LOCAL, &[10, 1, 1]);
        });
        assert_eq!(
            refused(&mut socket, &mut batch),
            "add address interface 1: Numerical result out of range (os error 34): \
             Attribute failed policy validation (at IFA_LOCAL)"
        );
    });
}

#[test]
fn errors_become_std_errors_with_kind_and_words() {
    in_host(|host| {
        let error = link::get(&mut host.socket(), name("none")).unwrap_err();
        let words = error.to_string();
        let error = std::io::Error::from(error);
        assert_eq!(error.to_string(), words);
        let error = netns_core::Namespace::open("none").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::NotFound);
    });
}
