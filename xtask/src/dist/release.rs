//! Which version is packed, by whom, and its date.

use super::files::text;
use std::env;
use std::path::Path;
use std::process::Command;

/// What a package says about its origin.
#[derive(Debug, Clone)]
pub(super) struct Release {
    pub(super) version: String,
    /// Name and address of the maintainer.
    pub(super) maintainer: String,
    /// The date of everything in the packages, in seconds since 1970.
    pub(super) epoch: String,
}

impl Release {
    /// From the variables that Debian's tools use, otherwise from the latest commit.
    pub(super) fn of(root: &Path) -> Result<Self, String> {
        let git = |format: &str| {
            text(Command::new("git").current_dir(root).args(["log", "-1", &format!("--format={format}")]))
        };
        let maintainer = match (env::var("DEBFULLNAME"), env::var("DEBEMAIL")) {
            (Ok(name), Ok(address)) => format!("{name} <{address}>"),
            _ => git("%an <%ae>")?,
        };
        let epoch = env::var("SOURCE_DATE_EPOCH").or_else(|_| git("%ct"))?;
        Ok(Self { version: env!("CARGO_PKG_VERSION").to_owned(), maintainer, epoch })
    }

    /// The date in the format of mail.
    pub(super) fn date(&self) -> Result<String, String> {
        text(
            Command::new("date")
                .env("LC_ALL", "C")
                .args(["--utc", "--rfc-email", "--date"])
                .arg(format!("@{}", self.epoch)),
        )
    }
}
