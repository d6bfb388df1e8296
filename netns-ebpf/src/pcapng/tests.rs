//! The blocks, as the specification draws them.

use std::time::Duration;

use super::PcapWriter;
use crate::ViolationEvent;
use crate::packet::Reason;

/// The blocks of a file: kind and body. Lengths stand before and behind, and are multiples of four.
fn blocks(mut bytes: &[u8]) -> Vec<(u32, &[u8])> {
    let mut blocks = Vec::new();
    while !bytes.is_empty() {
        let word = |at: usize| u32::from_ne_bytes(*bytes[at..].first_chunk().unwrap());
        let length = word(4) as usize;
        assert!(length.is_multiple_of(4) && word(length - 4) as usize == length);
        blocks.push((word(0), &bytes[8..length - 4]));
        bytes = &bytes[length..];
    }
    blocks
}

#[test]
fn a_frame_is_written_with_its_comment() {
    let mut file = Vec::new();
    let mut writer = PcapWriter::new(&mut file).unwrap();
    let frame: Vec<u8> = (0..33).collect();
    let event = ViolationEvent {
        time: Duration::from_secs(5),
        slot: None,
        reason: Reason::VlanTag,
        dropped: true,
        length: 100,
        tag: Some((0x8100, 7)),
        frame: &frame,
    };
    writer.write(&event, "vlan-tag").unwrap();
    writer.flush().unwrap();
    let blocks = blocks(&file);
    assert_eq!(blocks.iter().map(|block| block.0).collect::<Vec<_>>(), [0x0A0D_0D0A, 1, 6]);
    let body = blocks[2].1;
    assert_eq!(body[12..16], 37_u32.to_ne_bytes(), "captured, with the tag");
    assert_eq!(body[16..20], 104_u32.to_ne_bytes(), "and on the wire");
    assert_eq!(body[20 + 12..20 + 16], [0x81, 0, 0, 7]);
    assert_eq!(body[20 + 16..20 + 37], frame[12..]);
    assert_eq!(&body[20 + 40 + 4..][..8], b"vlan-tag");
}
