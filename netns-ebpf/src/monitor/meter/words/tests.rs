//! Limits that are read, and written as they are read.

use super::super::{Limits, Quota, RateLimit};

fn read(text: &str) -> Limits {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn words_are_read_as_tc_reads_them() {
    assert_eq!(read("100mbit"), Limits::both(RateLimit::bits(100_000_000)));
    assert_eq!(read("1.5Gbit").incoming.bits, Some(1_500_000_000));
    assert_eq!(read("8bit").incoming.bits, Some(8));
    assert_eq!(read("1mbps").outgoing.bits, Some(8_000_000), "bytes a second");
    assert_eq!(read("1mibit").outgoing.bits, Some(1 << 20));
    assert_eq!(read("10kpps"), Limits::both(RateLimit::packets(10_000)));
    let mixed = read("in=1gbit, out=100mbit,out=20kpps,burst=1mb,quota=10gb,quota-in=8g,quota-out=512");
    assert_eq!(
        mixed,
        Limits {
            outgoing: RateLimit {
                bits: Some(100_000_000),
                packets: Some(20_000),
                burst: Some(1 << 20),
                packet_burst: None,
            },
            incoming: RateLimit::bits(1_000_000_000).with_burst(1 << 20),
            quota: Quota { outgoing: Some(512), incoming: Some(8 << 30), total: Some(10 << 30) },
        }
    );
    assert_eq!(read("quota=1gb").with_total(5), Limits::default().with_total(5));
}

#[test]
fn what_is_no_limit_is_refused_by_its_word() {
    let wrong = [
        ("", "\"\" is no limit"),
        ("100", "\"100\" is no limit; expected a rate such as \"100mbit\""),
        ("0mbit", "\"0mbit\""),
        ("mbit", "\"mbit\""),
        ("-1mbit", "\"-1mbit\""),
        ("1.mbit", "\"1.mbit\""),
        ("1e3bit", "\"1e3bit\""),
        ("99999999999999999999tbit", "is no limit"),
        ("up=1mbit", "\"up=1mbit\""),
        ("quota=1mbit", "\"quota=1mbit\" is no limit; expected a size"),
        ("burst=1mb", "expected a rate in bits beside the burst"),
        ("1kpps,burst=1mb", "expected a rate in bits beside the burst"),
        ("1mbit,in=2mbit", "\"in=2mbit\" is no limit; expected each limit once"),
        ("1mbit,,2kpps", "\"\" is no limit"),
    ];
    for (text, expected) in wrong {
        let error = text.parse::<Limits>().expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn what_is_written_is_read_as_the_same() {
    for text in [
        "100mbit",
        "1gbit",
        "8bit",
        "1001bit",
        "in=1gbit,out=100mbit",
        "out=1500kbit",
        "10kpps",
        "1mbit,1pps,burst=256kb",
        "1mbit,in=5pps",
        "quota=10gb",
        "in=1gbit,burst=1000b,quota=1b,quota-in=2kb,quota-out=3mb",
    ] {
        assert_eq!(read(text).to_string(), text);
    }
    assert_eq!(Limits::default().to_string(), "none");
    assert_eq!(read("1mbit").chosen().to_string(), "1mbit,burst=256kb");
    assert_eq!(read("8gbit").chosen().outgoing.burst, Some(250_000_000), "of 250 ms");
}
