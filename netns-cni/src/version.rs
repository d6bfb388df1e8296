//! The supported versions of the specification.

use crate::failure::{CniFailure, FailureCode, Outcome};
use std::fmt;

/// A version of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpecVersion {
    /// 0.3.0: results with several interfaces and addresses.
    V0_3_0,
    /// 0.3.1.
    V0_3_1,
    /// 0.4.0: `CHECK`.
    V0_4_0,
    /// 1.0.0: addresses without their family.
    V1_0_0,
    /// 1.1.0: `GC` and `STATUS`.
    V1_1_0,
}

impl SpecVersion {
    /// All, the oldest first.
    pub const ALL: [Self; 5] = [Self::V0_3_0, Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];
    /// The newest.
    pub const NEWEST: Self = Self::V1_1_0;

    /// As configurations write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// Reads `cniVersion`.
    ///
    /// # Errors
    /// Code 1 if it is none of these.
    pub fn read(text: &str) -> Outcome<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text).ok_or_else(|| {
            let supported = Self::ALL.map(Self::as_str).join(", ");
            CniFailure::new(FailureCode::IncompatibleVersion, "incompatible CNI versions").with_details(
                format!("the configuration's cniVersion is {text:?}, supported are {supported}"),
            )
        })
    }
}

impl fmt::Display for SpecVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
