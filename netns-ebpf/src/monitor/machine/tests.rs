//! Tests without a kernel.

use super::{KernelVersion, highest_in_heading, highest_in_list, is_realtime};

#[test]
fn the_highest_cpu_of_a_list_is_the_last_number() {
    assert_eq!(highest_in_list("0\n"), Some(0));
    assert_eq!(highest_in_list("0-3\n"), Some(3));
    assert_eq!(highest_in_list("0,2-5\n"), Some(5));
    assert_eq!(highest_in_list("0-127,256"), Some(256));
    assert_eq!(highest_in_list("\n"), None);
    assert_eq!(highest_in_list("none"), None);
}

#[test]
fn the_highest_cpu_of_a_table_is_its_last_column() {
    let table = "                    CPU0       CPU1       CPU7       \n          HI:          1          0          0\n";
    assert_eq!(highest_in_heading(table), Some(7));
    assert_eq!(highest_in_heading("   CPU0   \n"), Some(0));
    assert_eq!(highest_in_heading(""), None);
    assert_eq!(highest_in_heading("  HI: 1 0\n"), None);
}

#[test]
fn this_machine_says_the_same_in_both_places() {
    let read = |path| std::fs::read_to_string(path).ok();
    let (Some(list), Some(table)) = (read(super::POSSIBLE), read(super::SOFTIRQS)) else { return };
    assert_eq!(highest_in_list(&list), highest_in_heading(&table));
}

#[test]
fn a_real_time_kernel_says_so_in_its_build() {
    for build in [
        "#1 SMP PREEMPT_RT Debian 6.1.158-1 (2025-11-09)\n",
        "#1 SMP PREEMPT_RT Debian 6.12.57-1~bpo12+1 (2025-11-17)\n",
        "#1 SMP PREEMPT_RT Thu Nov 20 12:00:00 UTC 2025\n",
        "#2 SMP PREEMPT_RT_FULL Mon Jan 1 00:00:00 UTC 2018\n",
    ] {
        assert!(is_realtime(Some(build), None), "{build}");
    }
    for build in [
        "#1 SMP PREEMPT_DYNAMIC Debian 6.12.57-1 (2025-11-05)\n",
        "#1 SMP Debian 5.10.234-1 (2025-02-24)\n",
        "#1 SMP PREEMPT Tue Nov 25 00:00:00 UTC 2025\n",
    ] {
        assert!(!is_realtime(Some(build), None), "{build}");
        assert!(is_realtime(Some(build), Some("1\n")), "a patched one, whose build does not say so");
        assert!(!is_realtime(Some(build), Some("0\n")));
    }
    assert!(is_realtime(None, None), "the safe side");
}

#[test]
fn versions_are_compared_by_their_first_two_numbers() {
    for old in ["5.10.0-36-amd64\n", "5.11", "4.19.0", "3.10.0-1160.el7.x86_64"] {
        assert!(KernelVersion::of(old).is_before(5, 12), "{old}");
    }
    for new in ["5.12.0\n", "5.12-rc1", "6.1.0-41-amd64", "6.18.44", "10.0.0", "", "something", "6", "x.1.2"]
    {
        assert!(!KernelVersion::of(new).is_before(5, 12), "{new}");
    }
    assert_eq!(KernelVersion::of("6.1.0-41-amd64\n").release, "6.1.0-41-amd64");
}
