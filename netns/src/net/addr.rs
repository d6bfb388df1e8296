//! `netns addr`.

use super::addr_change::{self, AddrVerb};
use super::line::WordLine;
use super::link::{self, LinkFilter};
use super::route_values;
use super::words::{IpFamily, Keyword, Phrase, Takes, other, short, whole};
use crate::failure::Failure;
use crate::output::stdout;
use netns_core::address::{self, Address, Scope};
use netns_core::link::{self as links, Link};
use netns_core::{IpNet, RouteSocket};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

/// `IFA_F_*` in the order of `ip`: <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/if_addr.h>.
const FLAGS: [(u32, &str); 11] = [
    (0x001, "secondary"),
    (0x002, "nodad"),
    (0x004, "optimistic"),
    (0x008, "dadfailed"),
    (0x010, "home"),
    (0x020, "deprecated"),
    (0x040, "tentative"),
    (0x100, "mngtmpaddr"),
    (0x200, "noprefixroute"),
    (0x400, "autojoin"),
    (0x800, "stable-privacy"),
];
/// The flag whose absence `ip` shows as "dynamic".
const PERMANENT: u32 = 0x080;

pub(super) const VERBS: &[Keyword<AddrVerb>] = &[
    short("add", Takes::Nothing, AddrVerb::Add),
    short("change", Takes::Nothing, AddrVerb::Change),
    whole("chg", Takes::Nothing, AddrVerb::Change),
    short("replace", Takes::Nothing, AddrVerb::Replace),
    short("delete", Takes::Nothing, AddrVerb::Delete),
    short("list", Takes::Nothing, AddrVerb::Show),
    short("show", Takes::Nothing, AddrVerb::Show),
    short("lst", Takes::Nothing, AddrVerb::Show),
    short("flush", Takes::Nothing, AddrVerb::Flush),
    short("save", Takes::Refused, AddrVerb::Show),
    short("showdump", Takes::Refused, AddrVerb::Show),
    short("restore", Takes::Refused, AddrVerb::Show),
];

/// Which addresses are shown, or flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddrFilter {
    To,
    Scope,
    Label,
    /// Those with this flag, or those without it.
    Flag(u32, bool),
    /// Those of links that pass a filter.
    Link(LinkFilter),
}

/// `IFA_F_SECONDARY`, which is `IFA_F_TEMPORARY` of IPv6.
const SECONDARY: u32 = 0x01;

pub(super) const SHOW: &[Keyword<AddrFilter>] = &[
    whole("to", Takes::Value, AddrFilter::To),
    whole("scope", Takes::Value, AddrFilter::Scope),
    whole("up", Takes::Nothing, AddrFilter::Link(LinkFilter::Up)),
    whole("dynamic", Takes::Nothing, AddrFilter::Flag(PERMANENT, false)),
    whole("permanent", Takes::Nothing, AddrFilter::Flag(PERMANENT, true)),
    whole("primary", Takes::Nothing, AddrFilter::Flag(SECONDARY, false)),
    whole("secondary", Takes::Nothing, AddrFilter::Flag(SECONDARY, true)),
    whole("temporary", Takes::Nothing, AddrFilter::Flag(SECONDARY, true)),
    whole("tentative", Takes::Nothing, AddrFilter::Flag(0x40, true)),
    whole("deprecated", Takes::Nothing, AddrFilter::Flag(0x20, true)),
    whole("dadfailed", Takes::Nothing, AddrFilter::Flag(0x08, true)),
    whole("nodad", Takes::Nothing, AddrFilter::Flag(0x02, true)),
    whole("noprefixroute", Takes::Nothing, AddrFilter::Flag(0x200, true)),
    whole("label", Takes::Value, AddrFilter::Label),
    whole("group", Takes::Value, AddrFilter::Link(LinkFilter::Group)),
    whole("master", Takes::Value, AddrFilter::Link(LinkFilter::Master)),
    whole("vrf", Takes::Refused, AddrFilter::To),
    whole("nomaster", Takes::Nothing, AddrFilter::Link(LinkFilter::NoMaster)),
    whole("type", Takes::Value, AddrFilter::Link(LinkFilter::Kind)),
    whole("dev", Takes::Value, AddrFilter::Link(LinkFilter::Dev)),
    other(Takes::Value, AddrFilter::Link(LinkFilter::Dev)),
];

