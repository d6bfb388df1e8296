//! Qdiscs and filters.

use super::golden;
use crate::tc::{self, Direction, Filter};
use std::fs::File;
use std::os::fd::AsFd;

#[test]
fn clsact() {
    golden!("clsact", |batch| tc::encode_add_clsact(batch, 2), &[]);
    golden!("clsact-delete", |batch| tc::encode_delete_clsact(batch, 3), &[]);
    golden!("qdisc-list", |batch| tc::encode_list_qdiscs(batch, 2), &[]);
}

#[test]
fn filters() {
    let program = File::open("/dev/null").unwrap();
    let ingress = Filter {
        index: 3,
        direction: Direction::Ingress,
        priority: 10,
        handle: 1,
        program: program.as_fd(),
        name: "program:[*fsobj]",
        class_id: 0x123,
    };
    golden!(
        "filter-ingress",
        |batch| tc::encode_add_filter(batch, &ingress),
        &[(
            "order TCA_KIND TCA_OPTIONS TCA_BPF_FD TCA_BPF_NAME TCA_BPF_FLAGS TCA_BPF_CLASSID",
            "ours writes the class id last, if there is one; the kernel looks attributes up by number",
        )]
    );
    let egress = Filter { direction: Direction::Egress, class_id: 0, ..ingress };
    golden!("filter-egress", |batch| tc::encode_add_filter(batch, &egress), &[]);
    golden!("filter-delete", |batch| tc::encode_delete_filter(batch, 3, Direction::Ingress, 9, 1), &[]);
    golden!("filter-list", |batch| tc::encode_list_filters(batch, 3, Direction::Ingress), &[]);
}
