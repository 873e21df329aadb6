//! One line of a manifest.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The keys of a line in order, with their values as they were written.
#[derive(Debug)]
pub struct Line<'a> {
    entries: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// Why a line cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// No JSON, or no object.
    #[error("no object of JSON: {}", reason(.0))]
    Json(serde_json::Error),
    /// A key that must be there is missing.
    #[error("the key {0:?} is missing")]
    Missing(String),
    /// The value of a key is not what it should be.
    #[error("the value of {key:?} cannot be read: {reason}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// Several jobs labelled the picture, and none was asked for.
    #[error("the jobs {} labelled this picture: choose one with --job", .0.join(", "))]
    Ambiguous(Vec<String>),
}

/// The value of a job that drew boxes.
#[derive(Debug, Deserialize)]
pub(super) struct Boxes {
    pub(super) annotations: Vec<Annotation>,
    #[serde(default)]
    pub(super) image_size: Vec<ImageSize>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Annotation {
    pub(super) class_id: i64,
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct ImageSize {
    pub(super) width: u32,
    pub(super) height: u32,
    #[serde(default = "colours")]
    pub(super) depth: u8,
}

fn colours() -> u8 {
    3
}

/// The value of a job's second key, `NAME-metadata`.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata<'a> {
    #[serde(borrow, rename = "class-map")]
    pub(super) class_map: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) objects: Vec<Sureness>,
    #[serde(rename = "job-name")]
    pub(super) job_name: Option<String>,
    #[serde(rename = "human-annotated")]
    pub(super) human_annotated: Option<String>,
    #[serde(rename = "creation-date")]
    pub(super) creation_date: Option<String>,
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Cow<'a, str>>,
    #[serde(rename = "class-name")]
    pub(super) class_name: Option<String>,
    pub(super) confidence: Option<f64>,
    #[serde(borrow, rename = "confidence-map")]
    pub(super) confidence_map: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Sureness {
    pub(super) confidence: Option<f64>,
}

impl<'a> Line<'a> {
    /// Parses a line. Values are checked to be JSON, and not looked at.
    ///
    /// # Errors
    /// [`LineError::Json`]
    pub fn parse(text: &'a [u8]) -> Result<Self, LineError> {
        serde_json::from_slice(text).map_err(LineError::Json)
    }

    /// The value of a key as it was written. Of several, the last counts, as in every parser.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.entries.iter().rev().find(|(known, _)| known == key).map(|(_, value)| *value)
    }

    /// The names of the jobs that the line has: keys with a second key, `NAME-metadata`.
    pub fn jobs(&self) -> impl Iterator<Item = &str> {
        let has_metadata = |job: &str| {
            self.entries.iter().any(|(key, _)| key.strip_suffix("-metadata").is_some_and(|named| named == job))
        };
        self.entries.iter().map(|(key, _)| &**key).filter(move |key| has_metadata(key))
    }

    /// The line with the two keys of `job` renamed to those of `to` and put last, even if the name is the same. Other keys and all
    /// values stay as they are. It is printed as Python's `json.dumps` does between keys.
    #[must_use]
    pub fn renamed(&self, job: &str, to: &str) -> String {
        let metadata = format!("{job}-metadata");
        let mut text = String::from("{");
        let mut push = |key: &str, value: &RawValue| {
            if text.len() > 1 {
                text.push_str(", ");
            }
            text.push_str(&ascii(key));
            text.push_str(": ");
            text.push_str(value.get());
        };
        let renamed = [job.to_owned(), metadata.clone(), to.to_owned(), format!("{to}-metadata")];
        for (index, (key, value)) in self.entries.iter().enumerate() {
            let is_last = !self.entries[index + 1..].iter().any(|(later, _)| later == key);
            if is_last && !renamed.iter().any(|moved| moved == key) {
                push(key, value);
            }
        }
        for (from, to) in [(job, to.to_owned()), (&metadata, format!("{to}-metadata"))] {
            if let Some(value) = self.get(from) {
                push(&to, value);
            }
        }
        text.push('}');
        text
    }

    /// All keys with their values.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (Cow<'a, str>, &'a RawValue)> {
        self.entries.into_iter()
    }

    /// The value of a key, read as a type.
    pub(super) fn read<T: Deserialize<'a>>(&self, key: &str) -> Result<T, LineError> {
        let value = self.get(key).ok_or_else(|| LineError::Missing(key.to_owned()))?;
        read(key, value)
    }
}

/// A value, read as a type.
pub(super) fn read<'a, T: Deserialize<'a>>(key: &str, value: &'a RawValue) -> Result<T, LineError> {
    serde_json::from_str(value.get()).map_err(|error| LineError::Value { key: key.to_owned(), reason: reason(&error) })
}

/// What is wrong, without the place, which counts within a part of the file.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((reason, _)) => reason.to_owned(),
        None => text,
    }
}

/// A text as a string of JSON in ASCII, as Python prints it.
pub(crate) fn ascii(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    if quoted.is_ascii() {
        return quoted;
    }
    let mut escaped = String::with_capacity(quoted.len() * 2);
    for letter in quoted.chars() {
        if letter.is_ascii() {
            escaped.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

/// Text that is not copied unless it has escapes.
#[derive(Debug, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Line<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Line<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(4);
                while let Some((Text(key), value)) = map.next_entry()? {
                    entries.push((key, value));
                }
                Ok(Line { entries })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_job_moves_to_the_end_and_values_stay_as_they_are() {
        let text = br#"{"a":1.0e2,"main":{"x": [1 ,2]},"j-metadata":{},"source-ref":"s","main-metadata":3}"#;
        let line = Line::parse(text).unwrap();
        assert_eq!(
            line.renamed("main", "main"),
            r#"{"a": 1.0e2, "j-metadata": {}, "source-ref": "s", "main": {"x": [1 ,2]}, "main-metadata": 3}"#
        );
        assert_eq!(line.jobs().collect::<Vec<_>>(), ["main"]);
    }

    #[test]
    fn text_is_printed_in_ascii_as_python_does() {
        assert_eq!(ascii("é\"\n😀"), r#""\u00e9\"\n\ud83d\ude00""#);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "[]", "3", "{\"a\":}", "{\"a\":1", "{} {}", "\u{0}"] {
            assert!(matches!(Line::parse(text.as_bytes()), Err(LineError::Json(_))), "{text}");
        }
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        // The value is passed over without recursion.
        let _ = Line::parse(deep.as_bytes());
    }
}
