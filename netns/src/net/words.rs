//! Command lines in `ip`'s grammar: a word is a keyword only where it is one for `ip`, and what follows a keyword that
//! takes a value is its value, whatever it looks like.
//!
//! Each verb has a table of its words, in the order in which `ip` compares them: the first row that matches counts, and
//! for some rows the beginning of the word is enough. Help and completions list the same tables.

use crate::failure::Failure;
use netns_core::route::RouteKind;
use netns_core::{IpNet, MacAddress};
use std::net::{IpAddr, Ipv4Addr};

/// A row of a table.
pub(super) struct Keyword<A: 'static> {
    /// The word; empty for anything that is no other row's.
    pub(super) name: &'static str,
    /// How many of its letters suffice.
    least: usize,
    pub(super) takes: Takes,
    pub(super) act: A,
}

impl<A> Keyword<A> {
    pub(super) fn is_refused(&self) -> bool {
        self.takes == Takes::Refused
    }
}

/// What follows a word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    Value,
    /// A value; the word may be given several times.
    Values,
    /// An address, with or without its family before it.
    Via,
    /// A number, with or without `lock` before it.
    Lockable,
    /// A network, with or without a route type before it.
    Typed,
    /// A network, with or without `root`, `match` or `exact` before it.
    Selector,
    /// The rest of the line.
    Rest,
    /// `ip` knows the word, and this program does not.
    Refused,
}

/// A word that must be written out.
pub(super) const fn whole<A>(name: &'static str, takes: Takes, act: A) -> Keyword<A> {
    Keyword { name, least: name.len(), takes, act }
}

/// A word of which any beginning will do.
pub(super) const fn short<A>(name: &'static str, takes: Takes, act: A) -> Keyword<A> {
    Keyword { name, least: 1, takes, act }
}

/// Anything that is no other word is itself a value.
pub(super) const fn other<A>(takes: Takes, act: A) -> Keyword<A> {
    Keyword { name: "", least: 0, takes, act }
}

/// The row that a word matches.
pub(super) fn find<'t, A>(table: &'t [Keyword<A>], word: &str) -> Option<&'t Keyword<A>> {
    table.iter().find(|row| {
        !row.name.is_empty() && !word.is_empty() && word.len() >= row.least && row.name.starts_with(word)
    })
}

/// A keyword with its values.
#[derive(Debug, Clone)]
pub(super) struct Phrase<A> {
    pub(super) act: A,
    /// The keyword; empty for a value that has none.
    pub(super) name: &'static str,
    /// As it was typed.
    typed: String,
    pub(super) values: Vec<String>,
}

impl<A> Phrase<A> {
    pub(super) const fn new(act: A, name: &'static str, typed: String, values: Vec<String>) -> Self {
        Self { act, name, typed, values }
    }

    /// The same words, meant for something else.
    pub(super) fn with<B>(&self, act: B) -> Phrase<B> {
        Phrase { act, name: self.name, typed: self.typed.clone(), values: self.values.clone() }
    }

    /// Its value; of several, the last.
    pub(super) fn value(&self) -> &str {
        self.values.last().map_or("", String::as_str)
    }

    /// The error for a value that is not what it should be.
    pub(super) fn wrong(&self, expected: &str) -> Failure {
        let value = self.value();
        if self.name.is_empty() {
            return Failure::Usage(format!("{value:?} is {expected}"));
        }
        Failure::Usage(format!("{} {value:?}: it is {expected}{}", self.name, self.hint()))
    }

    /// A hint for a shortened word: it may have been meant as a name.
    pub(super) fn hint(&self) -> String {
        if self.typed == self.name || self.name.is_empty() {
            return String::new();
        }
        format!("; {0:?} is short for {1:?} here (for a name, write `dev {0}`)", self.typed, self.name)
    }

    pub(super) fn number(&self, most: u64) -> Result<u64, Failure> {
        let parsed = number(self.value()).filter(|number| *number <= most);
        parsed.ok_or_else(|| self.wrong(&format!("not a number up to {most}")))
    }

    pub(super) fn number32(&self) -> Result<u32, Failure> {
        self.number(u32::MAX.into()).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
    }

    pub(super) fn number8(&self) -> Result<u8, Failure> {
        self.number(u8::MAX.into()).map(|number| u8::try_from(number).unwrap_or(u8::MAX))
    }

    pub(super) fn is_on(&self) -> Result<bool, Failure> {
        match self.value() {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(self.wrong("neither on nor off")),
        }
    }

    pub(super) fn mac(&self) -> Result<MacAddress, Failure> {
        mac(self.value()).ok_or_else(|| self.wrong("not a MAC address"))
    }

    /// An address of this family, if that is known.
    pub(super) fn address(&self, family: Option<IpFamily>) -> Result<IpAddr, Failure> {
        let address =
            address(self.value()).filter(|address| family.is_none_or(|family| family.is_of(*address)));
        address.ok_or_else(|| self.wrong(&format!("not an {} address", IpFamily::words(family))))
    }

