//! Kinds of links: what we make equals what `ip` makes, and we read what `ip` shows.

use crate::{index, name};
use netns_core::link::{self, LinkKind, NewLink};
use netns_core::option::{OptionForm, Options};
use netns_core::{ErrorKind, RouteSocket};
use serde_json::Value;
use tests::{in_host, ip, ip_json, needs_kernel, needs_option, only, oracle};

/// Skips the test if the kernel has no links of this kind, on `v0`.
fn needs_kind(kind: &str, arguments: &str) {
    let command = format!("link add probe link v0 type {kind} {arguments}");
    let made = oracle("ip").args(command.split_whitespace()).output().unwrap();
    let refused = String::from_utf8(made.stderr).unwrap();
    needs_option(&format!("CONFIG_{}", kind.to_uppercase()), &format!("links of kind {kind}"), || {
        assert!(made.status.success() || refused.contains("Unknown device type"), "{command}: {refused}");
        made.status.success()
    });
    ip("link delete probe");
}

/// What `ip` shows about the link's kind, without what changes from one link to the next.
fn info(link: &str) -> Value {
    let shown = only(&ip_json(&format!("link show {link}")));
    let mut info = shown["linkinfo"].clone();
    if let Some(data) = info["info_data"].as_object_mut() {
        // It belongs to the link below, and so to all macvlans on it.
        data.remove("usedbcqueuelen");
    }
    Value::from(vec![info, shown["link"].clone()])
}

/// Makes a link with these options, by `ip`'s words.
fn make(socket: &mut RouteSocket, link: &str, kind: &str, on: Option<u32>, options: &str) -> LinkKind {
    let mut kind = LinkKind::named(kind).unwrap();
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let flag = |row: &netns_core::option::OptionRow| {
            matches!(row.form, OptionForm::Flag | OptionForm::QuietFlag)
        };
        let rows = kind.rows();
        let (word, value) = match word.strip_prefix("no") {
            Some(word) if rows.iter().any(|row| row.is_called(word) && flag(row)) => (word, "off"),
            _ if rows.iter().any(|row| row.is_called(word) && flag(row)) => (word, "on"),
            _ => (word, words.next().unwrap()),
        };
        let set = (0..rows.len()).filter(|&row| rows[row].is_called(word)).any(|row| {
            let value = if rows[row].form == OptionForm::Link {
                netns_core::option::OptionValue::Number(index(socket, value).into())
            } else {
                match rows[row].parse(value) {
                    Some(value) => value,
                    None => return false,
                }
            };
            kind.set(row, value)
        });
        assert!(set, "{word} {value}");
    }
    link::create(socket, &NewLink { link: on, ..NewLink::new(name(link), kind) }).unwrap();
    kind
}

/// Makes each of these with ours and with `ip`: both are the same, and we read back what we gave.
fn same(kind: &str, probe: &str, all: &[&str]) {
    in_host(|host| {
        ip("link add v0 type veth peer name v1");
        let mut socket = host.socket();
        needs_kind(kind, probe);
        let on = LinkKind::named(kind).unwrap().needs_link().then(|| index(&mut socket, "v0"));
        for options in all {
            let given = make(&mut socket, "x0", kind, on, options);
            let ours = info("x0");
            let made = link::get(&mut socket, name("x0")).unwrap();
            link::delete(&mut socket, name("x0")).unwrap();
            let below = if on.is_some() { "link v0" } else { "" };
            ip(&format!("link add x0 {below} type {kind} {options}"));
            assert_eq!(ours, info("x0"), "{kind} {options}");
            let theirs = link::get(&mut socket, name("x0")).unwrap();
            ip("link delete x0");
            assert_eq!(made.details, theirs.details, "{kind} {options}");
            assert_eq!((made.kind.as_deref(), made.peer), (Some(kind), on));
            let read = made.details.unwrap();
            for (row, option) in given.rows().iter().enumerate() {
                let value = given.get(row);
                assert!(value.is_none() || read.get(row) == value, "{kind} {options}: {}", option.name);
            }
        }
    });
}

#[test]
fn macvlans() {
    let all = ["", "mode private", "mode vepa", "mode bridge", "mode source"];
    same("macvlan", "", &all);
    same("macvlan", "", &["mode passthru"]);
}

#[test]
fn the_queue_of_a_macvlans_link() {
    in_host(|_| needs_kernel((5, 11), "a macvlan's bcqueuelen"));
    same("macvlan", "", &["mode bridge bcqueuelen 2000"]);
}

#[test]
fn vxlans() {
    same(
        "vxlan",
        "id 1 dstport 4789",
        &[
            "id 5 remote 10.0.0.2 local 10.0.0.1 dev v0 dstport 4789 ttl 7",
            "id 16777215 group 239.1.1.1 dev v0 dstport 8472 nolearning ageing 60",
            "id 0 remote fd00::2 local fd00::1 dstport 4789 proxy rsc l2miss l3miss",
            "id 7 group ff05::1 dev v0 dstport 4789",
        ],
    );
}

#[test]
#[ignore = "needs dummy links, as distributions' kernels have: cargo xtask vm-test --full"]
fn dummies() {
    same("dummy", "", &[""]);
}

#[test]
#[ignore = "needs VLAN links, as distributions' kernels have: cargo xtask vm-test --full"]
fn vlans() {
    same("vlan", "id 1", &["id 10", "id 4094 protocol 802.1ad", "id 1 protocol 802.1Q"]);
}

#[test]
fn a_macvlans_mode_can_be_changed_but_not_its_kind() {
    in_host(|host| {
        ip("link add v0 type veth peer name v1");
        let mut socket = host.socket();
        needs_kind("macvlan", "");
        let on = index(&mut socket, "v0");
        make(&mut socket, "m0", "macvlan", Some(on), "mode private");
        let mut mode = LinkKind::named("macvlan").unwrap();
        assert!(mode.set(0, mode.rows()[0].parse("vepa").unwrap()));
        link::set_options(&mut socket, name("m0"), &mode).unwrap();
        assert_eq!(info("m0")[0]["info_data"]["mode"], "vepa");
        let bridge = LinkKind::named("bridge").unwrap();
        let error = link::set_options(&mut socket, name("m0"), &bridge).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    });
}

#[test]
fn a_refused_link_is_reported_with_the_attribute() {
    in_host(|host| {
        let mut socket = host.socket();
        let kind = LinkKind::named("macvlan").unwrap();
        let error = link::create(&mut socket, &NewLink::new(name("m0"), kind)).unwrap_err();
        assert_eq!(error.operation(), netns_core::Operation::CreateLink("macvlan"));
        assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported), "{error}");
        let wide = make_vxlan(&mut socket);
        assert!(wide.to_string().contains("IFLA_VXLAN_ID"), "{wide}");
    });
}

/// A vxlan whose id has 25 bits.
fn make_vxlan(socket: &mut RouteSocket) -> netns_core::Error {
    let options = link::VxlanOptions { id: Some(1 << 24), ..link::VxlanOptions::NONE };
    link::create(socket, &NewLink::new(name("x0"), LinkKind::Vxlan(options))).unwrap_err()
}
