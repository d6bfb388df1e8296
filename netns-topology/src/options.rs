//! Options of bridges and ports: what they are by default, and which differ.

use netns_core::option::{OptionValue, Options};

/// What the kernel sets, where that is always the same.
pub(crate) fn defaults<T: Options + Default>() -> T {
    let mut options = T::default();
    for (row, option) in options.rows().iter().enumerate() {
        if let Some(default) = option.default {
            options.set(row, OptionValue::Number(default));
        }
    }
    options
}

/// Those options that are wanted and not so.
pub(crate) fn differing<T: Options + Default>(wanted: &T, now: &T) -> T {
    let mut changes = T::default();
    for (row, option) in wanted.rows().iter().enumerate() {
        let (Some(value), now) = (wanted.get(row), now.get(row)) else { continue };
        // A kernel that does not know an option does what is its default.
        let is_so = now.map_or(option.default.map(OptionValue::Number) == Some(value), |now| now == value);
        if !is_so {
            changes.set(row, value);
        }
    }
    changes
}
