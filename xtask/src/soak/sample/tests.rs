//! Percentiles of times that are known.

use super::{Sample, Tenth};
use std::time::Duration;

#[test]
fn a_percentile_is_right_to_a_sixteenth() {
    let mut tenth = Tenth::default();
    (1..=1000).for_each(|micros| tenth.took(Duration::from_micros(micros)));
    assert_eq!(tenth.made(), 1000);
    for percent in [50, 90, 99] {
        let (found, exact) = (tenth.percentile(percent).as_micros(), u128::from(percent) * 10);
        assert!(found > exact && found <= exact + exact / 16 + 1, "{percent}: {found}");
    }
}

#[test]
fn what_grows_is_reported() {
    let (mut early, mut late) = (Tenth::default(), Tenth::default());
    early.saw(&Sample { mounts: 20, memory: 9000, ..Sample::default() });
    late.saw(&Sample { mounts: 21, memory: 9500, ..Sample::default() });
    assert_eq!(late.grew(&early), ["21 mounts, where 20 would do"]);
    late.saw(&Sample { memory: 20_000, ..Sample::default() });
    assert_eq!(late.grew(&early).len(), 2);
    let after = Sample { descriptors: 12, ..Sample::default() };
    let before = Sample { descriptors: 9, ..Sample::default() };
    assert_eq!(after.left(&before), ["in the end there are 12 descriptors, and were 9"]);
}
