//! Tests on the committed object.

use super::{parts, plain, strip};

static OBJECT: &[u8] = include_bytes!("../../../../netns-ebpf/object/netns-ebpf.o");

#[test]
fn the_object_has_its_parts() {
    let parts = parts(OBJECT).unwrap();
    for name in ["function port_ingress", "function port_egress", "data LICENSE", "data COUNTERS"] {
        assert!(parts.contains_key(name), "{name} of {:?}", parts.keys());
    }
    let egress = &parts["function port_egress"];
    assert!(egress.iter().any(|line| line.ends_with("-> PAIRS")), "{egress:#?}");
    assert!(egress.iter().any(|line| line.ends_with("7no_room")), "a call to a local function: {egress:#?}");
    let types = &parts["types"];
    assert!(types.iter().any(|line| line.contains("struct 'PortCounters' 64")), "{types:#?}");
}

#[test]
fn a_stripped_object_is_stripped_no_further() {
    assert_eq!(strip(OBJECT).unwrap(), OBJECT);
}

#[test]
fn names_lose_the_hash_of_their_crate() {
    assert_eq!(plain("_RNvNtCsf00DCovdYc0_10netns_ebpf3log"), "_RNvNtC10netns_ebpf3log");
    assert_eq!(plain("port_egress"), "port_egress");
}
