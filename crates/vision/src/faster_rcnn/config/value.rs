//! Values of a configuration, as YAML and Python literals hold them.

use std::collections::BTreeMap;
use std::fmt;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

/// The most values of a document, those of repeated aliases included. A whole configuration has 400.
const MOST_VALUES: usize = 1 << 16;
/// How deep values lie in each other.
const DEEPEST: usize = 32;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `None`.
    Nothing,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Whole(i64),
    /// A number with a point.
    Number(f64),
    /// A text.
    Text(String),
    /// A list or a tuple.
    List(Vec<Value>),
    /// A section.
    Section(BTreeMap<String, Value>),
}

/// Why a text is no document of values.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// It is no YAML.
    #[error("it is no YAML")]
    Scan(#[from] ScanError),
    /// It has too many values.
    #[error("it has more than {MOST_VALUES} values, aliases included: a configuration has 400")]
    Many,
    /// Its values lie too deep.
    #[error("its values lie more than {DEEPEST} deep in each other")]
    Deep,
    /// A key is no text.
    #[error("line {line} has a key that is no text")]
    Key {
        /// The line, from 1.
        line: usize,
    },
}

/// A value that is being read.
enum Open {
    List(Vec<Value>),
    /// With the key whose value comes next.
    Section(BTreeMap<String, Value>, Option<String>),
}

impl Value {
    /// Reads the first document of a YAML text. A text that is a Python literal is that literal, as Detectron2 has it.
    ///
    /// # Errors
    /// [`YamlError`].
    pub fn from_yaml(text: &str) -> Result<Self, YamlError> {
        let mut open: Vec<(Open, usize)> = Vec::new();
        let mut anchors: BTreeMap<usize, Self> = BTreeMap::new();
        let mut values = 0;
        for event in Parser::new_from_str(text) {
            let (event, span) = event?;
            let (value, anchor) = match event {
                Event::SequenceStart(anchor, _) => {
                    open.push((Open::List(Vec::new()), anchor));
                    (None, 0)
                }
                Event::MappingStart(anchor, _) => {
                    open.push((Open::Section(BTreeMap::new(), None), anchor));
                    (None, 0)
                }
                Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                    Some((Open::List(values), anchor)) => (Some(Self::List(values)), anchor),
                    Some((Open::Section(values, _), anchor)) => (Some(Self::Section(values)), anchor),
                    None => (None, 0),
                },
                Event::Scalar(text, style, anchor, _) => (Some(Self::from_scalar(&text, style)), anchor),
                Event::Alias(anchor) => (Some(anchors.get(&anchor).cloned().unwrap_or(Self::Nothing)), 0),
                Event::DocumentEnd => break,
                _ => (None, 0),
            };
            if open.len() > DEEPEST {
                return Err(YamlError::Deep);
            }
            let Some(value) = value else { continue };
            values += value.count();
            if values > MOST_VALUES {
                return Err(YamlError::Many);
            }
            if anchor > 0 {
                anchors.insert(anchor, value.clone());
            }
            match open.last_mut() {
                None => return Ok(value),
                Some((Open::List(values), _)) => values.push(value),
                Some((Open::Section(values, key), _)) => match (key.take(), value) {
                    (Some(key), value) => drop(values.insert(key, value)),
                    (None, Self::Text(text)) => *key = Some(text),
                    (None, Self::Section(_) | Self::List(_)) => return Err(YamlError::Key { line: span.start.line() }),
                    (None, other) => *key = Some(other.to_string()),
                },
            }
        }
        Ok(Self::Nothing)
    }

    fn from_scalar(text: &str, style: ScalarStyle) -> Self {
        match text {
            _ if style != ScalarStyle::Plain => Self::from_literal(text),
            "" | "~" | "null" | "Null" | "NULL" => Self::Nothing,
            "true" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Self::Bool(true),
            "false" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Self::Bool(false),
            text => Self::from_literal(text),
        }
    }

    /// A Python literal, or the text itself where it is none.
    pub fn from_literal(text: &str) -> Self {
        let mut literal = Literal { rest: text.trim_start() };
        match literal.value(0) {
            Some(value) if literal.rest.is_empty() => value,
            _ => Self::Text(text.to_owned()),
        }
    }

    /// The number of values in this one, itself included.
    fn count(&self) -> usize {
        1 + match self {
            Self::List(values) => values.iter().map(Self::count).sum(),
            Self::Section(values) => values.values().map(Self::count).sum(),
            _ => 0,
        }
    }

    /// The value as YAML, which begins with a line break where it is a section.
    fn write_yaml(&self, out: &mut String, indent: usize) {
        match self {
            Self::Section(values) => {
                for (key, value) in values {
                    out.extend(["\n".to_owned(), "  ".repeat(indent), key.clone(), ":".to_owned()]);
                    if !matches!(value, Self::Section(_)) {
                        out.push(' ');
                    }
                    value.write_yaml(out, indent + 1);
                }
            }
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Nothing => out.push_str("null"),
            Self::List(values) => {
                out.push('[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    value.write_yaml(out, indent);
                }
                out.push(']');
            }
            Self::Text(text) => out.extend(["'", &text.replace('\'', "''"), "'"]),
            Self::Whole(_) | Self::Number(_) => out.push_str(&self.to_string()),
        }
    }

    /// The value as a YAML document.
    pub fn to_yaml(&self) -> String {
        let mut text = String::new();
        self.write_yaml(&mut text, 0);
        text.push('\n');
        text.trim_start().to_owned()
    }
}

