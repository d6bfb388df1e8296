//! Limits in `tc`'s words.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use super::{Limits, RateLimit};

/// A text is none that says limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoLimit {
    /// The word that is none.
    word: String,
    expected: &'static str,
}

impl fmt::Display for NoLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no limit; expected {}", self.word, self.expected)
    }
}

impl Error for NoLimit {}

/// What multiplies a number, by the word after it, as [`get_rate64` and `get_size64`] of iproute2 have it: of rates a
/// thousand, of sizes 1,024.
///
/// [`get_rate64` and `get_size64`]: https://github.com/iproute2/iproute2/blob/v6.12.0/lib/utils.c
type Units = [(&'static str, u64)];

const BITS: &Units = &[
    ("bit", 1),
    ("kbit", 1_000),
    ("mbit", 1_000_000),
    ("gbit", 1_000_000_000),
    ("tbit", 1_000_000_000_000),
    ("kibit", 1 << 10),
    ("mibit", 1 << 20),
    ("gibit", 1 << 30),
    ("tibit", 1 << 40),
    ("bps", 8),
    ("kbps", 8_000),
    ("mbps", 8_000_000),
    ("gbps", 8_000_000_000),
    ("tbps", 8_000_000_000_000),
];
const PACKETS: &Units = &[("pps", 1), ("kpps", 1_000), ("mpps", 1_000_000)];
const SIZES: &Units = &[
    ("b", 1),
    ("k", 1 << 10),
    ("kb", 1 << 10),
    ("m", 1 << 20),
    ("mb", 1 << 20),
    ("g", 1 << 30),
    ("gb", 1 << 30),
    ("t", 1 << 40),
    ("tb", 1 << 40),
    ("", 1),
];

const RATE: &str = "a rate such as \"100mbit\" or \"10kpps\", \"in=\" or \"out=\" and a rate, \"burst=\", \"quota=\", \
    \"quota-in=\" or \"quota-out=\" and a size such as \"1mb\"";
const SIZE: &str = "a size such as \"1mb\"";
const ONCE: &str = "each limit once";

/// A number with a unit; a fraction of one, too. `None` if it is none, or 0.
fn number(text: &str, units: &Units) -> Option<u64> {
    let end =
        text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.to_ascii_lowercase();
    let &(_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |digits: &str| {
        !digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let parts = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let number = whole.parse::<u128>().ok()?.checked_mul(parts)?.checked_add(fraction.parse().ok()?)?;
    let number = number.checked_mul(u128::from(factor))? / parts;
    u64::try_from(number).ok().filter(|&number| number > 0)
}

/// Sets what was not said yet.
fn once(place: &mut Option<u64>, value: u64) -> bool {
    place.replace(value).is_none()
}

impl FromStr for Limits {
    type Err = NoLimit;

    /// Words with commas between them: `100mbit`, `in=1gbit,out=100mbit,burst=1mb,quota=10gb`. A rate without `in=` or `out=`
    /// is one of both ways; so is a burst, of the limits by bits that there are.
    fn from_str(text: &str) -> Result<Self, NoLimit> {
        let mut limits = Self::default();
        let mut burst = None;
        for word in text.split(',').map(str::trim) {
            let no = |expected| NoLimit { word: word.to_owned(), expected };
            let (key, value) = word.split_once('=').unwrap_or(("", word));
            let size = || number(value, SIZES).ok_or_else(|| no(SIZE));
            let is_new = match key {
                "burst" => once(&mut burst, size()?),
                "quota" => once(&mut limits.quota.total, size()?),
                "quota-in" => once(&mut limits.quota.incoming, size()?),
                "quota-out" => once(&mut limits.quota.outgoing, size()?),
                "" | "in" | "out" => {
                    let ways = [("in", &mut limits.incoming), ("out", &mut limits.outgoing)];
                    let set = |rate: &mut RateLimit| match (number(value, BITS), number(value, PACKETS)) {
                        (Some(bits), _) => Ok(once(&mut rate.bits, bits)),
                        (None, Some(packets)) => Ok(once(&mut rate.packets, packets)),
                        (None, None) => Err(no(RATE)),
                    };
                    let mut is_new = true;
                    for (name, rate) in ways {
                        if key.is_empty() || key == name {
                            is_new &= set(rate)?;
                        }
                    }
                    is_new
                }
                _ => return Err(no(RATE)),
            };
            if !is_new {
                return Err(no(ONCE));
            }
        }
        for rate in [&mut limits.incoming, &mut limits.outgoing] {
            rate.burst = burst.filter(|_| rate.bits.is_some());
        }
        let has_burst = limits.incoming.burst.or(limits.outgoing.burst).is_some();
        if burst.is_some() && !has_burst {
            return Err(NoLimit { word: text.to_owned(), expected: "a rate in bits beside the burst" });
        }
        Ok(limits)
    }
}

/// A number in the largest unit of which it is a multiple. The first unit of a size is the one in use.
struct InUnits(u64, &'static Units);

impl fmt::Display for InUnits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self(number, units) = self;
        let fits = |factor: &u64| number.is_multiple_of(*factor) && number > 0;
        let largest = units.iter().filter(|(_, factor)| fits(factor)).max_by_key(|(_, factor)| *factor);
        match largest {
            Some((unit, factor)) => write!(f, "{}{unit}", number / factor),
            None => write!(f, "{number}"),
        }
    }
}

/// In the units that are written; the others are read.
const WRITTEN_BITS: &Units = &[("bit", 1), ("kbit", 1_000), ("mbit", 1_000_000), ("gbit", 1_000_000_000)];
const WRITTEN_SIZES: &Units = &[("b", 1), ("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30)];

impl fmt::Display for Limits {
    /// In the words that are read again, but bursts of packets; `none` if nothing is limited. A burst that is the same both
    /// ways is said once; of two that differ, that of what is sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut word = |key: &str, number: Option<u64>, units| {
            let Some(number) = number else { return Ok(()) };
            write!(f, "{separator}{key}{}", InUnits(number, units))?;
            separator = ",";
            Ok(())
        };
        let Self { outgoing, incoming, quota } = self;
        for (units, [out, into]) in
            [(WRITTEN_BITS, [outgoing.bits, incoming.bits]), (PACKETS, [outgoing.packets, incoming.packets])]
        {
            if out == into {
                word("", out, units)?;
            } else {
                word("in=", into, units)?;
                word("out=", out, units)?;
            }
        }
        word("burst=", outgoing.burst.or(incoming.burst), WRITTEN_SIZES)?;
        word("quota=", quota.total, WRITTEN_SIZES)?;
        word("quota-in=", quota.incoming, WRITTEN_SIZES)?;
        word("quota-out=", quota.outgoing, WRITTEN_SIZES)?;
        if separator.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
