//! MAC addresses as text and as numbers.

use super::MacAddress;

#[test]
fn text_is_read_in_either_case_and_written_in_lower() {
    for text in ["02:00:00:00:00:2a", "02:00:00:00:00:2A"] {
        let mac: MacAddress = text.parse().unwrap();
        assert_eq!(mac, MacAddress([2, 0, 0, 0, 0, 0x2A]));
        assert_eq!(
            (mac.to_string().as_str(), format!("{mac:?}").as_str()),
            ("02:00:00:00:00:2a", "02:00:00:00:00:2a")
        );
    }
    assert_eq!("ff:ff:ff:ff:ff:ff".parse::<MacAddress>().unwrap(), MacAddress([0xFF; 6]));
}

#[test]
fn what_is_not_six_bytes_in_hex_is_refused() {
    for text in [
        "",
        ":",
        "02:00:00:00:00",
        "02:00:00:00:00:00:00",
        "02:00:00:00:00:",
        ":02:00:00:00:00:00",
        "2:0:0:0:0:0",
        "02:00:00:00:00:0",
        "02:00:00:00:00:000",
        "02-00-00-00-00-00",
        "020000000000",
        "02:00:00:00:00:0g",
        "02:00:00:00:00:+1",
        " 02:00:00:00:00:00",
        "02:00:00:00:00:é",
    ] {
        let error = text.parse::<MacAddress>().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("read MAC address {text:?}: it is not six bytes in hex with ':'")
        );
    }
}

#[test]
fn local_addresses_hold_five_bytes_of_a_number_and_are_never_multicast() {
    for (number, text) in [
        (0, "02:00:00:00:00:00"),
        (1, "02:00:00:00:00:01"),
        (0x00FF_FFFF_FFFF, "02:ff:ff:ff:ff:ff"),
        (0x0012_3456_789A, "02:12:34:56:78:9a"),
        // What is above 40 bits is lost.
        (0x0100_0000_0001, "02:00:00:00:00:01"),
        (u64::MAX, "02:ff:ff:ff:ff:ff"),
    ] {
        let mac = MacAddress::local(number);
        assert_eq!(mac.to_string(), text);
        assert!(!mac.is_multicast());
    }
    assert!(MacAddress([1, 0, 0x5E, 0, 0, 1]).is_multicast() && MacAddress([0xFF; 6]).is_multicast());
}
