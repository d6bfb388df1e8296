//! Tests on the committed object, changed.

use super::differences;

static OBJECT: &[u8] = include_bytes!("../../../../netns-ebpf/object/netns-ebpf.o");

#[test]
fn an_object_is_like_itself() {
    assert_eq!(differences(OBJECT, OBJECT).unwrap(), Vec::<String>::new());
}

#[test]
fn a_changed_byte_is_found_and_named() {
    let license = OBJECT.windows(12).position(|bytes| bytes == b"Dual MIT/GPL").unwrap();
    let mut changed = OBJECT.to_vec();
    changed[license] = b'X';
    let differences = differences(OBJECT, &changed).unwrap();
    assert_eq!(differences.len(), 1, "{differences:#?}");
    assert!(differences[0].starts_with("data LICENSE: 2 lines committed, 2 rebuilt; they part at line 0"));
}
