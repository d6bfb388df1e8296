//! Taking an object apart.

use std::collections::BTreeMap;

use object::build::elf::{Builder, SectionData};
use object::elf::SHT_STRTAB;
use object::read::elf::{ElfFile64, ElfSection64, ElfSymbol64};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, RelocationTarget, SymbolKind};

/// One instruction of BPF has this many bytes.
const INSTRUCTION: usize = 8;

type File<'data> = ElfFile64<'data, Endianness>;
type Section<'data, 'file> = ElfSection64<'data, 'file, Endianness>;
type Symbol<'data, 'file> = ElfSymbol64<'data, 'file, Endianness>;

/// Removes what only a debugger reads, nine tenths of the object. What the kernel and the loader read stays, BTF
/// included.
pub(super) fn strip(object: &[u8]) -> Result<Vec<u8>, object::build::Error> {
    let mut builder = Builder::read(object)?;
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        section.delete = name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
    }
    if !builder.sections.iter().any(|section| matches!(section.data, SectionData::SectionString)) {
        // LLVM keeps the sections' names among the symbols'; the builder writes them apart.
        let names = builder.sections.add();
        names.name = b".shstrtab"[..].into();
        names.sh_type = SHT_STRTAB;
        names.sh_addralign = 1;
        names.data = SectionData::SectionString;
    }
    builder.delete_orphan_symbols();
    builder.delete_orphan_relocations();
    builder.set_section_sizes();
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}

/// What matters of an object, by name, as lines to compare: a function's instructions, the bytes of a map's definition
/// or a global, the constants, the types. What they refer to stands beside them by name, so that nothing depends on the
/// order in which the compiler laid them out.
pub(super) fn parts(object: &[u8]) -> Result<BTreeMap<String, Vec<String>>, String> {
    let file = File::parse(object).map_err(|error| format!("parse the object: {error}"))?;
    let mut parts = BTreeMap::new();
    let mut constants = Vec::new();
    for symbol in file.symbols() {
        let Some((section, bytes)) = content(&file, &symbol) else { continue };
        match symbol.kind() {
            SymbolKind::Text => {
                let lines = lines(&file, &section, bytes, symbol.address());
                parts.insert(format!("function {}", name(&symbol)), lines);
            }
            SymbolKind::Data if symbol.is_global() => {
                parts.insert(
                    format!("data {}", name(&symbol)),
                    lines(&file, &section, bytes, symbol.address()),
                );
            }
            SymbolKind::Data => constants.push(constant(bytes)),
            _ => {}
        }
    }
    constants.sort();
    parts.insert("constants".into(), constants);
    let types = file.section_by_name(".BTF").and_then(|section| section.data().ok());
    parts.insert("types".into(), super::btf::describe(types.unwrap_or_default())?);
    Ok(parts)
}

/// A symbol's section, and its bytes in it.
fn content<'data, 'file>(
    file: &'file File<'data>,
    symbol: &Symbol<'data, 'file>,
) -> Option<(Section<'data, 'file>, &'data [u8])> {
    let section = file.section_by_index(symbol.section_index()?).ok()?;
    let start = usize::try_from(symbol.address()).ok()?;
    let size = usize::try_from(symbol.size()).ok().filter(|&size| size > 0)?;
    let bytes = section.data().ok()?.get(start..start.checked_add(size)?)?;
    Some((section, bytes))
}

/// Bytes as text, an instruction a line, with what they refer to. `start` is their place in the section.
fn lines(file: &File<'_>, section: &Section<'_, '_>, bytes: &[u8], start: u64) -> Vec<String> {
    let targets: BTreeMap<u64, _> = section
        .relocations()
        .filter_map(|(place, relocation)| match relocation.target() {
            RelocationTarget::Symbol(symbol) => Some((place, symbol)),
            _ => None,
        })
        .collect();
    bytes
        .chunks(INSTRUCTION)
        .zip((start..).step_by(INSTRUCTION))
        .map(|(bytes, place)| match targets.get(&place).and_then(|&index| file.symbol_by_index(index).ok()) {
            Some(symbol) => format!("{} -> {}", hex(&bytes[..4]), target(file, &symbol, bytes)),
            None => hex(bytes),
        })
        .collect()
}

/// What an instruction refers to: a symbol, or a section and, in the instruction, the place in it.
fn target(file: &File<'_>, symbol: &Symbol<'_, '_>, instruction: &[u8]) -> String {
    if symbol.kind() != SymbolKind::Section {
        return described(file, symbol);
    }
    let section = symbol.section_index();
    let immediate =
        instruction.get(4..).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_le_bytes);
    // A call counts in instructions, from the next one.
    let is_call = instruction.first() == Some(&0x85);
    let place = if is_call { (i64::from(immediate) + 1) * 8 } else { i64::from(immediate) };
    let is_it = |symbol: &Symbol<'_, '_>| {
        symbol.kind() != SymbolKind::Section
            && symbol.section_index() == section
            && u64::try_from(place) == Ok(symbol.address())
    };
    if let Some(symbol) = file.symbols().find(is_it) {
        return described(file, &symbol);
    }
    let section = section.and_then(|index| file.section_by_index(index).ok());
    format!("{}+{place:#x}", section.as_ref().and_then(|section| section.name().ok()).unwrap_or("?"))
}

/// A symbol by its name; a constant, whose name the compiler makes up, by its content.
fn described(file: &File<'_>, symbol: &Symbol<'_, '_>) -> String {
    match content(file, symbol) {
        Some((_, bytes)) if symbol.is_local() && symbol.kind() == SymbolKind::Data => constant(bytes),
        _ => name(symbol),
    }
}

/// A constant: a piece of a log message, mostly.
fn constant(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// A symbol's name; a mangled one without the hash of its crate, which differs from toolchain to toolchain.
fn name(symbol: &Symbol<'_, '_>) -> String {
    plain(symbol.name().unwrap_or("?"))
}

fn plain(name: &str) -> String {
    let hash = name.split_once("Cs").filter(|_| name.starts_with("_R"));
    match hash.and_then(|(before, rest)| Some((before, rest.split_once('_')?))) {
        Some((before, (_hash, after))) => format!("{before}C{after}"),
        None => name.into(),
    }
}

#[cfg(test)]
mod tests;
