use super::*;

#[test]
fn owners_differ_however_long_their_names_are() {
    let short = ElementOwner::new("net1", "one", "eth0");
    assert_eq!(short.comment(), "net1/one/eth0");
    assert!(is_of_network(short.comment(), "net1"));
    assert!(!is_of_network(short.comment(), "net") && !is_of_network(short.comment(), "net11"));
    let long = "x".repeat(200);
    let (first, second) =
        (ElementOwner::new("net1", &long, "eth0"), ElementOwner::new("net1", &long, "eth1"));
    assert_ne!(first, second);
    assert!(first.comment().len() <= LONGEST);
    assert!(is_of_network(first.comment(), "net1") && !is_of_network(first.comment(), "net2"));
    // Of the reference's documents: FNV-1a of "a".
    assert_eq!(hash("a".bytes()), 0xaf63_dc4c_8601_ec8c);
}
