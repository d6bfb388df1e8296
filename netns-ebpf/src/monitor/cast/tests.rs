use super::{MARK, PLACE, call, with_calls};
use crate::monitor::load::OBJECT;

#[test]
fn the_object_has_places_for_calls_and_nothing_else_changes() {
    let changed = with_calls(OBJECT, 0x0102_0304);
    assert_eq!(changed.len(), OBJECT.len());
    let (before, _) = OBJECT.as_chunks::<8>();
    let (after, _) = changed.as_chunks::<8>();
    let differing: Vec<_> = (0..before.len()).filter(|&at| before[at] != after[at]).collect();
    // Two in each of the two programs that receive: of a frame that is plain, and of any other.
    assert_eq!(differing.len(), 4);
    for at in differing {
        assert_eq!([before[at - 1], before[at]], [MARK, PLACE]);
        assert_eq!(after[at], call(0x0102_0304));
    }
}

#[test]
fn a_call_is_as_the_kernel_documents_it() {
    // `BPF_JMP | BPF_CALL`, source register 2.
    assert_eq!(call(0x0102_0304), [0x85, 0x20, 0, 0, 4, 3, 2, 1]);
}
