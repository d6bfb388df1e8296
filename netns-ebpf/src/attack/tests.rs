//! Tests of judging, on the host: honest frames, and those of the table. `tests/kernel` holds the kernel's verdict
//! against it.

mod checksum;
mod claims;
mod honest;
mod host;
mod hostile;
mod plain;
mod table;

use super::Party;
use crate::packet::{Facts, Rules, Verdict, judge};

/// Who sends in these tests.
const FROM: Party = Party::numbered(1);
/// Who receives.
const TO: Party = Party::numbered(2);

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