pub(super) fn addr(line: &mut WordLine) -> Result<(), Failure> {
    match line.verb(VERBS, AddrVerb::Show)? {
        AddrVerb::Show => {
            let phrases = line.phrases(SHOW)?;
            let mut socket = line.manner.open()?;
            let (mut links, wanted) = select(line, &mut socket, &phrases)?;
            let all = links::list(&mut socket)?;
            let addresses = address::list(&mut socket)?;
            let of =
                |link: &Link| addresses.iter().filter(move |address| address.index == link.index).collect();
            // A link without addresses has none of the wrong family.
            links.retain(|link| {
                let found: Vec<&Address> = of(link);
                found.iter().any(|address| wanted.lets(link, address))
                    || found.is_empty() && wanted.family.is_none()
            });
            let shown = |link: &Link| {
                let mut found: Vec<&Address> = of(link);
                found.retain(|address| wanted.lets(link, address));
                found
            };
            show(line, &links, &all, wanted.label.is_none(), shown)
        }
        AddrVerb::Flush => {
            let phrases = line.phrases(SHOW)?;
            if phrases.is_empty() {
                return Err(Failure::Usage(format!("`{}`: of which link, or which addresses?", line.about)));
            }
            // `ip` ignores words that would choose among links.
            let of_links = |phrase: &&Phrase<AddrFilter>| matches!(phrase.act, AddrFilter::Link(filter) if filter != LinkFilter::Dev);
            if let Some(phrase) = phrases.iter().find(of_links) {
                return Err(Failure::Usage(format!(
                    "`{}`: `{}` is not a filter here",
                    line.about, phrase.name
                )));
            }
            let mut socket = line.manner.open()?;
            let (links, wanted) = select(line, &mut socket, &phrases)?;
            // With a primary address the kernel deletes its secondary ones, unless it promotes one of them.
            for _ in 0..10 {
                let mut found = address::list(&mut socket)?;
                found.retain(|address| {
                    let of = links.iter().find(|link| link.index == address.index);
                    of.is_some_and(|link| wanted.lets(link, address))
                });
                if found.is_empty() {
                    break;
                }
                for address in found {
                    addr_change::delete(&mut socket, &address)?;
                }
            }
            Ok(())
        }
        verb => addr_change::change(line, verb),
    }
}

/// Which addresses are meant.
#[derive(Default)]
struct WantedAddresses {
    family: Option<IpFamily>,
    to: Option<IpNet>,
    scope: Option<Scope>,
    label: Option<String>,
    flags: Vec<(u32, bool)>,
}

impl WantedAddresses {
    fn lets(&self, link: &Link, address: &Address) -> bool {
        let ip = address.net.address();
        // IPv6 addresses have none, and go by the link's name.
        let label = address.label.as_ref().map_or(link.name.as_str(), address::Label::as_str);
        self.family.is_none_or(|family| family.is_of(ip))
            && self.to.is_none_or(|net| net.contains(ip))
            && self.scope.is_none_or(|scope| scope == address.scope)
            && self.label.as_deref().is_none_or(|wanted| label == wanted)
            && self.flags.iter().all(|&(flag, is_set)| (address.flags & flag != 0) == is_set)
    }
}

/// The links and addresses that the words choose.
fn select(
    line: &WordLine,
    socket: &mut RouteSocket,
    phrases: &[Phrase<AddrFilter>],
) -> Result<(Vec<Link>, WantedAddresses), Failure> {
    let (mut of_links, mut wanted) = (Vec::new(), WantedAddresses::default());
    wanted.family = line.manner.family;
    for phrase in phrases {
        match phrase.act {
            AddrFilter::To => {
                let net = phrase.net(wanted.family)?;
                wanted.family = Some(IpFamily::of(net.address()));
                wanted.to = Some(net);
            }
            AddrFilter::Scope if phrase.value() == "all" => {}
            AddrFilter::Scope => wanted.scope = Some(route_values::scope(phrase)?),
            // `ip` takes a pattern here, like a shell's.
            AddrFilter::Label if phrase.value().contains(['*', '?', '[', '\\']) => {
                return Err(phrase.wrong("a pattern, which is not supported; use ip"));
            }
            AddrFilter::Label => wanted.label = Some(phrase.value().to_owned()),
            AddrFilter::Flag(flag, is_set) => wanted.flags.push((flag, is_set)),
            AddrFilter::Link(filter) => of_links.push(phrase.with(filter)),
        }
    }
    Ok((link::select(socket, &of_links)?, wanted))
}

