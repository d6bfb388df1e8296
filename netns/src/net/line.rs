//! A command line, read word by word.

use super::manner::Manner;
use super::words::{IpFamily, Keyword, Phrase, Takes, find, kind_of_routes};
use crate::failure::Failure;

/// The rest of a command line, and the options found so far.
pub(super) struct WordLine {
    words: std::vec::IntoIter<String>,
    /// The command, for messages: `link add`.
    pub(super) about: String,
    pub(super) manner: Manner,
    /// Whether `--` was seen: from then on a word that begins with `-` is no option.
    pub(super) is_plain: bool,
}

impl WordLine {
    pub(super) fn new(words: Vec<String>, about: &str, manner: Manner) -> Self {
        Self { words: words.into_iter(), about: about.to_owned(), manner, is_plain: false }
    }

    /// The next word that is neither an option nor a value.
    pub(super) fn next(&mut self) -> Result<Option<String>, Failure> {
        while let Some(word) = self.words.next() {
            match word.strip_prefix('-') {
                Some("-") if !self.is_plain => self.is_plain = true,
                Some(option) if !self.is_plain && !option.is_empty() => {
                    self.manner.read(option, &mut self.words)?;
                }
                _ => return Ok(Some(word)),
            }
        }
        Ok(None)
    }

    /// The verb for a word, by this object's table; without a word, the default.
    pub(super) fn verb<A: Copy>(&mut self, table: &[Keyword<A>], default: A) -> Result<A, Failure> {
        let Some(word) = self.next()? else { return Ok(default) };
        match find(table, &word) {
            Some(row) if row.takes != Takes::Refused => {
                self.about = format!("{} {}", self.about, row.name);
                Ok(row.act)
            }
            Some(row) => Err(unsupported(&self.about, row.name)),
            None => {
                let known: Vec<_> =
                    table.iter().filter(|row| row.takes != Takes::Refused).map(|row| row.name).collect();
                Err(Failure::Usage(format!(
                    "`{} {word}` is unknown; expected one of {}",
                    self.about,
                    known.join(", ")
                )))
            }
        }
    }

    /// The value that must follow a word.
    pub(super) fn value(&mut self, word: &str) -> Result<String, Failure> {
        let value = self.words.next();
        value.ok_or_else(|| Failure::Usage(format!("`{}`: a value is missing after {word:?}", self.about)))
    }

    /// The rest of the line, unparsed.
    pub(super) fn rest(&mut self) -> Vec<String> {
        self.words.by_ref().collect()
    }

    /// Continues with other words.
    pub(super) fn resume(&mut self, words: Vec<String>) {
        self.words = words.into_iter();
    }

    /// Checks that nothing is left.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        match self.next()? {
            None => Ok(()),
            Some(word) => Err(Failure::Usage(format!("`{}`: {word:?} is too much", self.about))),
        }
    }

    /// Parses the rest by a table. What two words mean, such as `dev NAME` and a bare `NAME`, is said once.
    pub(super) fn phrases<A: Copy + PartialEq>(
        &mut self,
        table: &[Keyword<A>],
    ) -> Result<Vec<Phrase<A>>, Failure> {
        let mut phrases: Vec<Phrase<A>> = Vec::new();
        while let Some(word) = self.next()? {
            let phrase = self.phrase(table, word)?;
            let takes = |takes| table.iter().any(|row| row.name == phrase.name && row.takes == takes);
            let is_again = |other: &Phrase<A>| {
                other.name == phrase.name || !takes(Takes::Nothing) && other.act == phrase.act
            };
            if !takes(Takes::Values) && phrases.iter().any(is_again) {
                let name = if phrase.name.is_empty() { phrase.value() } else { phrase.name };
                let hint = phrases.iter().map(Phrase::hint).find(|hint| !hint.is_empty()).unwrap_or_default();
                return Err(Failure::Usage(format!("`{}`: {name:?} is one too many{hint}", self.about)));
            }
            let is_last = takes(Takes::Rest);
            phrases.push(phrase);
            if is_last {
                break;
            }
        }
        Ok(phrases)
    }

    fn phrase<A: Copy>(&mut self, table: &[Keyword<A>], word: String) -> Result<Phrase<A>, Failure> {
        let about = self.about.clone();
        let (row, mut values) = match find(table, &word) {
            Some(row) => (row, Vec::new()),
            // `ip` prints its help there.
            None if "help".starts_with(&*word) => {
                return Err(Failure::Usage(format!(
                    "`{about}`: {word:?} reads as help; a name goes after `dev`"
                )));
            }
            None => match table.iter().find(|row| row.name.is_empty()) {
                Some(row) => (row, vec![word.clone()]),
                None => return Err(Failure::Usage(format!("`{about}`: {word:?} is unknown"))),
            },
        };
        let is_bare = row.name.is_empty();
        let missing = |what: &str| Failure::Usage(format!("`{about}`: {what} is missing after {word:?}"));
        let take = |words: &mut std::vec::IntoIter<String>| words.next().ok_or_else(|| missing("a value"));
        match row.takes {
            Takes::Refused => {
                return Err(unsupported(&about, row.name));
            }
            Takes::Nothing => {}
            Takes::Rest => values = self.words.by_ref().collect(),
            Takes::Value | Takes::Values if is_bare => {}
            _ => {
                if !is_bare {
                    values.push(take(&mut self.words)?);
                }
                let first = values[0].as_str();
                let has_more = match row.takes {
                    Takes::Via => IpFamily::named(first).is_some(),
                    Takes::Lockable => first == "lock",
                    Takes::Typed => kind_of_routes(first).is_some(),
                    Takes::Selector => ["root", "match", "exact"].iter().any(|word| word.starts_with(first)),
                    _ => false,
                };
                if has_more {
                    values.push(take(&mut self.words)?);
                }
            }
        }
        Ok(Phrase::new(row.act, row.name, word, values))
    }
}

/// The error for a word that iproute2 has and netns does not.
pub(super) fn unsupported(about: &str, word: &str) -> Failure {
    let tool = if about.starts_with("bridge") { "bridge" } else { "ip" };
    Failure::Usage(format!("`{about} {word}` is not supported; use {tool}"))
}
