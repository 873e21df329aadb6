//! Text that others named, for a terminal: a server's message, a file's name, a tensor's name, the key of an object. A terminal acts
//! on control characters, and some of them forge lines or hide text.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

/// Whether a terminal may act on a character instead of showing it: control characters (U+009B begins a sequence as ESC [ does), and
/// the characters that separate lines or reverse the order of text.
fn is_active(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_escaped = |letter: char| is_active(letter) && !stays(letter);
    if !text.contains(is_escaped) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '\n' if is_escaped(letter) => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            // As in JSON, which leaves the characters from U+007F on as they are.
            _ if is_escaped(letter) => {
                // Writing to a string does not fail.
                let _ = write!(shown, "\\u{:04x}", u32::from(letter));
            }
            _ => shown.push(letter),
        }
    }
    shown.into()
}

/// A text of several lines: `\u009b` stands for U+009B, and line feeds stay. JSON stays the same JSON.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |letter| letter == '\n')
}

/// A text on one line: `\n` stands for a line feed.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// A path in a message.
pub(crate) trait Shown {
    /// The path on one line. Bytes that are no UTF-8 become U+FFFD.
    fn shown(&self) -> String;
}

impl Shown for Path {
    fn shown(&self) -> String {
        line(&self.to_string_lossy()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_is_left() {
        assert_eq!(
            line("a\x1b[31m\u{9b}2J\nb\r\t\x7f\u{202e}\u{2028}"),
            "a\\u001b[31m\\u009b2J\\nb\\r\\t\\u007f\\u202e\\u2028"
        );
        assert_eq!(lines("a\nb\x07"), "a\nb\\u0007");
        assert_eq!(Path::new("a\nb").shown(), "a\\nb");
        for plain in ["", "日本 José \\n \"x\" ✓"] {
            assert!(matches!(line(plain), Cow::Borrowed(same) if same == plain));
        }
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({"a\u{9b}\u{7f}": ["\n\u{202e}\x1b\t"]});
        let written = value.to_string();
        assert!(written.contains('\u{9b}'));
        let shown = lines(&written);
        assert!(!shown.contains(is_active));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
