//! The kernel's own types, as far as a program has to know a structure that it is not meant to see: where `sk_buff` has the
//! fields of [`ChecksumFields`], and how a program may read them.
//!
//! [The format](https://docs.kernel.org/bpf/btf.html): a header, types one after the other, each with a name, its kind and
//! its members, and the names. The file has some megabytes, so it is read once a process.

use std::fs;
use std::sync::OnceLock;

use super::cast;
use crate::layout::{ChecksumFields, SkbAccess};

/// The kernel's types; anybody may read them.
const FILE: &str = "/sys/kernel/btf/vmlinux";

/// Kinds of types.
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const FUNCTION: u32 = 12;
/// A member's offset has the width of a bit field above these bits, if its structure says so.
const OFFSET: u32 = 0xFF_FFFF;
/// Anonymous structures and unions lie in each other no deeper than this.
const DEPTH: usize = 8;

/// What is known of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KernelTypes {
    pub(super) fields: ChecksumFields,
    /// The number of the function that lets a program read `sk_buff` in place, where it can be called.
    pub(super) cast: Option<u32>,
}

/// Where the fields are, and how they are read; the reason why that is not known.
pub(super) fn kernel_types() -> Result<KernelTypes, &'static str> {
    static TYPES: OnceLock<Result<KernelTypes, &'static str>> = OnceLock::new();
    *TYPES.get_or_init(|| {
        let bytes = fs::read(FILE)
            .map_err(|_| "/sys/kernel/btf/vmlinux, the kernel's types (CONFIG_DEBUG_INFO_BTF), cannot be read")?;
        let types = Types::parse(&bytes);
        let fields = types.as_ref().and_then(fields_in);
        let fields = fields.ok_or("the kernel's types do not have sk_buff as it is known here")?;
        let cast = types.and_then(|types| types.function(cast::FUNCTION));
        if let Some(cast) = cast.filter(|&cast| cast::is_allowed(cast, fields.start + u16::from(fields.kind))) {
            return Ok(KernelTypes { fields: ChecksumFields { access: SkbAccess::Direct, ..fields }, cast: Some(cast) });
        }
        // aya puts another helper in its place where the kernel does not let programs read its memory (lockdown).
        if !aya::features().bpf_probe_read_kernel() {
            return Err("this kernel does not let programs read its memory (bpf_probe_read_kernel; lockdown forbids it)");
        }
        Ok(KernelTypes { fields, cast: None })
    })
}

/// Where they are, as these types say.
fn fields_in(types: &Types<'_>) -> Option<ChecksumFields> {
    let buffer = types.structure("sk_buff")?;
    let bit = |name| types.member(buffer, name, DEPTH);
    // Two bytes, aligned.
    let short = |name| bit(name).filter(|bit| bit % 16 == 0).map(|bit| bit / 8);
    let kind = bit("ip_summed")?;
    let [sum_start, sum_offset, frame] = [short("csum_start")?, short("csum_offset")?, short("mac_header")?];
    // What is aligned in the structure is so in a copy of a part of it, too.
    let start = (kind / 8).min(sum_start).min(sum_offset).min(frame) & !1;
    // Two bytes each, and of the first only one.
    let end = (kind / 8 + 1).max(sum_start + 2).max(sum_offset + 2).max(frame + 2);
    if end - start > ChecksumFields::SPAN as u32 || kind % 8 > 6 {
        return None;
    }
    let from_start = |at: u32| u8::try_from(at - start).ok();
    Some(ChecksumFields {
        start: u16::try_from(start).ok()?,
        kind: from_start(kind / 8)?,
        kind_shift: u8::try_from(kind % 8).ok()?,
        sum_start: from_start(sum_start)?,
        sum_offset: from_start(sum_offset)?,
        frame: from_start(frame)?,
        access: SkbAccess::Copied,
    })
}

