//! Inputs of the control plane. Every member is read by name, and a member that was not read is refused.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value};

use crate::aws_error::json_error;
use crate::child::is_of_loader;
use crate::error::chain;
use crate::sagemaker::records::{Tag, is_name};

/// The most tags of a resource.
pub(super) const MOST_TAGS: usize = 50;

/// The most variables of a container.
const MOST_VARIABLES: usize = 100;

/// Why a request to the control plane is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("{0}")]
    Validation(String),
    #[error("{0}")]
    ResourceInUse(String),
    #[error("the request is not JSON of an object")]
    Serialization(#[source] Option<serde_json::Error>),
    #[error("the journal failed")]
    Journal(#[from] rusqlite::Error),
}

impl ApiError {
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::Validation(message.into())
    }

    pub(super) fn response(&self) -> Response {
        let (status, code) = match self {
            Self::Validation(_) => (StatusCode::BAD_REQUEST, "ValidationException"),
            Self::ResourceInUse(_) => (StatusCode::BAD_REQUEST, "ResourceInUse"),
            Self::Serialization(_) => (StatusCode::BAD_REQUEST, "SerializationException"),
            Self::Journal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure"),
        };
        json_error(status, code, &chain(self))
    }
}

/// The members of a structure that are not read yet.
#[derive(Debug)]
pub(super) struct Members {
    /// The path of the structure in AWS's form: `primaryContainer.`; empty at the top.
    path: String,
    members: Map<String, Value>,
}

