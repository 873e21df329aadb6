//! `label_map.pbtxt`: names of classes in protocol buffers' text format (`string_int_label_map.proto` of the Object Detection API).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::iter::Peekable;
use std::path::Path;

use crate::{Classes, DatasetError};

/// The most bytes of a label map.
const MAX_BYTES: u64 = 16 << 20;
/// How deep messages may be nested. A label map needs two.
const MAX_DEPTH: usize = 8;

/// The items of a label map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelMap {
    items: Vec<Item>,
    ids: HashMap<String, i64>,
}

/// A class of a label map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// The label, from 1; 0 stands for the background.
    pub id: i64,
    /// The name that records use.
    pub name: String,
    /// The name that people read.
    pub display_name: Option<String>,
}

/// What is wrong with a label map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct LabelMapError {
    line: u32,
    reason: String,
}

impl LabelMap {
    /// Reads a file.
    ///
    /// # Errors
    /// [`DatasetError::Io`], or [`DatasetError::Refused`] with the line.
    pub fn open(file: &Path) -> Result<Self, DatasetError> {
        let opened = File::open(file).map_err(DatasetError::io(file, "opened"))?;
        let mut text = String::new();
        opened.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(DatasetError::io(file, "read"))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(DatasetError::refused(file, format!("it has more than {MAX_BYTES} bytes")));
        }
        Self::parse(&text).map_err(|error| DatasetError::refused(file, error.to_string()))
    }

    /// Parses a text.
    ///
    /// # Errors
    /// [`LabelMapError`]: no text format, an item without an id or a name, an id below 0, or an id or name that is there twice.
    pub fn parse(text: &str) -> Result<Self, LabelMapError> {
        let mut parser = Parser { letters: text.chars().peekable(), line: 1 };
        let mut map = Self::default();
        let mut seen = HashMap::new();
        while parser.skip_space() {
            let line = parser.line;
            let error = |reason: String| LabelMapError { line, reason };
            let name = parser.word()?;
            if name != "item" {
                return Err(error(format!("{name:?} stands where only `item` works")));
            }
            let item = parser.item(line)?;
            if let Some(other) = seen.insert(item.id, item.name.clone()) {
                return Err(error(format!("{other:?} and {:?} have the id {}", item.name, item.id)));
            }
            if map.ids.insert(item.name.clone(), item.id).is_some() {
                return Err(error(format!("{:?} is there twice", item.name)));
            }
            map.items.push(item);
        }
        Ok(map)
    }

    /// The label map of these classes: an id is the class's number plus 1. Of classes with one name it has the first.
    #[must_use]
    pub fn of(classes: &Classes) -> Self {
        let mut map = Self::default();
        for ((class, _), number) in classes.iter().zip(classes.numbers()) {
            let item = Item { id: number + 1, name: classes.shown(class).into_owned(), display_name: None };
            map.add(item);
        }
        map.items.sort_by_key(|item| item.id);
        map
    }

    fn add(&mut self, item: Item) {
        if !self.ids.contains_key(&item.name) {
            self.ids.insert(item.name.clone(), item.id);
            self.items.push(item);
        }
    }

    /// Puts the classes of this map into a table. Label 0 is no class.
    pub fn name(&self, classes: &mut Classes) {
        for item in self.items.iter().filter(|item| item.id > 0) {
            classes.name(item.id - 1, &item.name);
        }
    }

    /// This map with the classes of a table that it does not have. `None`: one of them has the id of another class.
    #[must_use]
    pub fn with(&self, classes: &Classes) -> Option<Self> {
        let mut map = self.clone();
        for item in Self::of(classes).items {
            match map.id(&item.name) {
                Some(id) if id != item.id => return None,
                None if map.items.iter().any(|known| known.id == item.id) => return None,
                _ => map.add(item),
            }
        }
        Some(map)
    }

    /// The items in their order.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.iter()
    }

    /// The label of a name.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<i64> {
        self.ids.get(name).copied()
    }

    /// The map as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for item in &self.items {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "item {{\n  id: {}\n  name: '{}'", item.id, escaped(&item.name));
            if let Some(name) = &item.display_name {
                let _ = writeln!(text, "  display_name: '{}'", escaped(name));
            }
            text.push_str("}\n");
        }
        text
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\'' | '\\' => escaped.extend(['\\', letter]),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            letter if (letter as u32) < 32 => drop(write!(escaped, "\\{:03o}", letter as u32)),
            letter => escaped.push(letter),
        }
    }
    escaped
}