impl fmt::Display for Value {
    /// As a Python literal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("None"),
            Self::Bool(value) => f.write_str(if *value { "True" } else { "False" }),
            Self::Whole(value) => write!(f, "{value}"),
            // With a point.
            Self::Number(value) => write!(f, "{value:?}"),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Section(_) => f.write_str("a section"),
            Self::List(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if index > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
        }
    }
}

/// What is left of a Python literal.
struct Literal<'a> {
    rest: &'a str,
}

impl Literal<'_> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        let first = self.rest.chars().next()?;
        let value = match first {
            '(' | '[' => return self.list(if first == '(' { ')' } else { ']' }, depth),
            '\'' | '"' => {
                let end = self.rest[1..].find(first)? + 1;
                let text = &self.rest[1..end];
                self.rest = &self.rest[end + 1..];
                (!text.contains('\\')).then(|| Value::Text(text.to_owned()))?
            }
            _ => {
                let end = self.rest.find([',', ')', ']', ' ', '\t', '\n']).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                match word {
                    "True" => Value::Bool(true),
                    "False" => Value::Bool(false),
                    "None" => Value::Nothing,
                    _ => number(word)?,
                }
            }
        };
        self.rest = self.rest.trim_start();
        Some(value)
    }

    fn list(&mut self, end: char, depth: usize) -> Option<Value> {
        if depth >= DEEPEST {
            return None;
        }
        self.rest = self.rest[1..].trim_start();
        let (mut values, mut commas) = (Vec::new(), 0);
        while !self.rest.starts_with(end) {
            if commas < values.len() {
                return None;
            }
            values.push(self.value(depth + 1)?);
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest.trim_start();
                commas += 1;
            }
        }
        self.rest = self.rest[1..].trim_start();
        match &values[..] {
            // A value in parentheses is that value.
            [value] if end == ')' && commas == 0 => Some(value.clone()),
            _ => Some(Value::List(values)),
        }
    }
}

fn number(word: &str) -> Option<Value> {
    let digits = word.trim_start_matches(['+', '-']);
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') || word.len() > digits.len() + 1 {
        return None;
    }
    if let Ok(whole) = word.parse() {
        return Some(Value::Whole(whole));
    }
    word.parse().ok().map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_as_python_reads_them() {
        for (text, literal) in [
            ("(210000, 250000)", "[210000, 250000]"),
            ("(15,)", "[15]"),
            ("(15)", "15"),
            ("[[32], [64.0,]]", "[[32], [64.0]]"),
            ("()", "[]"),
            ("1e-3", "0.001"),
            ("-2", "-2"),
            (" 'a b' ", "'a b'"),
            ("True", "True"),
            ("None", "None"),
            ("('p2', \"p3\")", "['p2', 'p3']"),
        ] {
            assert_eq!(Value::from_literal(text).to_string(), literal, "{text}");
        }
        for text in ["FrozenBN", "(1", "1 2", "[1 2]", "(,)", "nan", "--1", "true", "p2, p3", "'a", "1_0"] {
            assert_eq!(Value::from_literal(text), Value::Text(text.to_owned()), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(Value::from_literal(&deep), Value::Text(deep.clone()));
    }

    #[test]
    fn yaml_is_read_and_written() {
        let text = "A:\n  B: &w [1.0, 2]\n  C: *w\n  D: 'x: y'\nE: null\nF: (1, 2)\nG: 1e-3\nH: \"No\"\nI: no\n";
        let value = Value::from_yaml(text).unwrap();
        let written = value.to_yaml();
        assert_eq!(
            written,
            "A:\n  B: [1.0, 2]\n  C: [1.0, 2]\n  D: 'x: y'\nE: null\nF: [1, 2]\nG: 0.001\nH: 'No'\nI: false\n"
        );
        assert_eq!(Value::from_yaml(&written).unwrap(), value);
        assert_eq!(Value::from_yaml("").unwrap(), Value::Nothing);
    }

    #[test]
    fn documents_that_grow_or_are_broken_are_refused() {
        let mut text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for level in 1..12 {
            let alias = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(", ")));
        }
        assert!(matches!(Value::from_yaml(&text), Err(YamlError::Many)));
        assert!(matches!(Value::from_yaml(&"[".repeat(1000)), Err(YamlError::Deep | YamlError::Scan(_))));
        assert!(matches!(Value::from_yaml("[a"), Err(YamlError::Scan(_))));
        assert!(matches!(Value::from_yaml("? [a]\n: b"), Err(YamlError::Key { line: 1 })));
    }
}
