//! How the field of an option is an attribute's bytes, and a value.

use super::{OptionForm, OptionValue};
use crate::MacAddress;
use crate::rtnetlink::words::Word;
use crate::wire::{Attribute, AttributeWriter};
use bytemuck::{AnyBitPattern, NoUninit};
use std::convert::identity;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

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
    ($($codec:ident $type:ty, $form:expr, $to:expr, $from:expr;)*) => { $(
        impl Codec<$type> for $codec {
            const FORM: OptionForm = $form;

            fn write(attributes: &mut AttributeWriter<'_>, kind: u16, field: $type) {
                attributes.value(kind, $to(field));
            }

            fn read(attribute: &Attribute<'_>) -> Option<$type> {
                attribute.value().map($from)
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
    Plain u8, OptionForm::Number(u8::MAX as u64), identity, identity;
    Plain u16, OptionForm::Number(u16::MAX as u64), identity, identity;
    Plain u32, OptionForm::Number(u32::MAX as u64), identity, identity;
    NetworkOrder u16, OptionForm::Number(u16::MAX as u64), u16::to_be, u16::from_be;
    Mask u16, OptionForm::Mask, identity, identity;
    LinkIndex u32, OptionForm::Link, identity, identity;
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
pub(crate) struct AddressCodec;

macro_rules! addresses {
    ($($type:ident, $variant:ident, $bytes:expr, $read:expr;)*) => { $(
        impl Codec<$type> for AddressCodec {
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
