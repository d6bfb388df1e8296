use super::{Types, cast, fields_in, kernel_types};
use crate::layout::{ChecksumFields, SkbAccess};
use std::fs;

#[test]
fn the_kernels_fields_are_found_and_fit() {
    let Ok(bytes) = fs::read(super::FILE) else { return };
    let types = Types::parse(&bytes).unwrap();
    let fields = fields_in(&types).unwrap();
    let places = [fields.kind, fields.sum_start, fields.sum_offset, fields.frame].map(usize::from);
    assert!(places.iter().all(|&place| place + 2 <= ChecksumFields::SPAN), "{fields:?}");
    assert_eq!(fields.sum_offset, fields.sum_start + 2, "they share a word with the checksum: {fields:?}");
    assert!(places.contains(&0), "{fields:?}");
    // The same three, as seen from a structure of another name: there are no such members.
    let other = types.structure("net_device").unwrap();
    assert_eq!(types.member(other, "csum_start", super::DEPTH), None);
}

#[test]
fn the_function_that_the_kernel_has_is_called() {
    let Ok(bytes) = fs::read(super::FILE) else { return };
    let types = Types::parse(&bytes).unwrap();
    // By loading a program.
    let known = kernel_types().unwrap();
    let fields = known.fields;
    assert_eq!(fields_in(&types), Some(ChecksumFields { access: SkbAccess::Copied, ..fields }));
    assert_eq!(known.cast, types.function(cast::FUNCTION));
    assert_eq!(known.cast.is_some(), fields.access == SkbAccess::Direct);
}

#[test]
fn whatever_bytes_come_there_is_an_answer() {
    let Ok(bytes) = fs::read(super::FILE) else { return };
    for length in [0, 1, 23, 24, 100, bytes.len() / 2, bytes.len() - 1] {
        assert!(Types::parse(&bytes[..length]).and_then(|types| fields_in(&types)).is_none(), "{length}");
    }
    assert!(Types::parse(&[0xFF; 4096]).is_none());
}

#[test]
fn fields_survive_being_a_word() {
    for access in [SkbAccess::Copied, SkbAccess::Direct] {
        let fields = ChecksumFields {
            start: 0x1FF,
            kind: 1,
            kind_shift: 5,
            sum_start: 8,
            sum_offset: 10,
            frame: 62,
            access,
        };
        assert_eq!(ChecksumFields::from_word(fields.to_word()), fields);
        assert_ne!(ChecksumFields { start: 0, kind: 0, sum_start: 0, frame: 0, ..fields }.to_word(), 0);
    }
}
