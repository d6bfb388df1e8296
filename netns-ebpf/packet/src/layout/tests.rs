//! Tests of the arithmetic that both sides do.

use super::{
    CONVERSATION_LINES, CONVERSATION_WAYS, ConversationOwner, MAX_SLOTS, conversation_home,
    conversation_ports, conversation_share, counter_index,
};

#[test]
fn each_slot_and_cpu_has_its_line() {
    assert_eq!(counter_index(0, 0, 2), Some(0));
    assert_eq!(counter_index(0, 1, 2), Some(1));
    assert_eq!(counter_index(7, 1, 2), Some(15));
    assert_eq!(counter_index(u32::from(MAX_SLOTS), 8191, 8192), Some(65_536 * 8192 - 1));
}

#[test]
fn a_cpu_beyond_the_lines_has_none() {
    assert_eq!(counter_index(0, 2, 2), None, "or it would write another slot's");
    assert_eq!(counter_index(0, 0, 0), None);
}

#[test]
fn what_no_index_can_hold_has_none() {
    assert_eq!(counter_index(u32::MAX, 1, 2), None);
    assert_eq!(counter_index(u32::MAX, 0, 1), Some(u32::MAX));
}

#[test]
fn conversations_are_spread_and_known_by_all_that_names_them() {
    use std::collections::HashSet;

    let seed = [3_u64, 5, 7, 11, 13, 17, 19].map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let owner = |slot| ConversationOwner::new(slot, 9, 17);
    let homes: HashSet<u32> = (0..4096)
        .map(|port| conversation_home(&seed, owner(7), [0, 5], conversation_ports([port, 80])))
        .collect();
    // By chance some 3,600 of 16,384 sets.
    assert!(homes.len() > 3000, "{}", homes.len());
    assert!(homes.iter().all(|home| home % CONVERSATION_WAYS == 0 && *home < CONVERSATION_LINES));
    let homes: HashSet<u32> =
        (0..1024).map(|slot| conversation_home(&seed, owner(slot), [0, 5], 0)).collect();
    assert!(homes.len() > 900, "whose it is counts: {}", homes.len());

    // A line of another version is the same one's; of another slot, generation or protocol it is not.
    let before = owner(7).word();
    let after = owner(7).after(before);
    assert!(after != before && owner(7).is(after) && owner(7).is(before));
    assert_eq!(owner(7).after(before | 0xFF), before);
    for other in [owner(8), ConversationOwner::new(7, 10, 17), ConversationOwner::new(7, 9, 6)] {
        assert!(!other.is(after));
    }
    let all = ConversationOwner::new(u32::from(u16::MAX), u32::MAX, 254);
    assert_eq!((all.slot(), all.generation()), (u32::from(u16::MAX), u32::MAX));
    assert!(all.after(all.word() | 0xFE) != ConversationOwner::WRITING);

    // Shares never are more than a quarter of the room, but for the one line that each has.
    for sharers in [0, 1, 2, 1024, 32_768] {
        assert!(conversation_share(sharers) * sharers <= u64::from(CONVERSATION_LINES) / 4, "{sharers}");
    }
    assert_eq!(conversation_share(u64::MAX), 1);
}
