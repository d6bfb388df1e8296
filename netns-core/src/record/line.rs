//! A line of a record: a key and words.

use std::fmt::{self, Display, Write as _};
use std::str::FromStr;

/// A line of a record: a key, which says what it is about, and words.
///
/// In the file, words are separated by blanks. A byte of a word that is not printable ASCII, a blank or `%` is written
/// as `%` and two hexadecimal digits, a word of no bytes as `%`; a word that is absent is `-`.
///
/// ```
/// use netns_core::record::Line;
///
/// let line = Line::new("namespace").with("my lab").with_option(None::<u64>).with(7);
/// assert_eq!(line.to_string(), "namespace my%20lab - 7");
/// let read: Line = line.to_string().parse().unwrap();
/// assert_eq!((read.key(), read.text(0), read.parse::<u32>(2)), ("namespace", Some("my lab"), Some(7)));
/// assert_eq!(read.optional::<u64>(1), Some(None));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Line {
    key: String,
    words: Vec<Option<Vec<u8>>>,
}

impl Line {
    /// A line without words. The key is a plain word: letters, digits and dashes.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self { key: key.to_owned(), words: Vec::new() }
    }

    /// With one more word.
    #[must_use]
    pub fn with(self, word: impl Display) -> Self {
        self.with_bytes(word.to_string())
    }

    /// With one more word, which need not be text.
    #[must_use]
    pub fn with_bytes(mut self, word: impl Into<Vec<u8>>) -> Self {
        self.words.push(Some(word.into()));
        self
    }

    /// With one more word, which may be absent.
    #[must_use]
    pub fn with_option(mut self, word: Option<impl Display>) -> Self {
        self.words.push(word.map(|word| word.to_string().into_bytes()));
        self
    }

    /// What the line is about.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How many words it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether it has no words.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// A word, counted from 0; `None` if there are not as many, or it is absent.
    #[must_use]
    pub fn bytes(&self, word: usize) -> Option<&[u8]> {
        self.words.get(word)?.as_deref()
    }

    /// As [`Self::bytes`], as text; `None` if it is not UTF-8.
    #[must_use]
    pub fn text(&self, word: usize) -> Option<&str> {
        std::str::from_utf8(self.bytes(word)?).ok()
    }

    /// As [`Self::text`], as a value; `None` if it is none.
    #[must_use]
    pub fn parse<T: FromStr>(&self, word: usize) -> Option<T> {
        self.text(word)?.parse().ok()
    }

    /// As [`Self::parse`], of a word that may be absent: `None` if there are not as many words or it is no such value.
    #[must_use]
    pub fn optional<T: FromStr>(&self, word: usize) -> Option<Option<T>> {
        match self.words.get(word)? {
            None => Some(None),
            Some(_) => self.parse(word).map(Some),
        }
    }

    /// The words from this one on, as text; `None` if one is no text or absent.
    #[must_use]
    pub fn texts(&self, from: usize) -> Option<Vec<String>> {
        (from..self.len()).map(|word| self.text(word).map(str::to_owned)).collect()
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        for word in &self.words {
            f.write_char(' ')?;
            match word.as_deref() {
                None => f.write_char('-')?,
                Some([]) => f.write_char('%')?,
                Some(b"-") => f.write_str("%2d")?,
                Some(word) => write_word(f, word)?,
            }
        }
        Ok(())
    }
}

fn write_word(f: &mut fmt::Formatter<'_>, word: &[u8]) -> fmt::Result {
    for &byte in word {
        if byte.is_ascii_graphic() && byte != b'%' {
            f.write_char(char::from(byte))?;
        } else {
            write!(f, "%{byte:02x}")?;
        }
    }
    Ok(())
}

impl FromStr for Line {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(' ');
        let key = parts.next().filter(|key| is_key(key)).ok_or(())?.to_owned();
        let words = parts.map(read_word).collect::<Option<_>>().ok_or(())?;
        Ok(Self { key, words })
    }
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// A word as it was; `None` if it was not written by us.
#[expect(
    clippy::option_option,
    reason = "a word that makes no sense is another thing than one that is absent"
)]
fn read_word(text: &str) -> Option<Option<Vec<u8>>> {
    match text {
        "" => return None,
        "-" => return Some(None),
        "%" => return Some(Some(Vec::new())),
        _ => {}
    }
    let mut word = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
            word.push(u8::try_from(high * 16 + low).ok()?);
        } else if byte.is_ascii_graphic() {
            word.push(byte);
        } else {
            return None;
        }
    }
    Some(Some(word))
}
