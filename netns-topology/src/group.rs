//! Groups of ports, which can be kept from talking to each other: names for people, numbers for the program.

use netns_ebpf::layout::MAX_GROUPS;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A group of ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// By the number that the program knows it by, below [`MAX_GROUPS`]. 0 is that of ports which are in no other.
    Number(u8),
    /// By a name. Its number is one that nothing else in the file has.
    Name(String),
}

impl Default for Group {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The numbers of groups by their names.
pub(crate) type GroupNumbers = BTreeMap<String, u8>;

impl Group {
    /// Its number; `None` if it has a name that has none.
    pub(crate) fn number(&self, numbers: &GroupNumbers) -> Option<u8> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Name(name) => numbers.get(name).copied(),
        }
    }
}

/// Numbers for the names among these groups. A name that had one before keeps it, unless the groups have that number
/// themselves. Another one gets a number that no name had before, as long as there is one: so none of the groups is
/// taken for another while ports change from one to the other.
///
/// # Errors
/// The name for which no number is left.
pub(crate) fn number<'a>(
    groups: impl Iterator<Item = &'a Group> + Clone,
    before: &GroupNumbers,
) -> Result<GroupNumbers, &'a str> {
    let own =
        groups.clone().filter_map(|group| if let Group::Number(own) = group { Some(*own) } else { None });
    let mut taken: BTreeSet<u8> = own.chain([0]).collect();
    let names =
        groups.filter_map(|group| if let Group::Name(name) = group { Some(name.as_str()) } else { None });
    let (mut numbers, mut new) = (GroupNumbers::new(), Vec::new());
    for name in names {
        if let Some(&number) = before.get(name)
            && u32::from(number) < MAX_GROUPS
            && taken.insert(number)
        {
            numbers.insert(name.to_owned(), number);
        } else {
            new.push(name);
        }
    }
    for name in new {
        if numbers.contains_key(name) {
            continue;
        }
        let free = (1..MAX_GROUPS as u8).filter(|number| !taken.contains(number));
        let is_new = |number: &u8| !before.values().any(|old| old == number);
        let number = free.clone().find(is_new).or_else(|| free.min()).ok_or(name)?;
        taken.insert(number);
        numbers.insert(name.to_owned(), number);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests;
