//! Protocol buffers' text format: messages of fields, without a description of them.

use std::iter::Peekable;
use std::str::Chars;

use super::error::ConfigError;

/// How deep messages may be nested. A `pipeline.config` needs eight.
const MAX_DEPTH: usize = 32;

/// A message: its fields in their order. A field can be there several times.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::ssd) struct Message {
    pub(super) fields: Vec<Field>,
}

/// A field of a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    /// From 1.
    pub(super) line: u32,
    pub(super) value: Value,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A number, `true`, `false` or a name of an enumeration.
    Word(String),
    /// A text in quotes.
    Text(String),
    /// A message.
    Message(Message),
}

impl Message {
    /// Parses a text.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`].
    pub(in crate::ssd) fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut parser = Parser { letters: text.chars().peekable(), line: 1 };
        parser.message(None, 0)
    }
}

struct Parser<'a> {
    letters: Peekable<Chars<'a>>,
    line: u32,
}

impl Parser<'_> {
    fn error<T>(&self, reason: impl Into<String>) -> Result<T, ConfigError> {
        Err(ConfigError::Syntax { line: self.line, reason: reason.into() })
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.letters.next();
        self.line += u32::from(letter == Some('\n'));
        letter
    }

    /// The next letter that is neither space nor in a comment.
    fn peek(&mut self) -> Option<char> {
        while let Some(letter) = self.letters.peek().copied() {
            match letter {
                '#' => while self.next().is_some_and(|letter| letter != '\n') {},
                ' ' | '\t' | '\r' | '\n' | '\u{feff}' => drop(self.next()),
                _ => return Some(letter),
            }
        }
        None
    }

    fn takes(&mut self, wanted: char) -> bool {
        let is_next = self.peek() == Some(wanted);
        if is_next {
            self.next();
        }
        is_next
    }

    /// The fields up to `end`, or to the end of the text.
    fn message(&mut self, end: Option<char>, depth: usize) -> Result<Message, ConfigError> {
        if depth > MAX_DEPTH {
            return self.error(format!("more than {MAX_DEPTH} messages are nested"));
        }
        let mut message = Message::default();
        loop {
            match (self.peek(), end) {
                (None, None) => return Ok(message),
                (None, Some(end)) => return self.error(format!("the text ends before a {end:?}")),
                (Some(letter), Some(end)) if letter == end => {
                    self.next();
                    return Ok(message);
                }
                _ => self.field(&mut message, depth)?,
            }
        }
    }

    fn field(&mut self, message: &mut Message, depth: usize) -> Result<(), ConfigError> {
        let line = self.line;
        let name = self.word()?;
        let colon = self.takes(':');
        let mut push = |value| message.fields.push(Field { name: name.clone(), line, value });
        if self.takes('[') {
            while !self.takes(']') {
                push(self.value(true, depth)?);
                if !self.takes(',') && self.peek() != Some(']') {
                    return self.error("a ',' or a ']' is missing");
                }
            }
        } else {
            push(self.value(colon, depth)?);
        }
        // A separator is allowed.
        if !self.takes(',') {
            self.takes(';');
        }
        Ok(())
    }

    fn value(&mut self, colon: bool, depth: usize) -> Result<Value, ConfigError> {
        match self.peek() {
            Some('{') => {
                self.next();
                Ok(Value::Message(self.message(Some('}'), depth + 1)?))
            }
            Some('<') => {
                self.next();
                Ok(Value::Message(self.message(Some('>'), depth + 1)?))
            }
            _ if !colon => self.error("a ':' or a '{' is missing"),
            Some('"' | '\'') => Ok(Value::Text(self.text()?)),
            _ => Ok(Value::Word(self.word()?)),
        }
    }

    /// A name or a number.
    fn word(&mut self) -> Result<String, ConfigError> {
        self.peek();
        let mut word = String::new();
        while let Some(letter) =
            self.letters.next_if(|letter| letter.is_ascii_alphanumeric() || "_+-.".contains(*letter))
        {
            word.push(letter);
        }
        match self.letters.peek() {
            _ if !word.is_empty() => Ok(word),
            Some(letter) => {
                let reason = format!("{letter:?} stands where a name or a number works");
                self.error(reason)
            }
            None => self.error("the text ends within a field"),
        }
    }

    /// A text in quotes, or several that follow each other.
    fn text(&mut self) -> Result<String, ConfigError> {
        let mut bytes = Vec::new();
        while let Some(quote @ ('"' | '\'')) = self.peek() {
            self.next();
            loop {
                match self.next() {
                    None | Some('\n') => return self.error("a text has no end"),
                    Some('\\') => bytes.push(self.escaped()?),
                    Some(letter) if letter == quote => break,
                    Some(letter) => bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
        }
        String::from_utf8(bytes).or_else(|_| self.error("a text is no UTF-8"))
    }

    fn escaped(&mut self) -> Result<u8, ConfigError> {
        let digits = |parser: &mut Self, base: u32, most: usize, mut value: u32| {
            for _ in 0..most {
                let Some(digit) = parser.letters.peek().and_then(|letter| letter.to_digit(base)) else { break };
                parser.next();
                value = value * base + digit;
            }
            u8::try_from(value).or_else(|_| parser.error("an escape is no byte"))
        };
        match self.next() {
            Some('n') => Ok(b'\n'),
            Some('r') => Ok(b'\r'),
            Some('t') => Ok(b'\t'),
            Some(letter @ ('\\' | '\'' | '"' | '?')) => Ok(letter as u8),
            Some('x') => digits(self, 16, 2, 0),
            Some(letter) => match letter.to_digit(8) {
                Some(digit) => digits(self, 8, 2, digit),
                None => self.error(format!("the escape \\{} is not known", letter.escape_debug())),
            },
            None => self.error("a text has no end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Message::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn every_form_of_a_field_is_read() {
        let one = Message::parse("a: 1\nb { c: 'x' d: [1, 2.5]; }, e < f: WORD >").unwrap();
        let other = Message::parse("a:1 # comment {\nb: { c: \"\\x78\" d: 1 d: 2.5 }\n\n\te: { f: WORD };").unwrap();
        let plain = |message: &Message| {
            format!("{message:?}").replace("line: 2", "").replace("line: 1", "").replace("line: 4", "")
        };
        assert_eq!(plain(&one), plain(&other));
        let text = |text: &str| match Message::parse(text).unwrap().fields.remove(0).value {
            Value::Text(text) => text,
            value => panic!("{value:?}"),
        };
        assert_eq!(text(r#"a: "ol\303\251" ' \'quoted\''"#), "olé 'quoted'");
        assert_eq!(Message::parse(" # nothing\n").unwrap(), Message::default());
    }

    #[test]
    fn what_is_no_text_format_is_named_with_its_line() {
        for (text, message) in [
            ("a 1", "line 1: a ':' or a '{' is missing"),
            ("\na {", "line 2: the text ends before a '}'"),
            ("a: \"x\n\"", "a text has no end"),
            ("a: [1 2]", "a ',' or a ']' is missing"),
            ("}", "'}' stands where a name or a number works"),
            ("a:", "the text ends within a field"),
            ("a: '\\q'", "the escape \\q is not known"),
            ("a: '\\777'", "an escape is no byte"),
            ("a: '\\377'", "a text is no UTF-8"),
        ] {
            assert!(refused(text).contains(message), "{text}: {}", refused(text));
        }
        assert!(refused(&"a {".repeat(100_000)).contains("more than 32 messages are nested"));
    }
}
