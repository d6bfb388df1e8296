//! TAPs and TUNs: made by ioctl, as `ip tuntap` makes them, and described by rtnetlink.

use crate::name;
use netns_core::link::{self, LinkKind, NewLink, TunOptions, TunType};
use netns_core::tap::{Tap, TapMode, TapOptions};
use netns_core::{ErrorKind, Namespace, Operation};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use tests::{in_host, ip, ip_json, needs_tun, only, until};

fn options(link: &str) -> TapOptions {
    TapOptions::new(name(link))
}

/// What `ip` says of one.
fn by_ip(link: &str) -> Value {
    only(&ip_json(&format!("link show {link}")))["linkinfo"].clone()
}

#[test]
fn taps_with_every_option_equal_ips_and_are_read_back() {
    in_host(|host| {
        needs_tun();
        for (ours, words) in [
            (options("t0"), "mode tap"),
            (TapOptions { mode: TapMode::Tun, ..options("t0") }, "mode tun"),
            (TapOptions { vnet_hdr: true, ..options("t0") }, "mode tap vnet_hdr"),
            (TapOptions { multi_queue: true, packet_info: true, ..options("t0") }, "mode tap multi_queue pi"),
        ] {
            let tap = Tap::create(&ours).unwrap();
            tap.set_persistent(true).unwrap();
            tap.set_owner(1).unwrap();
            tap.set_group(2).unwrap();
            drop(tap);
            let made = by_ip("t0");
            let read = link::get(&mut host.socket(), name("t0")).unwrap();
            link::delete(&mut host.socket(), name("t0")).unwrap();
            ip(&format!("tuntap add dev t0 {words} user 1 group 2"));
            assert_eq!(made, by_ip("t0"), "{words}");
            assert_eq!(read.details, link::get(&mut host.socket(), name("t0")).unwrap().details);
            let Some(LinkKind::Tun(TunOptions {
                owner, owner_group, tun_type, persist, multi_queue, ..
            })) = read.details
            else {
                panic!("{read:?}");
            };
            assert_eq!((owner, owner_group, persist), (Some(1), Some(2), Some(true)));
            assert_eq!(multi_queue, Some(ours.multi_queue));
            let is_tap = ours.mode == TapMode::Tap;
            assert_eq!(tun_type, Some(if is_tap { TunType::TAP } else { TunType::TUN }));
            ip("link delete t0");
        }
    });
}

#[test]
fn a_tap_goes_with_its_last_descriptor_unless_it_is_persistent() {
    in_host(|host| {
        needs_tun();
        let mut socket = host.socket();
        let mut gone = host.socket();
        let mut is_there = || link::get(&mut socket, name("t0")).is_ok();
        // Until another test's child has called exec, it has every descriptor of this process.
        let mut is_gone = |link: &str| link::get(&mut gone, name(link)).is_err().then_some(());
        drop(Tap::create(&options("t0")).unwrap());
        until("the link goes", || is_gone("t0"));
        let tap = Tap::create(&options("t0")).unwrap();
        tap.set_persistent(true).unwrap();
        drop(tap);
        assert!(is_there());
        let again = Tap::attach(&options("t0")).unwrap();
        again.set_persistent(false).unwrap();
        drop(again);
        until("the link goes", || is_gone("t0"));
    });
}

#[test]
fn only_an_attach_gets_an_existing_tap_and_nothing_adopts_it() {
    in_host(|host| {
        needs_tun();
        let error = Tap::attach(&options("t0")).unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::NotFound, Operation::GetLink), "{error}");
        let tap = Tap::create(&options("t0")).unwrap();
        let kind = |result: netns_core::Result<Tap>| result.unwrap_err().kind();
        assert_eq!(kind(Tap::create(&options("t0"))), ErrorKind::Busy, "never adopted");
        assert_eq!(kind(Tap::attach(&options("t0"))), ErrorKind::Busy, "one queue, and it is ours");
        assert_eq!(
            kind(Tap::attach(&TapOptions { mode: TapMode::Tun, ..options("t0") })),
            ErrorKind::Invalid
        );
        drop(tap);
        let many = TapOptions { multi_queue: true, ..options("t1") };
        let (one, two) = (Tap::create(&many).unwrap(), Tap::attach(&many).unwrap());
        let details = link::get(&mut host.socket(), name("t1")).unwrap().details;
        assert!(matches!(details, Some(LinkKind::Tun(TunOptions { numqueues: Some(2), .. }))), "{details:?}");
        drop((one, two));
        ip("link add v0 type veth peer name v1");
        assert!(matches!(kind(Tap::create(&options("v0"))), ErrorKind::Busy | ErrorKind::Invalid));
    });
}

#[test]
fn a_tap_is_made_in_another_namespace_and_carries_frames() {
    in_host(|host| {
        needs_tun();
        let inside = Namespace::anonymous().unwrap();
        let tap = Tap::create_in(&inside, &options("t0")).unwrap();
        assert_eq!(link::get(&mut host.socket(), name("t0")).unwrap_err().kind(), ErrorKind::NotFound);
        let mut socket = netns_core::RouteSocket::open_in(&inside).unwrap();
        link::set_up(&mut socket, name("t0")).unwrap();
        let before = link::stats(&mut socket, name("t0")).unwrap();
        let mut queue = File::from(OwnedFd::from(tap));
        // A broadcast from nobody in particular, of a protocol for experiments (RFC 5342).
        let mut frame = [0xff; 64];
        frame[6..14].copy_from_slice(&[2, 0, 0, 0, 0, 9, 0x88, 0xb5]);
        queue.write_all(&frame).unwrap();
        let after = link::stats(&mut socket, name("t0")).unwrap();
        assert_eq!(after.rx_packets - before.rx_packets, 1);
        // IPv6 sends something unasked when a link comes up.
        let mut said = [0; 2048];
        assert!(queue.read(&mut said).unwrap() > 14);
    });
}

#[test]
fn rtnetlink_refuses_to_make_a_tap() {
    in_host(|host| {
        needs_tun();
        let kind = LinkKind::Tun(TunOptions::NONE);
        let error = link::create(&mut host.socket(), &NewLink::new(name("t0"), kind)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("via rtnetlink is not supported"), "{error}");
    });
}
