//! Options of links: each is one row of one table, from which the request, the kernel's description, the names in errors,
//! command lines and files have theirs.
//!
//! [`PortOptions`](crate::bridge::PortOptions) and the options of each kind of links are structures with a field an
//! option, for programs that know what they want. [`Options`] is for programs that go by names: it has the rows, and sets
//! and gets an option by its row.

pub(crate) mod codec;
pub(crate) mod table;

use crate::MacAddress;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A structure of options, by its rows.
pub trait Options {
    /// Its options, in the order of their attributes.
    fn rows(&self) -> &'static [OptionRow];

    /// The value of the option in this row; `None` if it has none, or there is no such row.
    fn get(&self, row: usize) -> Option<OptionValue>;

    /// Sets the option in this row. Whether it could: another row may take such a value.
    fn set(&mut self, row: usize, value: OptionValue) -> bool;
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionRow {
    /// `ip`'s word for it on a command line.
    pub name: &'static str,
    /// Another word for it: a `group` of one host is its `remote`.
    pub alias: Option<&'static str>,
    /// `ip`'s key for it in JSON.
    pub key: &'static str,
    /// The kernel's constant, and what that is.
    pub attribute: (&'static str, u16),
    /// How its value is written.
    pub form: OptionForm,
    /// The kernel's default, if that is always the same.
    pub default: Option<u64>,
    /// What it is, in a sentence.
    pub help: &'static str,
}

/// How the value of an option is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionForm {
    /// `0` or `1`.
    Bit,
    /// `on` or `off`.
    Switch,
    /// The word alone, or with `no` in front.
    Flag,
    /// The same; and what it is not is worth no mention.
    QuietFlag,
    /// A number of up to so much.
    Number(u64),
    /// Bits, in hexadecimal.
    Mask,
    /// Hundredths of a second.
    Ticks,
    /// One of these words, each for a number; or a number.
    Words(&'static [(&'static str, u64)]),
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A MAC address.
    Mac,
    /// The name of a link, for its index.
    Link,
}

/// The value of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionValue {
    /// A number, a switch (0 or 1), hundredths of a second, the number of a word, or a link's index.
    Number(u64),
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
    /// A MAC address.
    Mac(MacAddress),
}

impl OptionRow {
    /// Reads a value; `None` if it is none of this option's. A link is given by its index here.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<OptionValue> {
        let number = match self.form {
            OptionForm::Bit | OptionForm::Switch | OptionForm::Flag | OptionForm::QuietFlag => match text {
                "on" | "1" => 1,
                "off" | "0" => 0,
                _ => return None,
            },
            OptionForm::Number(most) => integer(text).filter(|number| *number <= most)?,
            OptionForm::Mask => integer(text).filter(|number| *number <= u16::MAX.into())?,
            OptionForm::Ticks | OptionForm::Link => integer(text)?,
            OptionForm::Words(words) => {
                let known = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
                known.map_or_else(|| integer(text), |&(_, number)| Some(number))?
            }
            OptionForm::Ipv4 => return text.parse().ok().map(OptionValue::Ipv4),
            OptionForm::Ipv6 => return text.parse().ok().map(OptionValue::Ipv6),
            OptionForm::Mac => return text.parse().ok().map(OptionValue::Mac),
        };
        Some(OptionValue::Number(number))
    }

    /// What [`Self::parse`] expects, for a message.
    #[must_use]
    pub fn expected(&self) -> String {
        match self.form {
            OptionForm::Bit => "0 or 1".to_owned(),
            OptionForm::Switch | OptionForm::Flag | OptionForm::QuietFlag => "on or off".to_owned(),
            OptionForm::Number(most) => format!("a number of up to {most}"),
            OptionForm::Mask => "a mask of 16 bits".to_owned(),
            OptionForm::Ticks => "hundredths of a second".to_owned(),
            OptionForm::Words(words) => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                format!("one of {}", words.join(", "))
            }
            OptionForm::Ipv4 => "an IPv4 address".to_owned(),
            OptionForm::Ipv6 => "an IPv6 address".to_owned(),
            OptionForm::Mac => "a MAC address".to_owned(),
            OptionForm::Link => "a link".to_owned(),
        }
    }

    /// As `ip` writes the value; a link by its index.
    #[must_use]
    pub fn text(&self, value: OptionValue) -> String {
        match (self.form, value) {
            (OptionForm::Switch | OptionForm::Flag | OptionForm::QuietFlag, OptionValue::Number(on)) => {
                if on == 0 { "off" } else { "on" }.to_owned()
            }
            (OptionForm::Mask, OptionValue::Number(mask)) => format!("{mask:#x}"),
            (OptionForm::Words(words), OptionValue::Number(number)) => {
                let known = words.iter().find(|(_, known)| *known == number);
                known.map_or_else(|| number.to_string(), |(word, _)| (*word).to_owned())
            }
            (_, OptionValue::Number(number)) => number.to_string(),
            (_, OptionValue::Ipv4(address)) => address.to_string(),
            (_, OptionValue::Ipv6(address)) => address.to_string(),
            (_, OptionValue::Mac(address)) => address.to_string(),
        }
    }

    /// The word for it with this value: a `group` of one host is its `remote`.
    #[must_use]
    pub fn word(&self, value: OptionValue) -> &'static str {
        let is_one_host = match value {
            OptionValue::Ipv4(address) => !address.is_multicast(),
            OptionValue::Ipv6(address) => !address.is_multicast(),
            OptionValue::Number(_) | OptionValue::Mac(_) => false,
        };
        self.alias.filter(|_| is_one_host).unwrap_or(self.name)
    }

    /// Whether it is called so.
    #[must_use]
    pub fn is_called(&self, word: &str) -> bool {
        self.name == word || self.alias == Some(word)
    }
}

/// In decimal, or in hexadecimal with `0x`, as `ip` takes numbers.
fn integer(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests;
