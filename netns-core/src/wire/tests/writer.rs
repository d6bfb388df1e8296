//! The writer: layout, padding, nesting, and what happens when there is no more room.

use super::random::Random;
use crate::wire::{AttributeWriter, BATCH_CAPACITY, Batch, IfInfoMsg, Messages, RtMsg};
use crate::{IfName, MacAddress};

fn written(attributes: impl FnOnce(&mut AttributeWriter<'_>)) -> Vec<u8> {
    let mut batch = Batch::new();
    batch.message(libc::RTM_NEWROUTE, 0, &RtMsg::default(), attributes);
    assert!(!batch.overflowed());
    batch.bytes()[28..].to_vec()
}

#[test]
fn a_message_has_its_length_type_flags_and_header() {
    let mut batch = Batch::new();
    let header = IfInfoMsg { index: 7, ..IfInfoMsg::default() };
    batch.message(libc::RTM_NEWLINK, libc::NLM_F_CREATE, &header, |_| {});
    let message = Messages::new(batch.bytes()).next().unwrap();
    assert_eq!((message.header.length, message.header.kind), (32, libc::RTM_NEWLINK));
    assert_eq!(i32::from(message.header.flags), libc::NLM_F_REQUEST | libc::NLM_F_CREATE);
    assert_eq!((message.header.port, message.family_header()), (0, Some(header)));
}

#[test]
fn values_are_padded_with_zeroes_that_their_length_leaves_out() {
    for length in 0..=9_u8 {
        // What was there before must not show through.
        let mut batch = Batch::new();
        batch.message(libc::RTM_NEWLINK, 0, &IfInfoMsg::default(), |attributes| {
            attributes.bytes(1, &[0xFF; 64]);
        });
        batch.clear();
        batch.message(libc::RTM_NEWLINK, 0, &IfInfoMsg::default(), |attributes| {
            attributes.bytes(1, &vec![0xAA; length.into()]);
        });
        let attribute = &batch.bytes()[32..];
        assert_eq!(attribute[..4], [4 + length, 0, 1, 0]);
        assert_eq!(attribute.len() % 4, 0);
        let (value, padding) = attribute[4..].split_at(length.into());
        assert!(value.iter().all(|byte| *byte == 0xAA) && padding.iter().all(|byte| *byte == 0));
        assert!(padding.len() < 4);
    }
}

#[test]
fn each_type_of_value_has_its_bytes() {
    assert_eq!(written(|attributes| attributes.value(1, 0x01_u8)), [5, 0, 1, 0, 1, 0, 0, 0]);
    assert_eq!(
        written(|attributes| attributes.value(2, 7_u32)),
        [&[8, 0, 2, 0][..], &7_u32.to_ne_bytes()].concat()
    );
    assert_eq!(written(|attributes| attributes.optional::<u32>(2, None)), [0; 0]);
    assert_eq!(written(|attributes| attributes.optional(1, Some(1_u8))), [5, 0, 1, 0, 1, 0, 0, 0]);
    assert_eq!(written(|attributes| attributes.text(3, "abc")), *b"\x08\0\x03\0abc\0");
    assert_eq!(written(|attributes| attributes.text(3, "abcd")), *b"\x09\0\x03\0abcd\0\0\0\0");
    assert_eq!(written(|attributes| attributes.text(3, "")), *b"\x05\0\x03\0\0\0\0\0");
    assert_eq!(written(|attributes| attributes.name(3, IfName::new("v0").unwrap())), *b"\x07\0\x03\0v0\0\0");
    assert_eq!(
        written(|attributes| attributes.mac(1, MacAddress::local(5))),
        [10, 0, 1, 0, 2, 0, 0, 0, 0, 5, 0, 0]
    );
    assert_eq!(written(|attributes| attributes.ip(1, [10, 1, 1, 1].into())), [8, 0, 1, 0, 10, 1, 1, 1]);
    let v6 = written(|attributes| attributes.ip(1, [9_u8; 16].into()));
    assert_eq!(v6, [&[20, 0, 1, 0][..], &[9; 16]].concat());
}

#[test]
fn nests_have_the_length_of_what_is_in_them() {
    let bytes = written(|attributes| {
        attributes.nest(10, |outer| {
            outer.value(1, 1_u8);
            outer.nest_after(11, &0xAABB_CCDD_u32, |inner| inner.value(2, 2_u8));
            outer.nest(12, |_| {});
        });
        attributes.value(3, 3_u8);
    });
    #[rustfmt::skip]
    let expected = [
        [32, 0, 10, 0], [5, 0, 1, 0], [1, 0, 0, 0],
        [16, 0, 11, 0], 0xAABB_CCDD_u32.to_ne_bytes(), [5, 0, 2, 0], [2, 0, 0, 0],
        [4, 0, 12, 0],
        [5, 0, 3, 0], [3, 0, 0, 0],
    ];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn messages_are_numbered_and_only_the_last_is_asked_to_be_acknowledged() {
    let mut batch = Batch::new();
    for _ in 0..3 {
        batch.message(libc::RTM_NEWLINK, 0, &IfInfoMsg::default(), |attributes| attributes.value(1, 1_u8));
    }
    // Numbers wrap.
    batch.seal(u32::MAX - 1, libc::NLM_F_ACK);
    let sealed: Vec<_> = Messages::new(batch.bytes())
        .map(|message| (message.header.sequence, i32::from(message.header.flags) & libc::NLM_F_ACK != 0))
        .collect();
    assert_eq!(sealed, [(u32::MAX - 1, false), (u32::MAX, false), (0, true)]);
    assert_eq!(batch.messages(), 3);
}

#[test]
fn one_message_of_many_can_be_kept() {
    let mut batch = Batch::new();
    for index in 10..13 {
        let header = IfInfoMsg { index, ..IfInfoMsg::default() };
        batch.message(libc::RTM_NEWLINK, 0, &header, |attributes| {
            attributes.bytes(1, &vec![0; index as usize]);
        });
    }
    batch.seal(5, 0);
    batch.retain(6);
    let kept: Vec<_> = Messages::new(batch.bytes()).map(|message| message.header.sequence).collect();
    assert_eq!((kept, batch.messages()), (vec![6], 1));
    let header = Messages::new(batch.bytes()).next().unwrap().family_header::<IfInfoMsg>();
    assert_eq!(header.unwrap().index, 11);
    batch.retain(99);
    assert_eq!((batch.messages(), batch.bytes().len()), (0, 0));
}

/// Fills a batch with messages of a random shape until it overflows; returns the bytes before the message that did not
/// fit.
fn fill(random: &mut Random, batch: &mut Batch) -> Vec<u8> {
    loop {
        let before = batch.bytes().to_vec();
        let (length, nests, texts) = (random.below(700), random.below(4), random.below(3));
        batch.message(libc::RTM_NEWLINK, 0, &IfInfoMsg::default(), |attributes| {
            for _ in 0..texts {
                attributes.text(3, "some text");
            }
            attributes.nest_after(18, &7_u64, |inside| {
                for _ in 0..nests {
                    inside.nest(2, |inside| inside.bytes(1, &vec![0xAA; length]));
                }
            });
        });
        if batch.overflowed() {
            return before;
        }
    }
}

#[test]
fn what_does_not_fit_leaves_no_half_message_and_is_never_forgotten() {
    let mut random = Random::new(4);
    let mut batch = Batch::new();
    for _ in 0..500 {
        let before = fill(&mut random, &mut batch);
        let messages = batch.messages();
        assert_eq!(batch.bytes(), before);
        assert_eq!(Messages::new(batch.bytes()).count() as u32, messages);
        assert!(before.len() <= BATCH_CAPACITY);
        // A later message that would fit does not repair it.
        batch.message(libc::RTM_NEWLINK, 0, &IfInfoMsg::default(), |attributes| attributes.text(3, "v0"));
        assert!(batch.overflowed());
        assert_eq!((batch.bytes(), batch.messages()), (&before[..], messages));
        batch.clear();
        assert!(!batch.overflowed() && batch.bytes().is_empty() && batch.messages() == 0);
    }
}

#[test]
fn a_batch_can_be_filled_to_the_last_byte_and_not_further() {
    let room = BATCH_CAPACITY - 16 - 16 - 4;
    for (length, fits) in [(room, true), (room - 3, true), (room + 1, false)] {
        let mut batch = Batch::new();
        batch.message(libc::RTM_NEWLINK, 0, &IfInfoMsg::default(), |attributes| {
            attributes.bytes(1, &vec![0; length]);
        });
        assert_eq!((batch.overflowed(), batch.bytes().is_empty()), (!fits, !fits), "{length} bytes");
    }
    for (length, fits) in [(room - 1, true), (room, false)] {
        let mut batch = Batch::new();
        let text = "x".repeat(length);
        batch.message(libc::RTM_NEWLINK, 0, &IfInfoMsg::default(), |attributes| attributes.text(1, &text));
        assert_eq!(batch.overflowed(), !fits, "{length} letters and NUL");
    }
}

#[test]
fn values_too_long_for_an_attribute_overflow() {
    let mut batch = Batch::new();
    batch.message(libc::RTM_NEWLINK, 0, &IfInfoMsg::default(), |attributes| {
        attributes.bytes(1, &vec![0; 70_000]);
        attributes.value(2, 1_u8);
    });
    assert!(batch.overflowed() && batch.bytes().is_empty());
    batch.clear();
    batch.message(libc::RTM_NEWLINK, 0, &IfInfoMsg::default(), |attributes| {
        attributes.text(1, &"x".repeat(70_000));
    });
    assert!(batch.overflowed() && batch.bytes().is_empty());
}
