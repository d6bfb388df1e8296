//! What goes to stdout.

use serde_json::Value;
use std::io::{self, StdoutLock, Write};
use std::time::Duration;

/// Writes one JSON object on a line of its own.
///
/// # Errors
/// Those of `out`.
pub fn json_line(out: &mut impl Write, value: &Value) -> io::Result<()> {
    writeln!(out, "{value}")?;
    out.flush()
}

/// stdout, flushed line by line even into a pipe.
pub fn stdout() -> StdoutLock<'static> {
    io::stdout().lock()
}

/// Whole microseconds.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds with one digit behind the point, for people.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// A number with a decimal prefix, as `ip -s -h` and bmon print them: 999, 1.23k, 45.6M.
#[expect(clippy::cast_precision_loss, reason = "three digits are printed")]
pub(crate) fn human(number: u64) -> String {
    let prefixes = ["", "k", "M", "G", "T", "P", "E"];
    let (mut value, mut prefix) = (number as f64, 0);
    while value >= 999.5 && prefix + 1 < prefixes.len() {
        value /= 1000.0;
        prefix += 1;
    }
    let digits = match value {
        _ if prefix == 0 => 0,
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{}", prefixes[prefix])
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn numbers_keep_three_digits() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.00k"),
            (1234, "1.23k"),
            (45_600, "45.6k"),
            (999_499, "999k"),
            (999_600, "1.00M"),
            (2_500_000_000_000, "2.50T"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(human(number), text);
        }
    }
}
