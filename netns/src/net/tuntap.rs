//! `netns tuntap`: TAPs and TUNs, in `ip tuntap`'s words.

use super::index;
use super::line::WordLine;
use super::option::{self, Keys};
use super::words::{Keyword, Takes, find, other, short};
use crate::failure::Failure;
use crate::output::stdout;
use netns_core::IfName;
use netns_core::link::{self, Link, LinkKind, TunType};
use netns_core::tap::{Tap, TapMode, TapOptions};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;

/// What a command line does with TAPs and TUNs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TuntapVerb {
    Add,
    Delete,
    Show,
}

pub(super) const VERBS: &[Keyword<TuntapVerb>] = &[
    short("add", Takes::Nothing, TuntapVerb::Add),
    short("delete", Takes::Nothing, TuntapVerb::Delete),
    short("show", Takes::Nothing, TuntapVerb::Show),
    short("lst", Takes::Nothing, TuntapVerb::Show),
    short("list", Takes::Nothing, TuntapVerb::Show),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TuntapWord {
    Mode,
    User,
    Group,
    PacketInfo,
    VnetHeader,
    MultiQueue,
    Name,
    Refused,
}

/// In the order of `parse_args` of `ip/iptuntap.c`.
pub(super) const TUNTAP_WORDS: &[Keyword<TuntapWord>] = &[
    short("mode", Takes::Value, TuntapWord::Mode),
    short("user", Takes::Value, TuntapWord::User),
    short("group", Takes::Value, TuntapWord::Group),
    short("pi", Takes::Nothing, TuntapWord::PacketInfo),
    short("one_queue", Takes::Refused, TuntapWord::Refused),
    short("vnet_hdr", Takes::Nothing, TuntapWord::VnetHeader),
    short("multi_queue", Takes::Nothing, TuntapWord::MultiQueue),
    short("dev", Takes::Value, TuntapWord::Name),
    short("name", Takes::Value, TuntapWord::Name),
    other(Takes::Value, TuntapWord::Name),
];

pub(super) fn tuntap(line: &mut WordLine) -> Result<(), Failure> {
    let verb = line.verb(VERBS, TuntapVerb::Show)?;
    if verb == TuntapVerb::Show {
        line.end()?;
        return show(line, &link::list(&mut line.manner.open()?)?);
    }
    let phrases = line.phrases(TUNTAP_WORDS)?;
    let mut names = phrases.iter().filter(|phrase| phrase.act == TuntapWord::Name);
    let name: IfName = match (names.next(), names.next()) {
        (Some(name), None) => name.value().parse()?,
        (None, _) => return Err(Failure::Usage(format!("`{}`: the name is missing", line.about))),
        (_, Some(name)) => return Err(Failure::Usage(format!("{:?} is one name too many", name.value()))),
    };
    let mut options = TapOptions { mode: TapMode::Tap, ..TapOptions::new(name) };
    let (mut has_mode, mut user, mut group) = (false, None, None);
    for phrase in &phrases {
        match phrase.act {
            TuntapWord::Mode => {
                const MODES: &[Keyword<TapMode>] =
                    &[short("tun", Takes::Nothing, TapMode::Tun), short("tap", Takes::Nothing, TapMode::Tap)];
                options.mode =
                    find(MODES, phrase.value()).ok_or_else(|| phrase.wrong("neither tun nor tap"))?.act;
                has_mode = true;
            }
            TuntapWord::User => user = Some(phrase.number32()?),
            TuntapWord::Group => group = Some(phrase.number32()?),
            TuntapWord::PacketInfo => options.packet_info = true,
            TuntapWord::VnetHeader => options.vnet_hdr = true,
            TuntapWord::MultiQueue => options.multi_queue = true,
            TuntapWord::Name | TuntapWord::Refused => {}
        }
    }
    if !has_mode {
        return Err(Failure::Usage(format!("`{}`: `mode tap` or `mode tun` is missing", line.about)));
    }
    if verb == TuntapVerb::Delete {
        return delete(line, name, options.mode);
    }
    let tap = match line.manner.namespace()? {
        Some(namespace) => Tap::create_in(&namespace, &options)?,
        None => Tap::create(&options)?,
    };
    if let Some(user) = user {
        tap.set_owner(user)?;
    }
    if let Some(group) = group {
        tap.set_group(group)?;
    }
    // Last: an earlier failure leaves nothing.
    Ok(tap.set_persistent(true)?)
}

fn delete(line: &WordLine, name: IfName, mode: TapMode) -> Result<(), Failure> {
    let mut socket = line.manner.open()?;
    let index = index(&mut socket, name.as_str())?;
    let found = link::get(&mut socket, index)?;
    let is = |word: &str| found.kind.as_deref() == Some("tun") && kind_word(&found) == Some(word);
    let (word, what) = if mode == TapMode::Tap { ("tap", "TAP") } else { ("tun", "TUN") };
    if !is(word) {
        return Err(Failure::Usage(format!("{name} is not a {what}")));
    }
    Ok(link::delete(&mut socket, index)?)
}

/// `tun` or `tap`.
fn kind_word(link: &Link) -> Option<&'static str> {
    let Some(LinkKind::Tun(options)) = link.details else { return None };
    options.tun_type.and_then(TunType::word)
}

fn show(line: &WordLine, links: &[Link]) -> Result<(), Failure> {
    let taps = links
        .iter()
        .filter_map(|link| Some((link, link.details.filter(|details| matches!(details, LinkKind::Tun(_)))?)));
    let mut out = stdout();
    if line.manner.json {
        let taps = taps.map(|(link, details)| {
            let mut object = option::json(&details, &BTreeMap::new(), Keys::Ip);
            object.insert("ifname".to_owned(), link.name.to_string().into());
            Value::Object(object)
        });
        return line.manner.print_json(&mut out, &taps.collect());
    }
    for (link, details) in taps {
        writeln!(out, "{}:{}", link.name, option::text(&details, &BTreeMap::new()))?;
    }
    Ok(())
}
