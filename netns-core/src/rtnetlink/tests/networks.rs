//! Addresses, routes, neighbours and forwarding entries.

use super::{golden, ip, mac, net};
use crate::address::{self, Address};
use crate::neighbour::{self, FdbEntry, Neighbour};
use crate::route::{self, Route};

#[test]
fn addresses() {
    let add = |index, text| move |batch: &mut _| address::encode_add(batch, &Address::new(index, net(text)));
    let why = "ip writes the broadcast address before the prefix's; the kernel looks attributes up by number";
    golden!("address-v4", add(2, "10.1.1.1/24"), &[("order IFA_LOCAL IFA_ADDRESS IFA_BROADCAST", why)]);
    golden!("address-v4-32", add(2, "10.2.2.2/32"), &[]);
    golden!(
        "address-v4-loopback",
        add(1, "127.0.0.9/8"),
        &[("order IFA_LOCAL IFA_ADDRESS IFA_BROADCAST", why)]
    );
    golden!("address-v6", add(2, "fd00:1::1/64"), &[]);
    golden!("address-delete", |batch| address::encode_delete(batch, 2, net("10.1.1.9/24")), &[]);
    golden!("address-list", address::encode_list, &[]);
}

#[test]
fn routes() {
    let via = |gateway| Route::default_via(ip(gateway));
    let to = |destination, gateway: Option<&str>, index| Route::new(net(destination), gateway.map(ip), index);
    let add = |route: Route| move |batch: &mut _| route::encode_add(batch, &route);
    golden!("route-default-v4", add(via("10.1.1.254")), &[]);
    golden!("route-default-v6", add(via("fd00:1::fe")), &[]);
    golden!("route-via-v4", add(to("10.2.0.0/16", Some("10.1.1.254"), Some(2))), &[]);
    golden!("route-link-v4", add(to("10.3.3.3/32", None, Some(2))), &[]);
    golden!("route-link-v6", add(to("fd00:2::/48", None, Some(2))), &[]);
    let table = Route { metric: Some(77), table: 70_000, ..to("10.2.0.0/16", Some("10.1.1.254"), None) };
    golden!("route-table", add(table), &[]);
    let gone = to("10.9.0.0/16", Some("10.1.1.254"), None);
    golden!("route-delete-v4", |batch| route::encode_delete(batch, &gone), &[]);
    let why = "ip was asked for one family; ours is for both";
    golden!(
        "route-list",
        route::encode_list,
        &[
            ("- header 02 00 00 00 00 00 00 00 00 00 00 00", why),
            ("+ header 00 00 00 00 00 00 00 00 00 00 00 00", why),
        ]
    );
}

#[test]
fn neighbours() {
    let set = |address| {
        let neighbour = Neighbour::permanent(2, ip(address), mac("02:00:00:00:00:02"));
        move |batch: &mut _| neighbour::encode_set(batch, &neighbour)
    };
    golden!("neighbour-v4", set("10.1.1.2"), &[]);
    golden!("neighbour-v6", set("fd00:1::2"), &[]);
    let why = "ip sends the state that it would add with; the kernel does not read it when it deletes";
    golden!(
        "neighbour-delete",
        |batch| neighbour::encode_delete(batch, 2, ip("10.1.1.8")),
        &[
            ("- header 02 00 00 00 02 00 00 00 80 00 00 00", why),
            ("+ header 02 00 00 00 02 00 00 00 00 00 00 00", why),
        ]
    );
    golden!("neighbour-list", neighbour::encode_list, &[]);
}

#[test]
fn forwarding_entries() {
    let entry = FdbEntry::fixed(6, mac("02:00:00:00:aa:aa"));
    let why = "bridge adds NUD_REACHABLE to NUD_NOARP; the kernel makes a static entry of either that has NUD_NOARP";
    golden!(
        "fdb",
        |batch| neighbour::encode_set_fdb(batch, &entry),
        &[
            ("- header 07 00 00 00 06 00 00 00 42 00 04 00", why),
            ("+ header 07 00 00 00 06 00 00 00 40 00 04 00", why),
        ]
    );
    let why = "bridge sends the state that it would add with; the kernel does not read it when it deletes";
    golden!(
        "fdb-delete",
        |batch| neighbour::encode_delete_fdb(batch, 6, mac("02:00:00:00:bb:bb")),
        &[
            ("- header 07 00 00 00 06 00 00 00 c0 00 04 00", why),
            ("+ header 07 00 00 00 06 00 00 00 00 00 04 00", why),
        ]
    );
    golden!("fdb-list", |batch| neighbour::encode_list_fdb(batch, 4), &[]);
}
