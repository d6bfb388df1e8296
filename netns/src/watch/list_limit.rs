//! `--pairs N|all`, `--verdicts=N|all`.

use std::str::FromStr;

/// How many are listed at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListLimit {
    /// The busiest.
    Busiest(usize),
    /// All of them.
    All,
}

impl ListLimit {
    /// The number; `None` if there is no limit.
    pub(super) const fn number(self) -> Option<usize> {
        match self {
            Self::Busiest(number) => Some(number),
            Self::All => None,
        }
    }
}

impl FromStr for ListLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            _ => text.parse().map(Self::Busiest).map_err(|_| "neither a number nor \"all\"".to_owned()),
        }
    }
}
