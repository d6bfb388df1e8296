//! The messages of a datagram with any content.

use super::random::Random;
use crate::wire::{Batch, IfInfoMsg, Messages, NLMSGERR_ATTR_MSG, NlMsgErr, NlMsgHdr, align};
use bytemuck::bytes_of;

const HEADER: usize = size_of::<NlMsgHdr>();

fn assert_sound(input: &[u8]) {
    let range = input.as_ptr_range();
    let mut messages = Messages::new(input);
    let mut at = range.start as usize;
    let mut count = 0;
    for message in messages.by_ref() {
        let start = message.payload.as_ptr() as usize;
        assert_eq!(start, at + HEADER);
        assert_eq!(message.header.length as usize, HEADER + message.payload.len());
        assert!(start + message.payload.len() <= range.end as usize);
        // What every reader asks of a message.
        let _ = (message.family_header::<IfInfoMsg>(), message.family_header::<NlMsgErr>());
        let _ = message.attributes_after::<IfInfoMsg>().count();
        let _ = message.error().map(|(_, attributes)| attributes.count());
        at = start + align(message.payload.len());
        count += 1;
    }
    assert!(count <= input.len() / HEADER);
    assert_eq!(messages.remaining(), (range.end as usize).saturating_sub(at));
    assert!(messages.next().is_none());
}

#[test]
fn every_length_field_in_every_length_of_input_is_survived() {
    let fields = (0..=96_u32).chain([0x7FFF_FFFF, 0x8000_0000, u32::MAX - 3, u32::MAX - 1, u32::MAX]);
    for field in fields {
        for length in 0..=64_usize {
            let mut input = vec![0xAA; length];
            for (place, byte) in input.iter_mut().zip(field.to_ne_bytes()) {
                *place = byte;
            }
            assert_sound(&input);
            let fits = (HEADER..=length).contains(&(field as usize));
            assert_eq!(Messages::new(&input).next().is_some(), fits, "{field} in {length} bytes");
        }
    }
}

#[test]
fn random_datagrams_are_survived() {
    let mut random = Random::new(3);
    for _ in 0..20_000 {
        let length = random.below(160);
        let mut input = random.bytes(length);
        // A length that fits, so that the message is examined; now and then an error or the end of a dump.
        if length >= HEADER {
            input[..4].copy_from_slice(&(random.below(length + 4) as u32).to_ne_bytes());
            if random.below(2) == 0 {
                let kind = [libc::NLMSG_ERROR, libc::NLMSG_DONE][random.below(2)] as u16;
                input[4..6].copy_from_slice(&kind.to_ne_bytes());
            }
        }
        assert_sound(&input);
    }
}

#[test]
fn a_truncated_datagram_is_noticed() {
    let mut batch = Batch::new();
    for _ in 0..3 {
        batch.message(libc::RTM_NEWLINK, 0, &IfInfoMsg::default(), |attributes| attributes.text(3, "v0"));
    }
    let whole = batch.bytes();
    for length in 0..=whole.len() {
        let mut messages = Messages::new(&whole[..length]);
        let complete = messages.by_ref().count();
        let each = whole.len() / 3;
        assert_eq!(complete, length / each);
        assert_eq!(messages.remaining(), length % each, "{length} bytes");
    }
}

/// An answer: error, what it repeats of the request, and an explanation.
fn answer(flags: i32, errno: i32, repeated: &[u8], explanation: Option<&str>) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes.extend((-errno).to_ne_bytes());
    bytes.extend(repeated);
    if let Some(text) = explanation {
        bytes.extend((5 + text.len() as u16).to_ne_bytes());
        bytes.extend(NLMSGERR_ATTR_MSG.to_ne_bytes());
        bytes.extend(text.as_bytes());
        bytes.push(0);
    }
    let header = NlMsgHdr {
        length: bytes.len() as u32,
        kind: libc::NLMSG_ERROR as u16,
        flags: flags as u16,
        ..NlMsgHdr::default()
    };
    bytes[..HEADER].copy_from_slice(bytes_of(&header));
    bytes
}

#[test]
fn errors_are_read_whether_the_kernel_repeats_the_request_or_its_header() {
    let header = |length| NlMsgHdr { length, ..NlMsgHdr::default() };
    let whole: Vec<u8> = [bytes_of(&header(24)), &[0xAA; 8]].concat();
    let capped = bytes_of(&header(24)).to_vec();
    let read = |bytes: &[u8]| {
        let message = Messages::new(bytes).next().unwrap();
        let (errno, attributes) = message.error().unwrap();
        let text = attributes.find(NLMSGERR_ATTR_MSG).and_then(|text| text.text().map(str::to_owned));
        (errno, text)
    };
    let (tlvs, cap) = (libc::NLM_F_ACK_TLVS, libc::NLM_F_CAPPED);
    let words = Some("why".to_owned());
    assert_eq!(read(&answer(tlvs, 17, &whole, Some("why"))), (17, words.clone()));
    assert_eq!(read(&answer(tlvs | cap, 17, &capped, Some("why"))), (17, words));
    assert_eq!(read(&answer(cap, 17, &capped, Some("not to be read without the flag"))), (17, None));
    assert_eq!(read(&answer(cap, 0, &capped, None)), (0, None), "an acknowledgement");
    // An error that claims to repeat more than there is.
    let lying = bytes_of(&header(u32::MAX)).to_vec();
    assert_eq!(read(&answer(tlvs, 17, &lying, Some("why"))), (17, None));
}

#[test]
fn an_error_of_the_smallest_number_does_not_overflow() {
    let bytes = answer(0, 0, bytes_of(&NlMsgHdr::default()), None);
    let mut bytes = bytes;
    bytes[HEADER..HEADER + 4].copy_from_slice(&i32::MIN.to_ne_bytes());
    let message = Messages::new(&bytes).next().unwrap();
    assert_eq!(message.error().unwrap().0, i32::MAX);
    assert!(
        Messages::new(&answer(0, 0, &[], None)).next().unwrap().error().is_none(),
        "too short for an error"
    );
}
