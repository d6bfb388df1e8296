//! The attribute reader survives any input, and reads what the writer wrote.

use super::random::Random;
use crate::wire::{Attribute, Attributes, Batch, IfInfoMsg, Messages, NlAttr, align};
use crate::{IfName, MacAddress};
use std::net::IpAddr;

/// Every attribute lies within `input`, they do not overlap, they come to an end, and the rest shows whether all was
/// well-formed.
fn assert_sound(input: &[u8]) {
    let range = input.as_ptr_range();
    let mut attributes = Attributes::new(input);
    let mut at = range.start as usize;
    let mut count = 0;
    for attribute in attributes.by_ref() {
        let start = attribute.bytes.as_ptr() as usize;
        assert_eq!(start, at + size_of::<NlAttr>(), "{input:02x?}");
        assert!(start + attribute.bytes.len() <= range.end as usize, "{input:02x?}");
        assert_eq!(attribute.kind & 0xC000, 0, "the flag bits are no part of the kind");
        at = start + align(attribute.bytes.len());
        count += 1;
    }
    assert!(count <= input.len() / size_of::<NlAttr>(), "{input:02x?}");
    let left = attributes.remaining();
    assert_eq!(left, (range.end as usize).saturating_sub(at), "{input:02x?}");
    assert_eq!(attributes.next(), None, "what has ended stays so");
}

#[test]
fn every_length_field_in_every_length_of_input_is_survived() {
    for length in 0..=24_usize {
        for field in (0..=64_u16).chain([255, 256, 0x7FFF, 0x8000, u16::MAX - 3, u16::MAX - 1, u16::MAX]) {
            let mut input = vec![0xAA; length];
            for (place, byte) in input.iter_mut().zip(field.to_ne_bytes()) {
                *place = byte;
            }
            assert_sound(&input);
            let first = Attributes::new(&input).next();
            let fits = (4..=length).contains(&usize::from(field));
            assert_eq!(first.is_some(), length >= 4 && fits, "{field} in {length} bytes");
        }
    }
}

#[test]
fn every_input_of_three_bytes_or_less_is_survived() {
    for length in 0..=3 {
        for number in 0..1_u32 << (8 * length) {
            let input = &number.to_ne_bytes()[..length];
            assert_eq!(Attributes::new(input).next(), None);
            assert_eq!(Attributes::new(input).remaining(), length);
        }
    }
}

#[test]
fn a_million_random_bytes_are_survived_in_pieces_of_any_length() {
    let mut random = Random::new(1);
    for _ in 0..20_000 {
        let length = random.below(100);
        let mut input = random.bytes(length);
        // Lengths that are nearly right lead further in than random ones.
        if length >= 4 && random.below(2) == 0 {
            input[0] = random.below(length + 4) as u8;
            input[1] = 0;
        }
        assert_sound(&input);
        for attribute in Attributes::new(&input) {
            assert_sound(attribute.bytes);
            let _ = (attribute.text(), attribute.mac(), attribute.ip());
            let _ = (attribute.value::<u8>(), attribute.value::<u64>(), attribute.prefix::<IfInfoMsg>());
        }
    }
}

#[test]
fn values_are_read_only_at_their_own_size() {
    let attribute = |bytes| Attribute { kind: 1, bytes };
    let four = attribute(&[1, 2, 3, 4]);
    assert_eq!(four.value::<u32>(), Some(u32::from_ne_bytes([1, 2, 3, 4])));
    assert_eq!((four.value::<u8>(), four.value::<u16>(), four.value::<u64>()), (None, None, None));
    assert_eq!(four.prefix::<u16>(), Some(u16::from_ne_bytes([1, 2])));
    assert_eq!((four.prefix::<u64>(), attribute(&[]).value::<u8>()), (None, None));
    assert_eq!(four.ip(), Some(IpAddr::from([1, 2, 3, 4])));
    assert_eq!(attribute(&[0; 16]).ip(), Some(IpAddr::from([0; 16])));
    assert_eq!((attribute(&[0; 5]).ip(), attribute(&[]).ip()), (None, None));
    assert_eq!(attribute(&[2, 0, 0, 0, 0, 1]).mac(), Some(MacAddress::local(1)));
    assert_eq!((four.mac(), attribute(&[0; 20]).mac()), (None, None));
}

