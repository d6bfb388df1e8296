//! Names of attributes, and the attribute that an offset points at.

use super::{NlAttr, align};
use bytemuck::pod_read_unaligned;

/// An attribute's name, what it holds in front of nested attributes, and those.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    pub(crate) kind: u16,
    pub(crate) text: &'static str,
    pub(crate) header: usize,
    pub(crate) inside: &'static [Name],
}

pub(crate) const fn leaf(kind: u16, name: &'static str) -> Name {
    Name { kind, text: name, header: 0, inside: &[] }
}

pub(crate) const fn nest(kind: u16, name: &'static str, inside: &'static [Name]) -> Name {
    Name { kind, text: name, header: 0, inside }
}

/// The path of the attribute that begins at `target`, in the attributes of which `bytes` consists.
pub(crate) fn path(bytes: &[u8], target: usize, names: &'static [Name]) -> Option<String> {
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + size_of::<NlAttr>()) {
        let header: NlAttr = pod_read_unaligned(header);
        let end = at + header.length as usize;
        let Known { name, skip, inside } = name_of(header.kind, names);
        if at == target {
            return Some(name);
        }
        let first = at + size_of::<NlAttr>() + skip;
        if let Some(rest) = target.checked_sub(first).filter(|_| target < end) {
            let below = path(bytes.get(first..end)?, rest, inside)?;
            return Some(format!("{name}/{below}"));
        }
        if align(header.length as usize) < size_of::<NlAttr>() {
            return None;
        }
        at += align(header.length as usize);
    }
    None
}

/// What is known of an attribute.
struct Known {
    name: String,
    skip: usize,
    inside: &'static [Name],
}

fn name_of(kind: u16, names: &'static [Name]) -> Known {
    let kind = kind & !(libc::NLA_F_NESTED as u16);
    match names.iter().find(|name| name.kind == kind) {
        Some(known) => Known { name: known.text.to_owned(), skip: known.header, inside: known.inside },
        None => Known { name: format!("attribute {kind}"), skip: 0, inside: &[] },
    }
}

/// The name of the attribute of this number.
pub(crate) fn name(kind: u16, names: &'static [Name]) -> String {
    name_of(kind, names).name
}
