//! A case of the table.

use serde_json::Value;

/// What is done, and what the result must be.
#[derive(Debug, Clone)]
pub(crate) struct ConformanceCase {
    pub(crate) id: String,
    /// The section of the specification.
    pub(crate) section: String,
    /// Its sentence.
    pub(crate) says: String,
    since: String,
    before: Option<String>,
    /// The first version to which the case applies.
    pub(crate) speaks: Option<String>,
    /// Whether it is run for each version, not only for the newest.
    pub(crate) each: bool,
    /// Whether it is about chained plugins.
    pub(crate) chained: bool,
    /// The types of plugins to which it applies; all if empty.
    types: Vec<Value>,
    pub(crate) steps: Vec<Value>,
}

impl ConformanceCase {
    pub(crate) fn read(value: &Value) -> Result<Self, String> {
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let needed = |key: &str| text(key).ok_or_else(|| format!("a case has no {key:?}: {value}"));
        Ok(Self {
            id: needed("id")?,
            section: needed("section")?,
            says: needed("says")?,
            since: text("since").unwrap_or_else(|| "0.3.0".to_owned()),
            before: text("before"),
            speaks: text("speaks"),
            each: value["each"] == true,
            chained: value["chained"] == true,
            types: value["types"].as_array().cloned().unwrap_or_default(),
            steps: value["steps"]
                .as_array()
                .cloned()
                .ok_or_else(|| format!("a case has no steps: {value}"))?,
        })
    }

    /// Whether it is about plugins of this type.
    pub(crate) fn is_of_type(&self, name: &Value) -> bool {
        self.types.is_empty() || self.types.contains(name)
    }

    /// Whether it is about this version. Versions are ordered as their texts are, as long as each part has one digit.
    pub(crate) fn is_of(&self, version: &str) -> bool {
        version >= self.since.as_str() && self.before.as_ref().is_none_or(|before| version < before.as_str())
    }
}
