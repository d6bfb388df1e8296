//! Checksums that are left to a later hop.

use super::{FROM, TO, rules};
use crate::attack::{LeftChecksum, checksum_cases};
use crate::packet::{ChecksumPlace, Facts, Permissions, Reason, is_plain, judge};

#[test]
fn a_checksum_may_be_left_where_nothing_is_judged() {
    let rules = rules();
    let (mut honest, mut plain) = (0, 0);
    for case in checksum_cases(&FROM, &TO) {
        let without = judge(&case.frame[..], Facts::of(&case.frame), &rules);
        assert_eq!(without, Ok(()), "{}: all bytes are honest", case.what);
        let expected = if case.is_honest { Ok(()) } else { Err(Reason::ChecksumPlace) };
        assert_eq!(judge(&case.frame[..], case.facts(), &rules), expected, "{}", case.what);
        let is_plain = is_plain(&case.frame[..], case.facts(), &rules);
        assert!(!is_plain || case.is_honest, "{}", case.what);
        honest += u32::from(case.is_honest);
        plain += u32::from(is_plain);
    }
    assert_eq!((honest, plain), (8, 2), "TCP and UDP over IPv4 are plain");
}

/// Wherever it is left: what was judged stays as it was, or the frame is not let through.
#[test]
fn no_place_changes_what_was_judged() {
    let rules = rules();
    let mut spoilt = 0;
    for case in checksum_cases(&FROM, &TO) {
        for at in 0..=case.frame.len() as u32 {
            let facts = Facts { checksum_at: ChecksumPlace::at(at), ..Facts::of(&case.frame) };
            let verdict = judge(&case.frame[..], facts, &rules);
            if at as usize + 2 > case.frame.len() {
                assert_eq!(verdict, Err(Reason::ChecksumPlace), "{}, {at}: not in the frame", case.what);
                continue;
            }
            // Any value may come to be there.
            for value in [[0, 0], [0xFF, 0xFF], [0x12, 0x34], [45, 67], [0x60, 6]] {
                let mut written = case.frame.clone();
                written[at as usize..][..2].copy_from_slice(&value);
                let after = judge(&written[..], Facts::of(&written), &rules);
                assert!(verdict.is_err() || after.is_ok(), "{}, {at}: {after:?}", case.what);
                spoilt += u32::from(verdict.is_err() && after.is_err());
            }
        }
    }
    assert!(spoilt > 1000, "{spoilt}: such places are found");
}

#[test]
fn with_tags_it_is_found_as_well() {
    let rules = rules().permitting(Permissions::VLAN);
    for case in checksum_cases(&FROM, &TO).into_iter().filter(|case| case.checksum.start >= 14) {
        for tags in 1..=2_u16 {
            let tag = [0x81, 0, 0, 5].repeat(tags.into());
            let frame = [&case.frame[..12], &tag[..], &case.frame[12..]].concat();
            let checksum_at = ChecksumPlace::at(case.checksum.at() + u32::from(tags) * 4);
            let facts = Facts { checksum_at, ..Facts::of(&frame) };
            let expected = if case.is_honest { Ok(()) } else { Err(Reason::ChecksumPlace) };
            assert_eq!(judge(&frame[..], facts, &rules), expected, "{}, {tags} tags", case.what);
        }
    }
}

#[test]
fn the_value_is_the_one_that_the_kernel_writes() {
    let left = LeftChecksum { start: 2, offset: 2 };
    assert_eq!(left.at(), 4);
    assert_eq!(left.write(&[9, 9, 1, 2, 0, 0, 3]), [9, 9, 1, 2, 0xFB, 0xFD, 3]);
    assert_eq!(left.header()[..6], [1, 0, 0, 0, 0, 0]);
}