#[test]
fn text_ends_at_the_first_nul_and_has_to_be_utf8() {
    let text = |bytes| Attribute { kind: 1, bytes }.text().map(str::to_owned);
    assert_eq!(text(b"v0\0"), Some("v0".to_owned()));
    assert_eq!(text(b"v0"), Some("v0".to_owned()), "without NUL, as ip writes it");
    assert_eq!(text(b"v0\0junk\xFF"), Some("v0".to_owned()));
    assert_eq!((text(b""), text(b"\0")), (Some(String::new()), Some(String::new())));
    assert_eq!(text(b"\xFF\xFE"), None);
}

#[test]
fn the_first_of_many_attributes_of_a_kind_is_found() {
    let mut batch = Batch::new();
    batch.message(libc::RTM_NEWLINK, 0, &IfInfoMsg::default(), |attributes| {
        attributes.value(7, 1_u8);
        attributes.value(8 | libc::NLA_F_NESTED as u16, 2_u8);
        attributes.value(7, 3_u8);
    });
    let message = Messages::new(batch.bytes()).next().unwrap();
    let attributes = message.attributes_after::<IfInfoMsg>();
    assert_eq!(attributes.find(7).and_then(|found| found.value()), Some(1_u8));
    assert_eq!(
        attributes.find(8).and_then(|found| found.value()),
        Some(2_u8),
        "the flag is no part of the kind"
    );
    assert_eq!(attributes.find(9), None);
    assert_eq!(attributes.count(), 3, "to find takes nothing away");
}

#[test]
fn everything_the_writer_writes_is_read_back() {
    let mut random = Random::new(2);
    for _ in 0..2000 {
        let mut batch = Batch::new();
        let values: Vec<(u16, Vec<u8>)> = (0..random.below(12))
            .map(|kind| {
                let length = random.below(40);
                (kind as u16, random.bytes(length))
            })
            .collect();
        let depth = random.below(4);
        batch.message(libc::RTM_NEWLINK, 0, &IfInfoMsg::default(), |attributes| {
            write_at(attributes, depth, &values);
        });
        let message = Messages::new(batch.bytes()).next().unwrap();
        let mut attributes = message.attributes_after::<IfInfoMsg>();
        for _ in 0..depth {
            let nest = attributes.next().unwrap();
            assert_eq!((nest.kind, attributes.next()), (99, None));
            attributes = nest.nested();
        }
        let read: Vec<_> = attributes.by_ref().map(|read| (read.kind, read.bytes.to_vec())).collect();
        assert_eq!(read, values);
        assert_eq!(attributes.remaining(), 0);
    }
}

fn write_at(attributes: &mut crate::wire::AttributeWriter<'_>, depth: usize, values: &[(u16, Vec<u8>)]) {
    if depth > 0 {
        attributes.nest(99, |inside| write_at(inside, depth - 1, values));
        return;
    }
    for (kind, value) in values {
        attributes.bytes(*kind, value);
    }
}

#[test]
fn names_of_any_length_are_read_as_they_were_written() {
    for length in 1..=15 {
        let name = IfName::new(&"x".repeat(length)).unwrap();
        let mut batch = Batch::new();
        batch.message(libc::RTM_NEWLINK, 0, &IfInfoMsg::default(), |attributes| attributes.name(3, name));
        let message = Messages::new(batch.bytes()).next().unwrap();
        let attribute = message.attributes_after::<IfInfoMsg>().next().unwrap();
        assert_eq!(attribute.bytes.len(), length + 1, "the name and its NUL");
        assert_eq!(attribute.bytes.last(), Some(&0));
        assert_eq!(attribute.text(), Some(name.as_str()));
    }
}
