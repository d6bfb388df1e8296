//! Keys of a configuration, read one by one, so that an error names the key's path and value.

use crate::failure::{CniFailure, FailureCode, Outcome};
use serde_json::{Map, Value};
use std::fmt::Display;
use std::str::FromStr;

/// The keys of a JSON object; an absent object has none.
///
/// As in the reference plugins, `null` is the same as no key, names are compared without regard to case if the exact one is
/// absent, and unknown keys are ignored.
#[derive(Debug, Clone)]
pub(crate) struct ConfigKeys<'a> {
    path: String,
    map: Option<&'a Map<String, Value>>,
}

impl<'a> ConfigKeys<'a> {
    /// Of the whole document.
    pub(crate) fn of(document: &'a Map<String, Value>) -> Self {
        Self { path: String::new(), map: Some(document) }
    }

    /// Of an entry of a list, with the given path.
    pub(crate) fn of_entry(path: String, entry: &'a Value) -> Outcome<Self> {
        match entry {
            Value::Object(map) => Ok(Self { path, map: Some(map) }),
            other => Err(wrong(&path, other, "an object")),
        }
    }

    /// The path of a key, for messages: `ipam.subnet`.
    pub(crate) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        let map = self.map?;
        let alike = || {
            let named =
                |(name, value): &(&String, &Value)| name.eq_ignore_ascii_case(key) && !value.is_null();
            map.iter().find(named).map(|(_, value)| value)
        };
        map.get(key).filter(|value| !value.is_null()).or_else(alike)
    }

    /// The keys that are present, as written.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.map.into_iter().flatten().map(|(name, _)| name.as_str())
    }

    pub(crate) fn inside(&self, key: &str) -> Outcome<Self> {
        let path = self.path(key);
        match self.get(key) {
            None => Ok(Self { path, map: None }),
            Some(value) => Self::of_entry(path, value),
        }
    }

    pub(crate) fn boolean(&self, key: &str) -> Outcome<bool> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err(wrong(&self.path(key), other, "true or false")),
        }
    }

    pub(crate) fn text(&self, key: &str) -> Outcome<Option<&'a str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(&self.path(key), other, "a text")),
        }
    }

    pub(crate) fn number(&self, key: &str) -> Outcome<Option<u32>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
                Some(number) => Ok(Some(number)),
                None => Err(wrong(&self.path(key), value, "a whole number below 2^32")),
            },
        }
    }

    /// The entries of a list; none if it is absent.
    pub(crate) fn list(&self, key: &str) -> Outcome<&'a [Value]> {
        match self.get(key) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(other) => Err(wrong(&self.path(key), other, "a list")),
        }
    }

    pub(crate) fn texts(&self, key: &str) -> Outcome<Vec<String>> {
        let entries = self.list(key)?.iter().enumerate();
        let text = |(number, entry): (usize, &Value)| match entry {
            Value::String(text) => Ok(text.clone()),
            other => Err(wrong(&format!("{}[{number}]", self.path(key)), other, "a text")),
        };
        entries.map(text).collect()
    }

    /// Parses a text: an address, a network. An empty text is none, as in Go.
    pub(crate) fn parse<T: FromStr<Err: Display>>(&self, key: &str) -> Outcome<Option<T>> {
        let Some(text) = self.text(key)?.filter(|text| !text.is_empty()) else { return Ok(None) };
        text.parse().map(Some).map_err(|error| {
            CniFailure::new(FailureCode::InvalidConfig, format!("{} is {text:?}: {error}", self.path(key)))
        })
    }
}

/// A value of the wrong type.
pub(crate) fn wrong(path: &str, value: &Value, expected: &str) -> CniFailure {
    CniFailure::new(FailureCode::Decoding, format!("{path} is {value}, which is not {expected}"))
}
