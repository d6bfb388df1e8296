//! What is written can be read.

use super::{lines, read};
use crate::IfName;
use crate::NamespaceId;
use crate::network::plan::{Plan, WINDOW};
use crate::network::{NetworkOptions, RecordPlace};
use crate::record::NamespaceIdentity;
use std::path::Path;
use std::time::Duration;

fn options() -> NetworkOptions {
    NetworkOptions {
        subnet_v4: Some("10.99.0.0/16".parse().unwrap()),
        maximum: 1000,
        per_bridge: 100,
        mtu: Some(9000),
        isolated: true,
        default_route: false,
        masquerade: true,
        sysctls: vec![("net.ipv4.ping_group_range".to_owned(), "0 2147483647".to_owned())],
        publish_on_loopback: true,
        open_forward_chains: true,
        connection_limit: Some(100),
        resolvers: vec!["192.0.2.53".parse().unwrap(), "2001:db8::53".parse().unwrap()],
        uplinks: Some(vec![IfName::new("up0").unwrap(), IfName::new("up1").unwrap()]),
        redirects: vec!["443:8443".parse().unwrap(), "53:5353/udp".parse().unwrap()],
        patience: Duration::from_millis(1234),
        ..NetworkOptions::new(IfName::new("sb").unwrap())
    }
}

const NAMESPACE: NamespaceIdentity =
    NamespaceIdentity { cookie: Some(7), id: NamespaceId { device: 4, inode: 5 } };

#[test]
fn a_network_is_read_as_it_was_written() {
    let options = options();
    let plan = Plan::new(options.name, options.subnet_v4, None, 100, 1000, 1 << 30, 0x0abc_def0).unwrap();
    let network = read(Path::new("/folder"), &lines(&plan, &options, &NAMESPACE)).unwrap();
    assert!(network.namespace.is(&NAMESPACE) && !network.has_program);
    let (read, written) = (network.plan, plan);
    assert_eq!((read.window, read.salt, read.capacity), (written.window, written.salt, 1000));
    assert_eq!((read.mac(3), read.address_v4(3)), (written.mac(3), written.address_v4(3)));
    let expected = NetworkOptions { record: RecordPlace::Folder("/folder".into()), ..options };
    assert_eq!(format!("{:?}", network.options), format!("{expected:?}"));
}

#[test]
fn half_a_record_is_none() {
    let options = options();
    let plan = Plan::new(options.name, options.subnet_v4, None, 100, 1000, 1 << 30, 1).unwrap();
    let whole = lines(&plan, &options, &NAMESPACE);
    for without in 0..whole.len() {
        let mut some = whole.clone();
        if ["sysctl", "redirect", "uplinks"].contains(&some.remove(without).key()) {
            continue;
        }
        assert!(read(Path::new("/folder"), &some).is_none(), "without line {without}");
    }
}

#[test]
fn a_window_that_no_network_has_is_no_record() {
    let options = options();
    for (window, is_one) in [
        (1 << 30, true),
        ((1 << 31) - WINDOW, true),
        ((1 << 30) + 1, false),
        (1 << 29, false),
        (1 << 31, false),
        (0xffff << 16, false),
        (u32::MAX, false),
    ] {
        let plan = Plan::new(options.name, options.subnet_v4, None, 100, 1000, window, 1).unwrap();
        let read = read(Path::new("/folder"), &lines(&plan, &options, &NAMESPACE));
        assert_eq!(read.is_some(), is_one, "{window:#x}");
    }
}
