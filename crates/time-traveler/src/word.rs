//! An option's value that is one of a few words.

use std::ffi::OsStr;
use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command, Error};

/// Reads a word as its type does, which says best what else would work, and lists all words for shells to complete.
#[derive(Debug)]
pub(crate) struct Word<T> {
    words: &'static [&'static str],
    of: PhantomData<fn() -> T>,
}

impl<T> Word<T> {
    pub(crate) fn of(words: &'static [&'static str]) -> Self {
        Self { words, of: PhantomData }
    }
}

impl<T> Clone for Word<T> {
    fn clone(&self) -> Self {
        Self::of(self.words)
    }
}

impl<T> TypedValueParser for Word<T>
where
    T: FromStr<Err: Display> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let read = |word: String| word.parse().map_err(|error: T::Err| error.to_string());
        StringValueParser::new().try_map(read).parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.words.iter().map(PossibleValue::new)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_and_refused_as_its_type_does() {
        let command = Command::new("x").arg(Arg::new("n").value_parser(Word::<u8>::of(&["1", "2"])));
        let read = |text: &str| command.clone().try_get_matches_from(["x", text]);
        assert_eq!(read("2").unwrap().get_one::<u8>("n"), Some(&2));
        let refused = read("two").unwrap_err().to_string();
        assert!(refused.contains("invalid digit"), "{refused}");
        let argument = command.get_arguments().next().unwrap();
        let words: Vec<String> = argument.get_possible_values().iter().map(|word| word.get_name().to_owned()).collect();
        assert_eq!(words, ["1", "2"]);
    }
}
