//! Options of links: each is one row of one table, from which the request, the kernel's description, the names in errors,
//! command lines and files have theirs.
//!
//! [`PortOptions`](crate::bridge::PortOptions) and the options of each kind of links are structures with a field an
//! option, for programs that know what they want. [`Options`] is for programs that go by names: it has the rows, and sets
//! and gets an option by its row.

use super::words::Word;
use crate::MacAddress;
use crate::wire::{Attribute, AttributeWriter};
use bytemuck::{AnyBitPattern, NoUninit};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

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

/// How a field is an attribute and a value.
pub(crate) trait Codec<T> {
    const FORM: OptionForm;
    fn write(attributes: &mut AttributeWriter<'_>, kind: u16, field: T);
    fn read(attribute: &Attribute<'_>) -> Option<T>;
    fn value(field: T) -> OptionValue;
    fn field(value: OptionValue) -> Option<T>;
}

fn number(value: OptionValue) -> Option<u64> {
    if let OptionValue::Number(number) = value { Some(number) } else { None }
}

macro_rules! switches {
    ($($(#[$meta:meta])* $codec:ident $wire:ty, $form:ident;)*) => { $(
        $(#[$meta])*
        pub(crate) struct $codec;

        impl Codec<bool> for $codec {
            const FORM: OptionForm = OptionForm::$form;

            fn write(attributes: &mut AttributeWriter<'_>, kind: u16, on: bool) {
                attributes.value(kind, <$wire>::from(on));
            }

            fn read(attribute: &Attribute<'_>) -> Option<bool> {
                attribute.value::<$wire>().map(|value| value != 0)
            }

            fn value(on: bool) -> OptionValue {
                OptionValue::Number(on.into())
            }

            fn field(value: OptionValue) -> Option<bool> {
                number(value).map(|value| value != 0)
            }
        }
    )* };
}

switches! {
    /// One byte.
    Bit u8, Bit;
    /// Four bytes.
    WideBit u32, Bit;
    /// One byte.
    Switch u8, Switch;
    /// One byte.
    Flag u8, Flag;
    /// One byte.
    QuietFlag u8, QuietFlag;
}

/// A number in the machine's byte order.
pub(crate) struct Plain;
/// A number in the network's byte order.
pub(crate) struct NetworkOrder;
/// Bits.
pub(crate) struct Mask;
/// A link's index.
pub(crate) struct LinkIndex;

macro_rules! numbers {
    ($($codec:ident $type:ty, $form:expr, $to:ident, $from:ident;)*) => { $(
        impl Codec<$type> for $codec {
            const FORM: OptionForm = $form;

            fn write(attributes: &mut AttributeWriter<'_>, kind: u16, field: $type) {
                attributes.value(kind, field.$to());
            }

            fn read(attribute: &Attribute<'_>) -> Option<$type> {
                attribute.value().map(<$type>::$from)
            }

            fn value(field: $type) -> OptionValue {
                OptionValue::Number(field.into())
            }

            fn field(value: OptionValue) -> Option<$type> {
                <$type>::try_from(number(value)?).ok()
            }
        }
    )* };
}

numbers! {
    Plain u8, OptionForm::Number(u8::MAX as u64), to_le, from_le;
    Plain u16, OptionForm::Number(u16::MAX as u64), to_le, from_le;
    Plain u32, OptionForm::Number(u32::MAX as u64), to_le, from_le;
    NetworkOrder u16, OptionForm::Number(u16::MAX as u64), to_be, from_be;
    Mask u16, OptionForm::Mask, to_le, from_le;
    LinkIndex u32, OptionForm::Link, to_le, from_le;
}

/// The kernel's user-visible clock ticks, a hundred a second whatever its `HZ` is (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// A time in ticks, of so many bytes.
pub(crate) struct Ticks<T>(std::marker::PhantomData<T>);

impl<T: NoUninit + AnyBitPattern + TryFrom<u64> + Into<u64>> Codec<Duration> for Ticks<T> {
    const FORM: OptionForm = OptionForm::Ticks;

    fn write(attributes: &mut AttributeWriter<'_>, kind: u16, time: Duration) {
        let most = T::try_from(u64::MAX >> (64 - 8 * size_of::<T>())).ok();
        attributes.optional(kind, T::try_from(ticks(time)).ok().or(most));
    }

    fn read(attribute: &Attribute<'_>) -> Option<Duration> {
        attribute.value::<T>().map(|ticks| duration(ticks.into()))
    }

    fn value(time: Duration) -> OptionValue {
        OptionValue::Number(ticks(time))
    }

    fn field(value: OptionValue) -> Option<Duration> {
        number(value).map(duration)
    }
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX)
}

fn duration(ticks: u64) -> Duration {
    Duration::from_millis(ticks.saturating_mul(10))
}

/// A number with words, in the machine's byte order.
pub(crate) struct Worded;
/// A number with words, in the network's byte order.
pub(crate) struct WordedNetworkOrder;

impl<W: Word> Codec<W> for Worded {
    const FORM: OptionForm = OptionForm::Words(W::WORDS);

    fn write(attributes: &mut AttributeWriter<'_>, kind: u16, field: W) {
        attributes.value(kind, field.raw());
    }

    fn read(attribute: &Attribute<'_>) -> Option<W> {
        attribute.value().map(W::from_raw)
    }

    fn value(field: W) -> OptionValue {
        OptionValue::Number(field.number())
    }

    fn field(value: OptionValue) -> Option<W> {
        W::from_number(number(value)?)
    }
}

impl<W: Word<Raw = u16>> Codec<W> for WordedNetworkOrder {
    const FORM: OptionForm = OptionForm::Words(W::WORDS);

    fn write(attributes: &mut AttributeWriter<'_>, kind: u16, field: W) {
        attributes.value(kind, field.raw().to_be());
    }

    fn read(attribute: &Attribute<'_>) -> Option<W> {
        attribute.value().map(|raw| W::from_raw(u16::from_be(raw)))
    }

    fn value(field: W) -> OptionValue {
        <Worded as Codec<W>>::value(field)
    }

    fn field(value: OptionValue) -> Option<W> {
        <Worded as Codec<W>>::field(value)
    }
}

/// An address.
pub(crate) struct Address;

macro_rules! addresses {
    ($($type:ident, $variant:ident, $bytes:expr, $read:expr;)*) => { $(
        impl Codec<$type> for Address {
            const FORM: OptionForm = OptionForm::$variant;

            fn write(attributes: &mut AttributeWriter<'_>, kind: u16, field: $type) {
                attributes.bytes(kind, &$bytes(field));
            }

            fn read(attribute: &Attribute<'_>) -> Option<$type> {
                attribute.bytes.try_into().ok().map($read)
            }

            fn value(field: $type) -> OptionValue {
                OptionValue::$variant(field)
            }

            fn field(value: OptionValue) -> Option<$type> {
                if let OptionValue::$variant(field) = value { Some(field) } else { None }
            }
        }
    )* };
}

addresses! {
    Ipv4Addr, Ipv4, |address: Ipv4Addr| address.octets(), |octets: [u8; 4]| Ipv4Addr::from(octets);
    Ipv6Addr, Ipv6, |address: Ipv6Addr| address.octets(), |octets: [u8; 16]| Ipv6Addr::from(octets);
    MacAddress, Mac, |address: MacAddress| address.0, MacAddress;
}

/// One of 32 switches that are in one attribute with a mask of those that are meant (`struct br_boolopt_multi`).
pub(crate) struct BitOf<const NUMBER: u32>;

impl<const NUMBER: u32> Codec<bool> for BitOf<NUMBER> {
    const FORM: OptionForm = OptionForm::Bit;

    fn write(attributes: &mut AttributeWriter<'_>, kind: u16, on: bool) {
        attributes.value(kind, [u32::from(on) << NUMBER, 1 << NUMBER]);
    }

    fn read(attribute: &Attribute<'_>) -> Option<bool> {
        attribute.value::<[u32; 2]>().map(|[values, _]| values & (1 << NUMBER) != 0)
    }

    fn value(on: bool) -> OptionValue {
        OptionValue::Number(on.into())
    }

    fn field(value: OptionValue) -> Option<bool> {
        number(value).map(|value| value != 0)
    }
}

/// Declares a structure of options, a row an option: what it is, its name, type and codec, the kernel's constant, and
/// where they differ from the name or are known, `alias`, `key` of JSON and `default`.
macro_rules! options {
    (
        $(#[$meta:meta])*
        $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty as $codec:ty = $constant:ident $number:literal
                $(alias $alias:literal)? $(name $word:literal)? $(key $key:literal)? $(default $default:literal)?;
            )*
        }
        $(and $extra:expr)?
    ) => {
        $(
            #[doc = concat!("`", stringify!($constant), "`: see [`", stringify!($name), "::", stringify!($field), "`].")]
            pub const $constant: u16 = $number;
        )*

        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                #[doc = ""]
                #[doc = concat!("`", stringify!($constant), "`", $(", by default ", stringify!($default),)? ".")]
                pub $field: Option<$type>,
            )*
        }

        impl $name {
            /// Its options, in the order of their attributes.
            pub const ROWS: &'static [$crate::option::OptionRow] = &[
                $(
                    $crate::option::OptionRow {
                        name: $crate::rtnetlink::option::first(&[$($word,)? stringify!($field)]),
                        alias: $crate::rtnetlink::option::optional(&[$($alias)?]),
                        key: $crate::rtnetlink::option::first(&[$($key,)? stringify!($field)]),
                        attribute: (stringify!($constant), $number),
                        form: <$codec as $crate::rtnetlink::option::Codec<$type>>::FORM,
                        default: $crate::rtnetlink::option::optional(&[$($default)?]),
                        help: concat!($($doc),+),
                    },
                )*
            ];

            /// No option: the default, for constants.
            pub const NONE: Self = Self { $( $field: None, )* };

            /// The names of the attributes.
            pub(crate) const NAMES: &'static [$crate::wire::Name] =
                &[ $( $crate::wire::leaf($number, stringify!($constant)), )* $($extra)? ];

            /// Writes those that have a value, in the order of their attributes.
            #[allow(unused_variables, reason = "of a kind without options")]
            pub(crate) fn write(&self, attributes: &mut $crate::wire::AttributeWriter<'_>) {
                $(
                    if let Some(value) = self.$field {
                        <$codec as $crate::rtnetlink::option::Codec<$type>>::write(attributes, $number, value);
                    }
                )*
            }

            /// Reads those that the kernel describes.
            pub(crate) fn parse(attributes: $crate::wire::Attributes<'_>) -> Self {
                #[allow(unused_mut, reason = "of a kind without options")]
                let mut options = Self::NONE;
                for attribute in attributes {
                    $(
                        if attribute.kind == $number {
                            options.$field =
                                <$codec as $crate::rtnetlink::option::Codec<$type>>::read(&attribute);
                        }
                    )*
                    let _ = attribute;
                }
                options
            }
        }

        impl $crate::option::Options for $name {
            fn rows(&self) -> &'static [$crate::option::OptionRow] {
                Self::ROWS
            }

            fn get(&self, row: usize) -> Option<$crate::option::OptionValue> {
                let values: &[Option<$crate::option::OptionValue>] = &[
                    $( self.$field.map(<$codec as $crate::rtnetlink::option::Codec<$type>>::value), )*
                ];
                values.get(row).copied().flatten()
            }

            #[allow(unused_variables, unused_mut, unused_assignments, reason = "of a kind without options")]
            fn set(&mut self, row: usize, value: $crate::option::OptionValue) -> bool {
                let mut at = 0;
                $(
                    if row == at {
                        let field = <$codec as $crate::rtnetlink::option::Codec<$type>>::field(value);
                        self.$field = field.or(self.$field);
                        return field.is_some();
                    }
                    at += 1;
                )*
                false
            }
        }
    };
}
pub(crate) use options;

/// The first of several words.
pub(crate) const fn first(words: &[&'static str]) -> &'static str {
    words[0]
}

/// What is there, if it is.
pub(crate) const fn optional<T: Copy>(values: &[T]) -> Option<T> {
    if values.is_empty() { None } else { Some(values[0]) }
}