struct Parser<'a> {
    letters: Peekable<std::str::Chars<'a>>,
    line: u32,
}

impl Parser<'_> {
    fn error<T>(&self, reason: impl Into<String>) -> Result<T, LabelMapError> {
        Err(LabelMapError { line: self.line, reason: reason.into() })
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.letters.next();
        self.line += u32::from(letter == Some('\n'));
        letter
    }

    /// Passes over space, comments and separators. False at the end.
    fn skip_space(&mut self) -> bool {
        while let Some(letter) = self.letters.peek() {
            match letter {
                '#' => while self.next().is_some_and(|letter| letter != '\n') {},
                ' ' | '\t' | '\r' | '\n' | ',' | ';' | '\u{feff}' => drop(self.next()),
                _ => return true,
            }
        }
        false
    }

    /// A name or a number.
    fn word(&mut self) -> Result<String, LabelMapError> {
        self.skip_space();
        let mut word = String::new();
        while let Some(letter) =
            self.letters.next_if(|letter| letter.is_ascii_alphanumeric() || "_+-.".contains(*letter))
        {
            word.push(letter);
        }
        if !word.is_empty() {
            return Ok(word);
        }
        match self.letters.peek().copied() {
            Some(letter) => self.error(format!("{letter:?} stands where a name or a number works")),
            None => self.error("the text ends within an item"),
        }
    }

    fn takes(&mut self, wanted: char) -> bool {
        self.skip_space();
        self.letters.next_if_eq(&wanted).is_some()
    }

    /// The end of a message whose beginning comes next.
    fn open(&mut self) -> Result<char, LabelMapError> {
        self.takes(':');
        match (self.takes('{'), self.takes('<')) {
            (true, false) => Ok('}'),
            (false, true) => Ok('>'),
            (true, true) => self.error("'<' stands where a field works"),
            (false, false) => self.error("an item begins with '{'"),
        }
    }

    fn item(&mut self, line: u32) -> Result<Item, LabelMapError> {
        let end = self.open()?;
        let (mut id, mut name, mut display_name) = (None, None, None);
        while !self.takes(end) {
            match &*self.word()? {
                "id" => {
                    self.colon()?;
                    let number = self.word()?;
                    match number.parse::<i64>() {
                        Ok(number) if (0..i64::from(i32::MAX)).contains(&number) => id = Some(number),
                        _ => return self.error(format!("the id {number:?} is no whole number from 0")),
                    }
                }
                "name" => {
                    self.colon()?;
                    name = Some(self.string()?);
                }
                "display_name" => {
                    self.colon()?;
                    display_name = Some(self.string()?);
                }
                _ => self.pass_over(0)?,
            }
        }
        let error = |reason: &str| LabelMapError { line, reason: reason.to_owned() };
        let id = id.ok_or_else(|| error("the item has no id"))?;
        let name = name.or_else(|| display_name.clone()).ok_or_else(|| error("the item has no name"))?;
        Ok(Item { id, name, display_name })
    }

    fn colon(&mut self) -> Result<(), LabelMapError> {
        if self.takes(':') { Ok(()) } else { self.error("a ':' is missing") }
    }

    /// Passes over the value of a field that nobody reads.
    fn pass_over(&mut self, depth: usize) -> Result<(), LabelMapError> {
        if depth > MAX_DEPTH {
            return self.error(format!("more than {MAX_DEPTH} messages are nested"));
        }
        self.takes(':');
        self.skip_space();
        match self.letters.peek() {
            Some('\'' | '"') => self.string().map(drop),
            Some('{' | '<') => {
                let end = self.open()?;
                while !self.takes(end) {
                    self.word()?;
                    self.pass_over(depth + 1)?;
                }
                Ok(())
            }
            Some('[') => {
                self.next();
                while !self.takes(']') {
                    self.pass_over(depth + 1)?;
                }
                Ok(())
            }
            _ => self.word().map(drop),
        }
    }

    /// A text in either kind of quotes. Texts one after the other are one.
    fn string(&mut self) -> Result<String, LabelMapError> {
        let mut bytes = Vec::new();
        let mut is_first = true;
        loop {
            self.skip_space();
            let Some(quote) = self.letters.next_if(|letter| matches!(letter, '\'' | '"')) else {
                if is_first {
                    return self.error("a text in quotes is missing");
                }
                break;
            };
            is_first = false;
            loop {
                match self.next() {
                    None | Some('\n') => return self.error("the line ends within a text"),
                    Some(letter) if letter == quote => break,
                    Some('\\') => self.escape(&mut bytes)?,
                    Some(letter) => bytes.extend(letter.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(text),
            Err(_) => self.error("the text is no UTF-8"),
        }
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), LabelMapError> {
        let byte = match self.next() {
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('x' | 'X') => return self.digits(bytes, 16, 2, 0),
            Some(digit @ '0'..='7') => return self.digits(bytes, 8, 2, digit as u32 - '0' as u32),
            Some(letter @ ('\\' | '\'' | '"' | '?')) => letter as u8,
            _ => return self.error("an escape that the text format lacks"),
        };
        bytes.push(byte);
        Ok(())
    }

    fn digits(&mut self, bytes: &mut Vec<u8>, radix: u32, most: usize, start: u32) -> Result<(), LabelMapError> {
        let mut value = start;
        for _ in 0..most {
            let Some(letter) = self.letters.next_if(|letter| letter.is_digit(radix)) else { break };
            value = value * radix + letter.to_digit(radix).unwrap_or(0);
        }
        match u8::try_from(value) {
            Ok(byte) => {
                bytes.push(byte);
                Ok(())
            }
            Err(_) => self.error("an escape above 255"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        LabelMap::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn every_way_to_write_an_item_is_read() {
        let text = "# a comment\nitem: <id: 2, name: \"two\" 'fold'; display_name: 'T\\'wo\\303\\251'>\n\
                    item{name:'x'id:1 keypoints { id: 7 label: 'eye' more: [1, 2] } }";
        let map = LabelMap::parse(text).unwrap();
        let two = Item { id: 2, name: "twofold".to_owned(), display_name: Some("T'woé".to_owned()) };
        assert_eq!(map.items().next(), Some(&two));
        assert_eq!((map.id("x"), map.id("y")), (Some(1), None));
        assert_eq!(LabelMap::parse(&map.text()).unwrap(), map);
        assert_eq!(LabelMap::parse("").unwrap(), LabelMap::default());
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        assert_eq!(error("item {\n id: 1\n}"), "line 1: the item has no name");
        assert_eq!(error("item {}"), "line 1: the item has no id");
        assert_eq!(error("\nitem { id: one name: 'a' }"), "line 2: the id \"one\" is no whole number from 0");
        assert_eq!(
            error("item { id: 1 name: 'a' }\nitem { id: 1 name: 'b' }"),
            "line 2: \"a\" and \"b\" have the id 1"
        );
        assert_eq!(error("item { id: 1 name: 'a' }\nitem { id: 2 name: 'a' }"), "line 2: \"a\" is there twice");
        assert_eq!(error("thing { }"), "line 1: \"thing\" stands where only `item` works");
        assert_eq!(error("item { id: 1\n name: 'a\n'"), "line 3: the line ends within a text");
        assert!(error(&format!("item {{ a {}", "{ a ".repeat(100_000))).contains("more than 8 messages"));
        assert!(error(&format!("item {{ a {}", "[".repeat(100_000))).contains("more than 8 messages"));
    }
}
