//! Tests without a kernel.

use super::highest_cpu;

#[test]
fn the_highest_cpu_is_the_last_number() {
    assert_eq!(highest_cpu("0\n"), Some(0));
    assert_eq!(highest_cpu("0-3\n"), Some(3));
    assert_eq!(highest_cpu("0,2-5\n"), Some(5));
    assert_eq!(highest_cpu("0-127,256"), Some(256));
    assert_eq!(highest_cpu("\n"), None);
    assert_eq!(highest_cpu("none"), None);
}
