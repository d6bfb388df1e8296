//! Tests of judging, on the host. `tests/kernel` holds the kernel's verdict against it.

mod honest;
mod hostile;
mod plain;
mod table;

use core::net::{Ipv4Addr, Ipv6Addr};

use super::{Facts, Rules, Verdict, judge};
use crate::attack::Party;

/// Who sends in these tests.
const FROM: Party = Party {
    mac: [2, 0, 0, 0, 0, 1],
    v4: Ipv4Addr::new(10, 1, 1, 1),
    v6: Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, 1),
};
/// Who receives.
const TO: Party = Party {
    mac: [2, 0, 0, 0, 0, 2],
    v4: Ipv4Addr::new(10, 1, 1, 2),
    v6: Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, 2),
};

/// The sender's.
fn rules() -> Rules {
    Rules::new(FROM.mac)
        .with_ipv4(FROM.v4, 32)
        .and_then(|rules| rules.with_ipv6(FROM.v6, 128))
        .and_then(Rules::with_link_local)
        .unwrap()
}

/// Judges an ordinary frame.
fn verdict(frame: &[u8], rules: &Rules) -> Verdict {
    judge(frame, Facts::of(frame), rules)
}