    /// An address with its prefix length; without one, a single address.
    pub(super) fn net(&self, family: Option<IpFamily>) -> Result<IpNet, Failure> {
        let net = net(self.value()).filter(|net| family.is_none_or(|family| family.is_of(net.address())));
        net.ok_or_else(|| self.wrong(&format!("not an {} address or network", IpFamily::words(family))))
    }
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IpFamily {
    Inet,
    Inet6,
}

impl IpFamily {
    pub(super) const fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Inet } else { Self::Inet6 }
    }

    pub(super) fn is_of(self, address: IpAddr) -> bool {
        self == Self::of(address)
    }

    pub(super) fn named(word: &str) -> Option<Self> {
        match word {
            "inet" => Some(Self::Inet),
            "inet6" => Some(Self::Inet6),
            _ => None,
        }
    }

    /// `AF_INET` or `AF_INET6`.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Inet => libc::AF_INET as u8,
            Self::Inet6 => libc::AF_INET6 as u8,
        }
    }

    const fn words(family: Option<Self>) -> &'static str {
        match family {
            None => "IP",
            Some(Self::Inet) => "IPv4",
            Some(Self::Inet6) => "IPv6",
        }
    }
}

/// The type of routes that a word is, as `ip` reads it: some may be shortened.
pub(super) fn kind_of_routes(word: &str) -> Option<RouteKind> {
    const TYPES: &[Keyword<RouteKind>] = &[
        whole("local", Takes::Nothing, RouteKind::LOCAL),
        whole("nat", Takes::Nothing, RouteKind::NAT),
        short("broadcast", Takes::Nothing, RouteKind::BROADCAST),
        whole("brd", Takes::Nothing, RouteKind::BROADCAST),
        short("anycast", Takes::Nothing, RouteKind::ANYCAST),
        short("multicast", Takes::Nothing, RouteKind::MULTICAST),
        short("prohibit", Takes::Nothing, RouteKind::PROHIBIT),
        short("unreachable", Takes::Nothing, RouteKind::UNREACHABLE),
        short("blackhole", Takes::Nothing, RouteKind::BLACKHOLE),
        short("xresolve", Takes::Nothing, RouteKind::XRESOLVE),
        short("unicast", Takes::Nothing, RouteKind::UNICAST),
        whole("throw", Takes::Nothing, RouteKind::THROW),
    ];
    find(TYPES, word).map(|row| row.act)
}

/// A number as C has it: decimal, hexadecimal with `0x`, octal with `0`. No sign.
pub(super) fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// An address; an IPv4 one may lack its last bytes, which are 0 then: `10.1` is 10.1.0.0.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse().ok().filter(|address: &IpAddr| address.is_ipv6());
    }
    let mut bytes = [0; 4];
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > bytes.len() {
        return None;
    }
    for (byte, part) in bytes.iter_mut().zip(parts) {
        *byte = number(part).and_then(|number| u8::try_from(number).ok())?;
    }
    Some(Ipv4Addr::from(bytes).into())
}

/// An address and the length of its prefix, or a mask: 10.0.0.0/255.0.0.0.
pub(super) fn net(text: &str) -> Option<IpNet> {
    let Some((before, after)) = text.split_once('/') else { return address(text).map(IpNet::single) };
    let prefix = number(after).and_then(|prefix| u8::try_from(prefix).ok()).or_else(|| mask(after))?;
    IpNet::new(address(before)?, prefix).ok()
}

/// The length of the prefix that a mask is.
fn mask(text: &str) -> Option<u8> {
    let mask = u32::from(text.parse::<Ipv4Addr>().ok()?);
    let ones = mask.leading_ones();
    (mask.count_ones() == ones).then(|| u8::try_from(ones).ok()).flatten()
}

/// A MAC address; each byte has one digit or two.
pub(super) fn mac(text: &str) -> Option<MacAddress> {
    let mut bytes = [0; 6];
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() != bytes.len() {
        return None;
    }
    for (byte, part) in bytes.iter_mut().zip(parts) {
        if !part.bytes().all(|digit| digit.is_ascii_hexdigit()) || part.len() > 2 {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    Some(MacAddress(bytes))
}

#[cfg(test)]
mod tests {
    use super::{address, mac, net, number};

    #[test]
    fn values_are_read_as_iproute2_reads_them() {
        for (text, expected) in [
            ("10", Some(10)),
            ("0x1f", Some(31)),
            ("010", Some(8)),
            ("0", Some(0)),
            ("+1", None),
            ("", None),
            ("08", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        for (text, expected) in [
            ("10.1", Some("10.1.0.0")),
            ("10", Some("10.0.0.0")),
            ("10.1.2.3", Some("10.1.2.3")),
            ("fd00::1", Some("fd00::1")),
            ("10.1.2.3.4", None),
            ("10.256", None),
            ("", None),
            ("::ffff", Some("::ffff")),
        ] {
            assert_eq!(address(text), expected.map(|text| text.parse().unwrap()), "{text}");
        }
        for (text, expected) in [
            ("10/8", Some("10.0.0.0/8")),
            ("10.0.0.0/255.255.0.0", Some("10.0.0.0/16")),
            ("10.0.0.0/255.0.255.0", None),
            ("10.0.0.0/33", None),
            ("fd00::/64", Some("fd00::/64")),
            ("fd00::1", Some("fd00::1/128")),
        ] {
            assert_eq!(net(text), expected.map(|text| text.parse().unwrap()), "{text}");
        }
        assert_eq!(mac("2:0:0:0:0:a"), Some("02:00:00:00:00:0a".parse().unwrap()));
        assert_eq!(
            (mac("02:00:00:00:00"), mac("02:00:00:00:00:001"), mac("0g:0:0:0:0:0")),
            (None, None, None)
        );
    }
}
