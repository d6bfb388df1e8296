use super::{FIRST_PORT, MAX_BRIDGES, Plan, WINDOW};
use std::collections::HashSet;

fn plan(v4: Option<&str>, v6: Option<&str>, per_bridge: u32) -> crate::Result<Plan> {
    let net = |text: &str| text.parse().unwrap();
    Plan::new("sandboxes".parse()?, v4.map(net), v6.map(net), per_bridge, u32::MAX, 5 * WINDOW, 0x1234)
}

#[test]
fn the_first_address_is_the_hosts_and_the_others_are_the_sandboxes() {
    let plan = plan(Some("10.1.0.0/16"), Some("fd00::/64"), 256).unwrap();
    assert_eq!(plan.gateways().map(|net| net.to_string()).collect::<Vec<_>>(), ["10.1.0.1/16", "fd00::1/64"]);
    let of = |number| plan.addresses(number).map(|net| net.to_string()).collect::<Vec<_>>();
    assert_eq!(of(0), ["10.1.0.2/16", "fd00::2/64"]);
    assert_eq!(of(300), ["10.1.1.46/16", "fd00::12e/64"]);
    assert_eq!(plan.mac(0).to_string(), "4a:34:00:14:00:02");
}

#[test]
fn the_subnet_and_the_indexes_limit_how_many_there_are() {
    assert_eq!(plan(Some("10.1.0.0/24"), None, 256).unwrap().capacity, 253);
    assert_eq!(plan(Some("10.1.0.0/30"), None, 256).unwrap().capacity, 1);
    assert_eq!(plan(None, Some("fd00::/64"), 256).unwrap().capacity, WINDOW - FIRST_PORT);
    assert_eq!(plan(None, Some("fd00::/64"), 2).unwrap().capacity, 2 * MAX_BRIDGES);
    assert!(plan(Some("10.1.0.0/31"), None, 256).is_err());
}

#[test]
fn no_two_links_of_a_network_share_an_index_a_name_or_a_mac_address() {
    let plan = plan(Some("10.0.0.0/8"), None, 256).unwrap();
    let (mut indexes, mut names, mut macs) = (HashSet::new(), HashSet::new(), HashSet::new());
    assert!(indexes.insert(plan.root()) && indexes.insert(plan.responder()) && macs.insert(plan.host_mac()));
    for shard in 1..MAX_BRIDGES {
        let leaf = plan.leaf(shard);
        assert!([leaf.bridge, leaf.down, leaf.up].into_iter().all(|index| indexes.insert(index)));
        assert!(macs.insert(plan.leaf_mac(shard)) && macs.insert(plan.trunk_mac(shard)));
    }
    for number in 0..plan.capacity {
        assert!(indexes.insert(plan.port(number)) && macs.insert(plan.mac(number)));
        assert!(macs.insert(plan.port_mac(number)));
        assert!(names.insert(plan.port_name(number)));
        assert_eq!(plan.number(plan.port(number)), Some(number));
        assert!(plan.numbers_of(plan.shard(number)).contains(&number));
    }
    assert!(indexes.iter().all(|index| index / WINDOW == 5));
    assert_eq!(plan.number(plan.root()), None);
}

#[test]
fn networks_of_different_namespaces_have_different_mac_addresses() {
    let macs = |salt| {
        let windows = (1 << 14)..(1 << 14) + 50;
        windows.map(move |window| {
            let net = "10.0.0.0/8".parse().unwrap();
            let name = "sandboxes".parse().unwrap();
            Plan::new(name, Some(net), None, 256, u32::MAX, window * WINDOW, salt).unwrap().mac(0)
        })
    };
    // Of the same windows.
    let all: HashSet<_> = (0..200).flat_map(macs).collect();
    assert_eq!(all.len(), 200 * 50);
    assert!(all.iter().all(|mac| mac.0[0] & 3 == 2));
}

#[test]
fn a_plan_that_cannot_be_is_refused_in_words() {
    let error = |v4, v6, per| plan(v4, v6, per).unwrap_err().to_string();
    assert!(error(None, None, 256).contains("no subnet"));
    assert!(error(Some("fd00::/64"), None, 256).contains("other family"));
    assert!(error(Some("10.0.0.0/8"), None, 0).contains("between 1 and"));
    let long =
        Plan::new("ten_letter".parse().unwrap(), Some("10.0.0.0/8".parse().unwrap()), None, 1, 1, WINDOW, 0);
    assert!(long.unwrap_err().to_string().contains("more than 9 bytes"));
}