impl Members {
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self { path: String::new(), members }),
            Ok(_) => Err(ApiError::Serialization(None)),
            Err(error) => Err(ApiError::Serialization(Some(error))),
        }
    }

    /// All members, read or not.
    pub(super) fn shown(&self) -> Value {
        Value::Object(self.members.clone())
    }

    /// Gives a missing member a value.
    pub(super) fn default(&mut self, name: &str, value: &str) {
        if self.members.get(name).is_none_or(Value::is_null) {
            self.members.insert(name.to_owned(), Value::from(value));
        }
    }

    /// A member, unless it is missing or null.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    /// Reads members that have no effect here.
    pub(super) fn ignore(&mut self, names: &[&str]) {
        names.iter().for_each(|name| _ = self.take(name));
    }

    /// Reads members that have no effect here and are described as they are.
    pub(super) fn keep(&mut self, names: &[&str]) -> Map<String, Value> {
        names.iter().filter_map(|name| Some(((*name).to_owned(), self.take(name)?))).collect()
    }

    pub(super) fn text(&mut self, name: &str, longest: usize) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= longest => Ok(Some(text)),
            Some(value) => {
                Err(self.invalid(name, &value, &format!("Member must have length less than or equal to {longest}")))
            }
        }
    }

    /// The name of a model, an endpoint configuration, an endpoint or a variant.
    pub(super) fn name(&mut self, name: &str) -> Result<String, ApiError> {
        let text = self.optional_name(name)?;
        self.required(name, text)
    }

    /// The same, of a member that may be missing.
    pub(super) fn optional_name(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.text(name, 63)? {
            Some(text) if !is_name(&text) => {
                let pattern = "Member must satisfy regular expression pattern: ^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$";
                Err(self.invalid(name, &Value::String(text), pattern))
            }
            text => Ok(text),
        }
    }

    pub(super) fn integer(&mut self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) if range.contains(&number) => Ok(Some(number)),
                _ => {
                    let (least, most) = (range.start(), range.end());
                    Err(self.invalid(name, &value, &format!("Member must be a whole number from {least} to {most}")))
                }
            },
        }
    }

    /// The weight of a variant: 0, or a positive number that fits AWS's 32 bits.
    pub(super) fn weight(&mut self, name: &str) -> Result<Option<f64>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_f64().filter(|weight| (0.0..=f64::from(f32::MAX)).contains(weight)) {
                Some(weight) => Ok(Some(weight)),
                None => Err(self.invalid(name, &value, "Member must be 0 or more")),
            },
        }
    }

    /// Seconds since 1970.
    pub(super) fn time(&mut self, name: &str) -> Result<Option<f64>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(seconds) => Ok(Some(seconds)),
                None => Err(self.invalid(name, &value, "Member must be a number of seconds since 1970")),
            },
        }
    }

    pub(super) fn one_of(&mut self, name: &str, values: &[&'static str]) -> Result<Option<&'static str>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match values.iter().find(|known| value == **known) {
                Some(known) => Ok(Some(known)),
                None => {
                    let constraint = format!("Member must satisfy enum value set: [{}]", values.join(", "));
                    Err(self.invalid(name, &value, &constraint))
                }
            },
        }
    }

    /// A boolean; false by default.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(value) => Err(self.invalid(name, &value, "Member must be true or false")),
        }
    }

    pub(super) fn structure(&mut self, name: &str) -> Result<Option<Self>, ApiError> {
        let path = format!("{}.", self.at(name));
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self { path, members })),
            Some(value) => Err(self.invalid(name, &value, "Member must be a structure")),
        }
    }

    pub(super) fn structures(&mut self, name: &str) -> Result<Vec<Self>, ApiError> {
        let at = self.at(name);
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                let numbered = items.into_iter().enumerate().map(|(index, item)| match item {
                    Value::Object(members) => Ok(Self { path: format!("{at}.{}.member.", index + 1), members }),
                    other => Err(self.invalid(name, &other, "Member must be a structure")),
                });
                numbered.collect()
            }
            Some(value) => Err(self.invalid(name, &value, "Member must be a list")),
        }
    }

    /// A list of 1 to `most` words of up to `longest` characters. Empty if it is missing.
    pub(super) fn words(&mut self, name: &str, most: usize, longest: usize) -> Result<Vec<String>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(Vec::new()) };
        match serde_json::from_value::<Vec<String>>(value.clone()) {
            Ok(words)
                if (1..=most).contains(&words.len()) && words.iter().all(|word| word.chars().count() <= longest) =>
            {
                Ok(words)
            }
            _ => {
                let constraint =
                    format!("Member must be a list of 1 to {most} strings of at most {longest} characters");
                Err(self.invalid(name, &value, &constraint))
            }
        }
    }

    pub(super) fn texts(&mut self, name: &str) -> Result<BTreeMap<String, String>, ApiError> {
        let value = self.take(name).unwrap_or_else(|| Value::Object(Map::new()));
        serde_json::from_value(value.clone()).map_err(|_| self.invalid(name, &value, "Member must be a map of strings"))
    }

    /// Tags: 50 at most, each key once. AWS keeps the keys that begin with `aws:` to itself.
    pub(super) fn tags(&mut self, name: &str) -> Result<Vec<Tag>, ApiError> {
        let mut tags: Vec<Tag> = Vec::new();
        for mut tag in self.structures(name)? {
            let key = tag.text("Key", 128)?;
            let key = tag.required("Key", key)?;
            let value = tag.text("Value", 256)?;
            let value = tag.required("Value", value)?;
            if key.is_empty() || key.starts_with("aws:") || tags.iter().any(|tag| tag.key == key) {
                let constraint = "it must have 1 to 128 characters, not begin with aws:, and be there once";
                return Err(tag.invalid("Key", &Value::String(key), constraint));
            }
            tag.done()?;
            tags.push(Tag { key, value });
        }
        if tags.len() > MOST_TAGS {
            let count = Value::from(tags.len());
            return Err(self.invalid(name, &count, "Member must have length less than or equal to 50"));
        }
        Ok(tags)
    }

    /// The environment of a container: at most 100 variables. `longest` are the most characters of a name and of a value.
    pub(super) fn environment(
        &mut self,
        name: &str,
        longest: (usize, usize),
    ) -> Result<BTreeMap<String, String>, ApiError> {
        let variables = self.texts(name)?;
        let shown = || Value::from(variables.keys().cloned().collect::<Vec<_>>());
        if variables.len() > MOST_VARIABLES {
            let constraint = format!("Member must have length less than or equal to {MOST_VARIABLES}");
            return Err(self.invalid(name, &shown(), &constraint));
        }
        for (variable, value) in &variables {
            let first = variable.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
            let constraint = if !first || !variable.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                "Member must satisfy regular expression pattern: [a-zA-Z_][a-zA-Z0-9_]*".to_owned()
            } else if variable.len() > longest.0 {
                format!("Member must have length less than or equal to {}", longest.0)
            } else if value.chars().count() > longest.1 {
                let constraint = format!("Member must have length less than or equal to {}", longest.1);
                return Err(self.invalid(
                    name,
                    &shown(),
                    &format!("Map value of '{variable}' must satisfy constraint: [{constraint}]"),
                ));
            } else if is_of_loader(variable) {
                let instead = format!("the loader of this machine would heed {variable}: leave it out");
                return Err(self.unsupported(name, &instead));
            } else {
                continue;
            };
            return Err(self.invalid(name, &shown(), &format!("Map keys must satisfy constraint: [{constraint}]")));
        }
        Ok(variables)
    }

    pub(super) fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, ApiError> {
        value.ok_or_else(|| {
            let at = self.at(name);
            let message = format!("Value null at '{at}' failed to satisfy constraint: Member must not be null");
            ApiError::validation(format!("1 validation error detected: {message}"))
        })
    }

    /// Refuses members that were not read.
    pub(super) fn done(self) -> Result<(), ApiError> {
        match self.members.iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((name, _)) => Err(self.unsupported(name, "leave it out")),
        }
    }

    /// The refusal of a member that AWS takes and the local cloud does not. `instead` says what works.
    pub(super) fn unsupported(&self, name: &str, instead: &str) -> ApiError {
        ApiError::validation(format!("{} is not supported by the local cloud: {instead}", self.at(name)))
    }

    /// The refusal of a bad value, in AWS's words.
    pub(super) fn invalid(&self, name: &str, value: &Value, constraint: &str) -> ApiError {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let at = self.at(name);
        ApiError::validation(format!(
            "1 validation error detected: Value '{shown}' at '{at}' failed to satisfy constraint: {constraint}"
        ))
    }

    /// The path of a member, in AWS's form.
    fn at(&self, name: &str) -> String {
        let mut letters = name.chars();
        let first = letters.next().map(|letter| letter.to_ascii_lowercase()).into_iter();
        format!("{}{}", self.path, first.chain(letters).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn members(value: &Value) -> Members {
        Members::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn bad_names_are_refused_as_aws_refuses_them() {
        let error = members(&json!({"ModelName": "a_b"})).name("ModelName").unwrap_err().to_string();
        assert!(error.starts_with("1 validation error detected: Value 'a_b' at 'modelName' failed"), "{error}");
        let error = members(&json!({"ModelName": "x".repeat(64)})).name("ModelName").unwrap_err().to_string();
        assert!(error.contains("length less than or equal to 63"), "{error}");
        assert!(members(&json!({})).name("ModelName").unwrap_err().to_string().contains("must not be null"));
    }

    #[test]
    fn a_member_that_is_not_read_is_refused_by_its_path() {
        let mut top = members(&json!({"A": {"B": [{"C": 1, "D": null}]}, "E": null, "Tags": []}));
        top.ignore(&["Tags"]);
        let mut a = top.structure("A").unwrap().unwrap();
        let b = a.structures("B").unwrap().remove(0);
        assert_eq!(
            b.done().unwrap_err().to_string(),
            "a.b.1.member.c is not supported by the local cloud: leave it out"
        );
        a.done().unwrap();
        top.done().unwrap();
    }

    #[test]
    fn an_environment_keeps_awss_rules_and_leaves_the_loader_alone() {
        let read = |name: &str, value: &str| {
            let mut request = members(&json!({"Environment": {name: value}}));
            request.environment("Environment", (512, 512)).map(|_| ()).map_err(|error| error.to_string())
        };
        for good in ["A", "_", "PATH", "PYTHONPATH", "a1_B", "LDX", &"x".repeat(512)] {
            assert_eq!(read(good, "1"), Ok(()), "{good}");
        }
        for bad in ["", "1a", "a-b", "a b", "a=b", "ä", &"x".repeat(513)] {
            let words = read(bad, "1").unwrap_err();
            assert!(words.contains("at 'environment' failed to satisfy constraint: Map keys must"), "{bad}: {words}");
        }
        assert!(read("A", &"x".repeat(513)).unwrap_err().contains("Map value of 'A'"));
        for loader in ["LD_PRELOAD", "LD_LIBRARY_PATH", "GLIBC_TUNABLES", "DYLD_INSERT_LIBRARIES", "MALLOC_CONF"] {
            let words = read(loader, "1").unwrap_err();
            assert!(words.contains("environment is not supported") && words.contains(loader), "{words}");
        }
        let many: Map<String, Value> = (0..101).map(|n| (format!("A{n}"), json!("1"))).collect();
        assert!(members(&json!({"Environment": many})).environment("Environment", (9, 9)).is_err());
    }

    #[test]
    fn values_are_checked_for_type_and_range() {
        let value = json!({"N": 5, "T": 1.5, "E": "x", "F": true, "M": {"a": "b"}, "S": "text"});
        let mut good = members(&value);
        assert_eq!(good.integer("N", 1..=5).unwrap(), Some(5));
        assert_eq!(good.time("T").unwrap(), Some(1.5));
        assert_eq!(good.one_of("E", &["x", "y"]).unwrap(), Some("x"));
        assert!(good.flag("F").unwrap() && !good.flag("G").unwrap());
        assert_eq!(good.texts("M").unwrap()["a"], "b");
        assert_eq!(good.text("S", 4).unwrap().as_deref(), Some("text"));
        good.done().unwrap();
        let bad = || members(&value);
        assert!(bad().integer("N", 6..=9).is_err() && bad().integer("T", 0..=9).is_err());
        assert!(bad().time("S").is_err() && bad().one_of("E", &["y"]).is_err() && bad().flag("N").is_err());
        assert!(bad().texts("S").is_err() && bad().text("S", 3).is_err() && bad().text("N", 9).is_err());
        assert!(bad().structure("N").is_err() && bad().structures("M").is_err());
        assert!(Members::parse(b"[]").is_err() && Members::parse(b"{").is_err());
    }
}
