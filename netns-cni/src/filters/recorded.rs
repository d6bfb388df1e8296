//! What an attachment has in the packet filter, by name, in its record: `DEL` asks for that alone, however many containers there
//! are.
//!
//! Elements are written down before they are added. The kernel numbers rules, so these are written down afterwards, and what says
//! that they are about to be added before.

use super::{FilterTable, SetEntry, is_nothing, owner::ElementOwner};
use crate::attachments;
use crate::failure::Outcome;
use crate::request::PluginRequest;
use netns_core::nftables::rule::{self, RuleInfo};
use netns_core::nftables::{Family, NftSocket, Table, Transaction, element};
use netns_core::record::{Line, RecordFile};
use std::fmt::Write as _;

/// The line from which on all that the attachment has is in the record.
const BEGINNING: &str = "filters";
const ELEMENT: &str = "element";
const RULE: &str = "rule";
/// Rules are about to be added.
const OPENING: &str = "opening";
/// They are, and in the record.
const OPENED: &str = "opened";

/// Those in whose tables rules are.
const FAMILIES: [Family; 3] = [Family::Ip, Family::Ip6, Family::Inet];

/// Something of the packet filter, as a record names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RecordedFilter {
    Element { table: FilterTable, set: String, key: Vec<u8> },
    Rule { family: u8, table: String, chain: String, handle: u64 },
}

/// What a record says of the packet filter.
#[derive(Debug, Default)]
pub(super) struct RecordedFilters {
    /// Each once.
    pub(super) named: Vec<RecordedFilter>,
    /// Whether it names everything but rules.
    pub(super) is_whole: bool,
    /// Whether it names all rules.
    pub(super) has_rules: bool,
}

/// The first line of what a record says here.
pub(crate) fn beginning() -> Line {
    Line::new(BEGINNING)
}

/// The record of a plugin that comes after others, begun unless it was called for this attachment before.
pub(crate) fn begin(request: &PluginRequest, plugin: &str) -> Outcome<RecordFile> {
    let mut record = attachments::resume(request, plugin)?;
    if record.lines().is_empty() {
        record.append(&[beginning()])?;
    }
    Ok(record)
}

/// Writes down elements that are about to be added.
pub(crate) fn note_elements(
    record: &mut RecordFile,
    table: FilterTable,
    entries: &[SetEntry],
) -> Outcome<()> {
    let line = |entry: &SetEntry| {
        Line::new(ELEMENT).with(table.word()).with(entry.set.name).with(hexadecimal(entry.key.bytes()))
    };
    Ok(record.append(&entries.iter().map(line).collect::<Vec<_>>())?)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes down that rules are about to be added.
pub(crate) fn note_opening(record: &mut RecordFile) -> Outcome<()> {
    Ok(record.append(&[Line::new(OPENING)])?)
}

/// Writes down the rules that were.
pub(crate) fn note_rules(record: &mut RecordFile, rules: &[RuleInfo]) -> Outcome<()> {
    let line = |rule: &RuleInfo| {
        Line::new(RULE).with(rule.family.number()).with(&rule.table).with(&rule.chain).with(rule.handle)
    };
    let mut lines: Vec<Line> = rules.iter().map(line).collect();
    lines.push(Line::new(OPENED));
    Ok(record.append(&lines)?)
}

impl RecordedFilters {
    pub(super) fn read(lines: &[Line]) -> Self {
        let count = |key: &str| lines.iter().filter(|line| line.key() == key).count();
        let mut named: Vec<_> = lines.iter().filter_map(RecordedFilter::read).collect();
        named.sort_unstable();
        // A second `ADD` has the same elements.
        named.dedup();
        Self { named, is_whole: count(BEGINNING) > 0, has_rules: count(OPENING) == count(OPENED) }
    }
}

impl RecordedFilter {
    fn read(line: &Line) -> Option<Self> {
        let text = |word: usize| line.text(word).map(str::to_owned);
        match line.key() {
            ELEMENT => {
                let (table, set, key) = (FilterTable::of_word(line.text(0)?)?, text(1)?, line.text(2)?);
                let byte = |place: usize| u8::from_str_radix(key.get(2 * place..2 * place + 2)?, 16).ok();
                let key = (0..key.len() / 2).map(byte).collect::<Option<_>>()?;
                Some(Self::Element { table, set, key })
            }
            RULE => Some(Self::Rule {
                family: line.parse(0)?,
                table: text(1)?,
                chain: text(2)?,
                handle: line.parse(3)?,
            }),
            _ => None,
        }
    }

    /// Appends its removal, if it is there and the owner's.
    pub(super) fn encode_removal(
        &self,
        socket: &mut NftSocket,
        transaction: &mut Transaction,
        owner: &ElementOwner,
    ) -> Outcome<()> {
        let is_its = |comment: Option<String>| comment.as_deref() == Some(owner.comment());
        match self {
            Self::Element { table, set, key } => {
                let found = match element::get(socket, table.table(), set, key) {
                    Err(error) if is_nothing(&error) => None,
                    other => other?,
                };
                if found.is_some_and(|found| is_its(found.comment)) {
                    element::encode_remove(transaction, table.table(), set, [&**key].into_iter());
                }
            }
            Self::Rule { family, table, chain, handle } => {
                let Some(family) = FAMILIES.into_iter().find(|known| known.number() == *family) else {
                    return Ok(());
                };
                let table = Table { family, name: table };
                let found = match rule::get(socket, table, chain, *handle) {
                    Err(error) if is_nothing(&error) => None,
                    other => other?,
                };
                if found.is_some_and(|found| is_its(found.comment)) {
                    rule::encode_delete(transaction, table, chain, *handle);
                }
            }
        }
        Ok(())
    }
}