/// `all` are the links that a link may name as its bridge. If a label chooses, `ip` prints nothing about links.
fn show<'a>(
    line: &WordLine,
    links: &[Link],
    all: &[Link],
    of_links: bool,
    of: impl Fn(&Link) -> Vec<&'a Address>,
) -> Result<(), Failure> {
    let mut out = stdout();
    if line.manner.json {
        let links = links.iter().map(|link| {
            let is_brief = line.manner.brief;
            let describe = |address| if is_brief { describe_briefly(address) } else { describe(address) };
            let addresses: Vec<Value> = of(link).into_iter().map(describe).collect();
            let mut object = match (of_links, is_brief) {
                (false, _) => Map::new(),
                (_, true) => link::brief_identity(link, all),
                _ => link::identity(link, all),
            };
            object.insert("addr_info".to_owned(), addresses.into());
            Value::Object(object)
        });
        return line.manner.print_json(&mut out, &links.collect());
    }
    for link in links {
        if line.manner.oneline {
            for address in of(link) {
                writeln!(out, "{}: {}    {}", link.index, link.name, oneline(address))?;
            }
            continue;
        }
        if line.manner.brief {
            write!(out, "{:<16} {:<14}", link::name_and_peer(link, all), link::state(link.state))?;
            for address in of(link) {
                let metric = address.metric.map_or_else(String::new, |metric| format!(" metric {metric}"));
                write!(out, " {}{metric}", with_peer(address))?;
            }
            writeln!(out, " ")?;
            continue;
        }
        write!(out, "{:<15}", link.name)?;
        for address in of(link) {
            let noted: Vec<String> = notes(address).collect();
            let noted = if noted.is_empty() { String::new() } else { format!(" ({})", noted.join(", ")) };
            write!(out, " {}{noted}", with_peer(address))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn with_peer(address: &Address) -> String {
    match address.peer {
        Some(peer) => format!("{} peer {peer}/{}", address.net.address(), address.net.prefix()),
        None => address.net.to_string(),
    }
}

/// As `ip -oneline addr` prints it after the link's name; scripts split it into columns.
fn oneline(address: &Address) -> String {
    let family = if address.net.address().is_ipv4() { "inet" } else { "inet6" };
    let mut text = format!("{family} {} ", with_peer(address));
    if let Some(metric) = address.metric {
        let _ = write!(text, "metric {metric} ");
    }
    if let Some(broadcast) = address.broadcast {
        let _ = write!(text, "brd {broadcast} ");
    }
    let _ = write!(text, "scope {} ", address.scope);
    for flag in flags(address) {
        let _ = write!(text, "{flag} ");
    }
    if let Some(label) = address.label {
        text += label.as_str();
    }
    let life =
        |left: Option<Duration>| left.map_or("forever".to_owned(), |left| format!("{}sec", left.as_secs()));
    text + &format!("\\       valid_lft {} preferred_lft {}", life(address.valid), life(address.preferred))
}

/// What even a short list must show: that an address is not usable, or not for ever.
fn notes(address: &Address) -> impl Iterator<Item = String> {
    let odd = flags(address).filter(|flag| matches!(*flag, "dadfailed" | "deprecated" | "tentative"));
    let left = address.valid.map(|left| format!("valid_lft {}sec", left.as_secs()));
    odd.map(str::to_owned).chain(left)
}

/// The names of the flags that are set.
fn flags(address: &Address) -> impl Iterator<Item = &'static str> {
    let (flags, six) = (address.flags, address.net.address().is_ipv6());
    let set = FLAGS.iter().filter(move |(bit, _)| flags & bit != 0).map(move |&(_, name)| match name {
        // IPv6 has no secondary addresses, and uses the bit for temporary ones (privacy extensions).
        "secondary" if six => "temporary",
        name => name,
    });
    set.chain((flags & PERMANENT == 0).then_some("dynamic"))
}

/// With the keys of `ip -json -brief addr`.
fn describe_briefly(address: &Address) -> Value {
    let mut value = describe(address);
    if let Value::Object(object) = &mut value {
        object.retain(|key, _| matches!(key.as_str(), "local" | "address" | "prefixlen" | "metric"));
    }
    value
}

/// With the keys of `ip -json addr`: only flags that are set appear.
fn describe(address: &Address) -> Value {
    let ip = address.net.address();
    let mut value = json!({
        "family": if ip.is_ipv4() { "inet" } else { "inet6" },
        "local": ip.to_string(), "prefixlen": address.net.prefix(), "scope": address.scope.to_string(),
        "valid_life_time": seconds(address.valid), "preferred_life_time": seconds(address.preferred),
    });
    for (key, address) in [("address", address.peer), ("broadcast", address.broadcast)] {
        if let Some(address) = address {
            value[key] = address.to_string().into();
        }
    }
    if let Some(metric) = address.metric {
        value["metric"] = metric.into();
    }
    if let Some(label) = address.label {
        value["label"] = label.as_str().into();
    }
    for flag in flags(address) {
        value[flag] = true.into();
    }
    let known = FLAGS.iter().fold(PERMANENT, |known, (bit, _)| known | bit);
    if address.flags & !known != 0 {
        value["ifa_flags"] = format!("{:02x}", address.flags & !known).into();
    }
    value
}

/// As `ip` prints a lifetime: all ones means for ever.
fn seconds(left: Option<Duration>) -> u64 {
    left.map_or(u32::MAX.into(), |left| left.as_secs())
}