struct Types<'a> {
    descriptions: &'a [u8],
    names: &'a [u8],
    /// Where each type begins, of which the first has the number 1.
    starts: Vec<usize>,
}

impl<'a> Types<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        const MAGIC: u32 = 0xEB9F;
        let [magic, length, type_at, type_length, name_at, name_length] =
            [0, 4, 8, 12, 16, 20].map(|at| word(bytes, at));
        if magic? & 0xFFFF != MAGIC {
            return None;
        }
        let part = |at: u32, size: u32| {
            let start = (length? as usize).checked_add(at as usize)?;
            bytes.get(start..start.checked_add(size as usize)?)
        };
        let (descriptions, names) = (part(type_at?, type_length?)?, part(name_at?, name_length?)?);
        let (mut starts, mut at) = (Vec::new(), 0);
        while at < descriptions.len() {
            starts.push(at);
            let info = word(descriptions, at + 4)?;
            at += HEADER + tail(info)?;
        }
        Some(Self { descriptions, names, starts })
    }

    /// The kind and the number of members of a type, and where they begin.
    fn header(&self, start: usize) -> Option<(u32, bool, usize)> {
        let info = word(self.descriptions, start + 4)?;
        Some((info >> 24 & 0x1F, info >> 31 != 0, (info & 0xFFFF) as usize))
    }

    /// Where the structure of this name begins.
    fn structure(&self, name: &str) -> Option<usize> {
        let is_it = |start: &usize| {
            self.header(*start).is_some_and(|(kind, _, members)| kind == STRUCT && members > 0)
                && word(self.descriptions, *start).and_then(|at| self.name(at)) == Some(name.as_bytes())
        };
        self.starts.iter().copied().find(is_it)
    }

    /// The number of the function of this name.
    fn function(&self, name: &str) -> Option<u32> {
        let is_it = |&start: &usize| {
            self.header(start).is_some_and(|(kind, ..)| kind == FUNCTION)
                && word(self.descriptions, start).and_then(|at| self.name(at)) == Some(name.as_bytes())
        };
        // Functions come last.
        let at = self.starts.iter().rposition(is_it)?;
        u32::try_from(at + 1).ok()
    }

    fn name(&self, at: u32) -> Option<&'a [u8]> {
        self.names.get(at as usize..)?.split(|&byte| byte == 0).next()
    }

    /// The bit at which a member of this name begins, in the structure that begins at `start` or in one without a name that
    /// is in it.
    fn member(&self, start: usize, name: &str, depth: usize) -> Option<u32> {
        let (kind, has_widths, members) = self.header(start)?;
        if !matches!(kind, STRUCT | UNION) || depth == 0 {
            return None;
        }
        (0..members).find_map(|number| {
            let at = start + HEADER + number * MEMBER;
            let [own, number, place] = [0, 4, 8].map(|part| word(self.descriptions, at + part));
            let place = if has_widths { place? & OFFSET } else { place? };
            match self.name(own?)? {
                b"" => {
                    let inner = *self.starts.get((number? as usize).checked_sub(1)?)?;
                    Some(place + self.member(inner, name, depth - 1)?)
                }
                found => (found == name.as_bytes()).then_some(place),
            }
        })
    }
}

/// A type's name, its kind with the number of its members, and its size or the type that it is of.
const HEADER: usize = 12;
/// A member's name, type and place.
const MEMBER: usize = 12;

/// How many bytes follow a type's header; `None` for a kind that is not known.
const fn tail(info: u32) -> Option<usize> {
    let members = (info & 0xFFFF) as usize;
    Some(match info >> 24 & 0x1F {
        // Pointers, names for types, qualifiers, functions, floats, tags.
        2 | 7..=12 | 16 | 18 => 0,
        // Integers, variables, tags of declarations.
        1 | 14 | 17 => 4,
        // Arrays.
        3 => 12,
        STRUCT | UNION | 15 | 19 => members * 12,
        // Enumerations and functions' parameters.
        6 | 13 => members * 8,
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests;
