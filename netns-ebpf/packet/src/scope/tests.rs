//! Addresses and the places that they are of.

use std::net::{IpAddr, Ipv6Addr};

use super::{Scope, far_end};
use crate::layout::Way;

fn words(address: &str) -> [u32; 4] {
    let address = match address.parse().unwrap() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let octets = address.octets();
    std::array::from_fn(|word| u32::from_ne_bytes(*octets[word * 4..].first_chunk().unwrap()))
}

#[test]
fn every_address_is_of_a_place() {
    use Scope::{Internet, Link, Private};
    for (scope, addresses) in [
        (
            Private,
            "10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 100.127.255.255 fc00::1 fdff::1 fec0::1 \
             64:ff9b::10.1.1.1",
        ),
        (
            Internet,
            "8.8.8.8 9.255.255.255 11.0.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 100.63.255.255 100.128.0.0 \
             169.253.255.255 169.255.0.0 223.255.255.255 1.0.0.0 2000::1 ::2 fbff::1 fe00::1 fe7f::1 64:ff9b::8.8.8.8 \
             64:ff9b:1::10.1.1.1 0:1::1",
        ),
        (
            Link,
            "0.0.0.0 0.1.2.3 127.0.0.1 169.254.169.254 224.0.0.1 239.1.2.3 240.0.0.1 255.255.255.255 :: ::1 fe80::1 febf::1 \
             ff02::1 64:ff9b::224.0.0.1",
        ),
    ] {
        for address in addresses.split_whitespace() {
            assert_eq!(Scope::of_address(words(address)), scope, "{address}");
        }
    }
}

#[test]
fn the_far_end_is_where_a_frame_goes_to_or_comes_from() {
    let mut v4 = vec![0; 34];
    v4[12..15].copy_from_slice(&[8, 0, 0x45]);
    v4[26..34].copy_from_slice(&[10, 1, 1, 1, 8, 8, 4, 4]);
    assert_eq!(far_end(&v4[..], false, Way::Out), Some(words("8.8.4.4")));
    assert_eq!(far_end(&v4[..], false, Way::In), Some(words("10.1.1.1")));
    // Behind a tag that is in the bytes, and behind one that is not.
    let mut tagged = v4.clone();
    tagged.splice(12..12, [0x81, 0, 0, 5]);
    assert_eq!(far_end(&tagged[..], false, Way::Out), Some(words("8.8.4.4")));
    assert_eq!(far_end(&tagged[..], true, Way::Out), Some(words("8.8.4.4")));

    let mut v6 = vec![0; 54];
    v6[12..15].copy_from_slice(&[0x86, 0xDD, 0x60]);
    v6[22..38].copy_from_slice(&"fd00::1".parse::<Ipv6Addr>().unwrap().octets());
    v6[38..54].copy_from_slice(&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
    assert_eq!(far_end(&v6[..], false, Way::Out), Some(words("2001:db8::1")));
    assert_eq!(far_end(&v6[..], false, Way::In), Some(words("fd00::1")));

    let mut arp = v4.clone();
    arp[13] = 6;
    assert_eq!(far_end(&arp[..], false, Way::Out), None);
    for (frame, length) in [(&v4, 33), (&v4, 13), (&v6, 53)] {
        assert_eq!(far_end(&frame[..length], false, Way::Out), None, "{length}");
    }
}
