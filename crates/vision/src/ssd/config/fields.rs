//! Fields of messages by name. What nobody asked for is an error in the end.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::str::FromStr;

use super::error::ConfigError;
use super::text::{Field, Message, Value};

/// The characters of a value that a message shows.
const SHOWN: usize = 60;

/// A message whose fields are read one by one.
pub(in crate::ssd) struct Fields<'a> {
    message: &'a Message,
    path: String,
    read: RefCell<BTreeSet<String>>,
}

impl<'a> Fields<'a> {
    /// Of a whole text.
    pub(in crate::ssd) fn of(message: &'a Message) -> Self {
        Self::at(message, String::new())
    }

    fn at(message: &'a Message, path: String) -> Self {
        Self { message, path, read: RefCell::default() }
    }

    fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'a Field> {
        self.read.borrow_mut().insert(name.to_owned());
        self.message.fields.iter().filter(move |field| field.name == name)
    }

    /// The only field of a name.
    fn one(&self, name: &str) -> Result<Option<&'a Field>, ConfigError> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (_, Some(field)) => {
                let (line, path) = (field.line, self.path(name));
                Err(ConfigError::Value { line, path, found: "there twice".to_owned(), needed: "once".to_owned() })
            }
            (field, None) => Ok(field),
        }
    }

    fn wrong(&self, field: &Field, needed: impl Into<String>) -> ConfigError {
        let found = match &field.value {
            Value::Word(word) => word.chars().take(SHOWN).collect(),
            Value::Text(text) => format!("{:?}", text.chars().take(SHOWN).collect::<String>()),
            Value::Message(_) => "a message".to_owned(),
        };
        ConfigError::Value { line: field.line, path: self.path(&field.name), found, needed: needed.into() }
    }

    /// A message.
    pub(in crate::ssd) fn message(&self, name: &str) -> Result<Option<Self>, ConfigError> {
        let Some(field) = self.one(name)? else { return Ok(None) };
        match &field.value {
            Value::Message(message) => Ok(Some(Self::at(message, self.path(name)))),
            _ => Err(self.wrong(field, "a message in braces")),
        }
    }

    /// All messages of a name.
    pub(in crate::ssd) fn messages(&self, name: &str) -> Result<Vec<Self>, ConfigError> {
        let of = |field: &'a Field| match &field.value {
            Value::Message(message) => Ok(Self::at(message, self.path(name))),
            _ => Err(self.wrong(field, "a message in braces")),
        };
        self.all(name).map(of).collect()
    }

    /// All texts of a name.
    pub(in crate::ssd) fn texts(&self, name: &str) -> Result<Vec<String>, ConfigError> {
        let of = |field: &Field| match &field.value {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(self.wrong(field, "a text in quotes")),
        };
        self.all(name).map(of).collect()
    }

    /// A message that has to be there. `needed` says what would work.
    pub(in crate::ssd) fn required(&self, name: &str, needed: &'static str) -> Result<Self, ConfigError> {
        self.message(name)?.ok_or_else(|| ConfigError::Missing { path: self.path(name), needed })
    }

    /// The one message of some names that has to be there, with its name: a `oneof`. Others are not supported.
    pub(in crate::ssd) fn one_of(
        &self,
        names: &[&'static str],
        needed: &'static str,
    ) -> Result<(&'static str, Self), ConfigError> {
        let mut found = None;
        for name in names {
            if let Some(message) = self.message(name)? {
                found = Some((*name, message));
            }
        }
        // A message of another kind is the better reason than that one is missing.
        self.finish()?;
        found.ok_or_else(|| ConfigError::Missing { path: self.path(names[0]), needed })
    }

    fn parsed<T: FromStr>(&self, field: &Field, needed: &str, works: impl Fn(&T) -> bool) -> Result<T, ConfigError> {
        let parsed = match &field.value {
            // C's suffix of a float.
            Value::Word(word) => word.parse().or_else(|_| word.trim_end_matches(['f', 'F']).parse()).ok(),
            _ => None,
        };
        parsed.filter(works).ok_or_else(|| self.wrong(field, needed))
    }

    /// A number that works; `default` without one.
    pub(in crate::ssd) fn number<T: FromStr>(
        &self,
        name: &str,
        default: T,
        needed: &str,
        works: impl Fn(&T) -> bool,
    ) -> Result<T, ConfigError> {
        self.one(name)?.map_or(Ok(default), |field| self.parsed(field, needed, works))
    }

    /// All numbers of a name, each of which works.
    pub(in crate::ssd) fn numbers<T: FromStr>(
        &self,
        name: &str,
        needed: &str,
        works: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, ConfigError> {
        self.all(name).map(|field| self.parsed(field, needed, &works)).collect()
    }

    /// `true` or `false`.
    pub(in crate::ssd) fn flag(&self, name: &str, default: bool) -> Result<bool, ConfigError> {
        let Some(field) = self.one(name)? else { return Ok(default) };
        match &field.value {
            Value::Word(word) if matches!(&**word, "true" | "True" | "t" | "1") => Ok(true),
            Value::Word(word) if matches!(&**word, "false" | "False" | "f" | "0") => Ok(false),
            _ => Err(self.wrong(field, "true or false")),
        }
    }

    /// One of some words, with or without quotes.
    pub(in crate::ssd) fn word<T: Copy>(
        &self,
        name: &str,
        default: Option<T>,
        words: &[(&'static str, T)],
    ) -> Result<T, ConfigError> {
        let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
        let Some(field) = self.one(name)? else {
            let needed = words.first().map_or("a value", |(word, _)| *word);
            return default.ok_or_else(|| ConfigError::Missing { path: self.path(name), needed });
        };
        let (Value::Word(found) | Value::Text(found)) = &field.value else { return Err(self.wrong(field, known())) };
        let word = words.iter().find(|(word, _)| word == found);
        word.map(|(_, value)| *value).ok_or_else(|| self.wrong(field, known()))
    }

    /// A flag that has to be as it is by default.
    pub(in crate::ssd) fn always(&self, name: &str, value: bool) -> Result<(), ConfigError> {
        let Some(field) = self.one(name)? else { return Ok(()) };
        if self.flag(name, value)? == value { Ok(()) } else { Err(self.wrong(field, value.to_string())) }
    }

    /// Passes over fields that change nothing here.
    pub(in crate::ssd) fn pass_over(&self, names: &[&str]) {
        self.read.borrow_mut().extend(names.iter().map(|name| (*name).to_owned()));
    }

    /// At the end.
    ///
    /// # Errors
    /// [`ConfigError::Unsupported`]: the first field that nobody asked for.
    pub(in crate::ssd) fn finish(&self) -> Result<(), ConfigError> {
        let read = self.read.borrow();
        let unread = self.message.fields.iter().find(|field| !read.contains(&field.name));
        unread.map_or(Ok(()), |field| Err(ConfigError::Unsupported { line: field.line, path: self.path(&field.name) }))
    }
}
