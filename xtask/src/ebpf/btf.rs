//! BTF types as text: [the format](https://docs.kernel.org/bpf/btf.html), as far as comparing needs it.
//!
//! Names are written out and offsets into the string table left out, because that table also holds source lines and
//! paths.

const MAGIC: u32 = 0xeb9f;

/// What follows a type's header: `members` records of `words` words, of which the first is a name if `named`.
struct Shape {
    kind: &'static str,
    words: usize,
    named: bool,
    /// Whether there is one record, whatever the number of members.
    single: bool,
}

/// The shape of each kind of type, by its number.
fn shape(kind: u32) -> Option<Shape> {
    let (kind, words, named, single) = match kind {
        1 => ("int", 1, false, true),
        2 => ("ptr", 0, false, true),
        3 => ("array", 3, false, true),
        4 => ("struct", 3, true, false),
        5 => ("union", 3, true, false),
        6 => ("enum", 2, true, false),
        7 => ("fwd", 0, false, true),
        8 => ("typedef", 0, false, true),
        9 => ("volatile", 0, false, true),
        10 => ("const", 0, false, true),
        11 => ("restrict", 0, false, true),
        12 => ("func", 0, false, true),
        13 => ("func_proto", 2, true, false),
        14 => ("var", 1, false, true),
        15 => ("datasec", 3, false, false),
        16 => ("float", 0, false, true),
        17 => ("decl_tag", 1, false, true),
        18 => ("type_tag", 0, false, true),
        19 => ("enum64", 3, true, false),
        _ => return None,
    };
    Some(Shape { kind, words, named, single })
}

/// One line for each type.
pub(super) fn describe(section: &[u8]) -> Result<Vec<String>, String> {
    let broken = || String::from("the section .BTF is broken");
    let (words, _) = section.as_chunks::<4>();
    let header: Vec<u32> = words.iter().take(6).map(|word| u32::from_le_bytes(*word)).collect();
    let &[magic, length, type_offset, type_length, string_offset, string_length] = header.as_slice() else {
        return Err(broken());
    };
    if magic & 0xffff != MAGIC {
        return Err(broken());
    }
    let part = |offset: u32, size: u32| {
        let start = length as usize + offset as usize;
        section.get(start..start + size as usize).ok_or_else(broken)
    };
    let strings = part(string_offset, string_length)?;
    let (types, _) = part(type_offset, type_length)?.as_chunks::<4>();
    let mut types = types.iter().map(|word| u32::from_le_bytes(*word));
    let mut lines = Vec::new();
    while let Some(name) = types.next() {
        let info = types.next().ok_or_else(broken)?;
        let size = types.next().ok_or_else(broken)?;
        let shape = shape(info >> 24 & 0x1f).ok_or_else(|| format!("unknown kind of type: {info:#x}"))?;
        let members = if shape.single { 1 } else { info as usize & 0xffff };
        let mut words = vec![format!(
            "[{}] {} '{}' {size} {:#x}",
            lines.len() + 1,
            shape.kind,
            string(strings, name),
            info & 0x80ff_ffff
        )];
        for _ in 0..members {
            for word in 0..shape.words {
                let value = types.next().ok_or_else(broken)?;
                words.push(match word {
                    0 if shape.named => format!("'{}'", string(strings, value)),
                    _ => value.to_string(),
                });
            }
        }
        lines.push(words.join(" "));
    }
    Ok(lines)
}

/// The string that begins at an offset.
fn string(strings: &[u8], offset: u32) -> String {
    let rest = strings.get(offset as usize..).unwrap_or_default();
    let end = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
    String::from_utf8_lossy(&rest[..end]).into_owned()
}
