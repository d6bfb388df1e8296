use super::{Acquaintance, KnownNeighbours, mac_of};
use netns_core::MacAddress;
use std::net::IpAddr;

fn addresses() -> [IpAddr; 2] {
    ["10.88.1.2", "fd00:88::2"].map(|text| text.parse().unwrap())
}

/// An unnamed file, as after `begin`.
fn known() -> KnownNeighbours {
    let path = std::env::temp_dir().join(format!("neighbours-{}", crate::random::number()));
    let file = super::options().create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    KnownNeighbours(file)
}

#[test]
fn the_same_holder_is_known_and_another_is_not() {
    let known = known();
    let [one, two] = [1, 2].map(MacAddress::local);
    for address in addresses() {
        assert_eq!(known.give(address, one), Acquaintance::None, "nobody has asked for it yet");
        assert_eq!(known.give(address, one), Acquaintance::None);
        assert_eq!(known.give(address, two), Acquaintance::Possible);
        assert_eq!(known.give(address, two), Acquaintance::Possible, "it was not announced");
        known.announced(address, two);
        assert_eq!(known.give(address, two), Acquaintance::None);
        assert_eq!(known.give(address, one), Acquaintance::Possible);
    }
}

#[test]
fn a_mac_address_follows_from_the_address() {
    let [v4, v6] = addresses().map(mac_of);
    assert_eq!(v4.to_string(), "02:04:0a:58:01:02");
    assert_eq!(mac_of(addresses()[1]), v6);
    assert!(!v6.is_multicast() && v4 != v6 && v6 != mac_of("fd00:88::3".parse().unwrap()));
}
