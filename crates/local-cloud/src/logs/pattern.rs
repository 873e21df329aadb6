//! Filter patterns of unstructured events: words that must be there, `?word` of which one must be there, and `-word` that must not.

use super::error::LogsError;

#[derive(Debug, Default, PartialEq)]
pub(super) struct Pattern {
    all: Vec<String>,
    any: Vec<String>,
    none: Vec<String>,
}

impl Pattern {
    /// Reads a pattern. A word with other characters than letters, digits and `_` stands in double quotes.
    pub(super) fn read(text: &str) -> Result<Self, LogsError> {
        let mut pattern = Self::default();
        let mut rest = text.trim_start();
        if rest.starts_with(['{', '[', '%']) {
            let message = format!(
                "filterPattern {text:?} is not supported by the local cloud: words, ?words, -words and \"phrases\" work"
            );
            return Err(LogsError::InvalidParameter(message));
        }
        while !rest.is_empty() {
            let (list, word) = match rest.as_bytes()[0] {
                b'?' => (&mut pattern.any, &rest[1..]),
                b'-' => (&mut pattern.none, &rest[1..]),
                _ => (&mut pattern.all, rest),
            };
            let (word, after) = match word.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').ok_or_else(|| {
                    LogsError::InvalidParameter(format!("Invalid filter pattern {text:?}: a quote has no end"))
                })?,
                None => word.split_once(char::is_whitespace).unwrap_or((word, "")),
            };
            if word.is_empty() {
                return Err(LogsError::InvalidParameter(format!("Invalid filter pattern {text:?}: a word is empty")));
            }
            list.push(word.to_owned());
            rest = after.trim_start();
        }
        Ok(pattern)
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        let has = |word: &String| message.contains(word.as_str());
        self.all.iter().all(has) && (self.any.is_empty() || self.any.iter().any(has)) && !self.none.iter().any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_required_chosen_or_excluded() {
        for (pattern, message, matches) in [
            ("", "anything", true),
            ("ERROR", "an ERROR here", true),
            ("ERROR", "an error here", false),
            ("ERROR here", "here, an ERROR", true),
            ("ERROR gone", "an ERROR here", false),
            ("\"an ERROR\"", "an ERROR here", true),
            ("\"ERROR an\"", "an ERROR here", false),
            ("?WARN ?ERROR", "an ERROR here", true),
            ("?WARN ?FATAL", "an ERROR here", false),
            ("ERROR -here", "an ERROR here", false),
            ("ERROR -\"not here\"", "an ERROR here", true),
        ] {
            assert_eq!(Pattern::read(pattern).unwrap().matches(message), matches, "{pattern}: {message}");
        }
    }

    #[test]
    fn patterns_of_structured_events_are_refused() {
        for bad in ["{ $.a = 1 }", "[a, b]", "%a+%", "\"open", "?"] {
            assert!(Pattern::read(bad).is_err(), "{bad}");
        }
    }
}
