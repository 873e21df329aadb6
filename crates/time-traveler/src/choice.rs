//! An option's value that is one of a few words.

use std::ffi::OsStr;
use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command, Error};

/// Parses a word by its type's `FromStr`, whose error is shown to the user, and lists all words for shells to complete.
#[derive(Debug)]
pub(crate) struct Choice<T> {
    words: &'static [&'static str],
    of: PhantomData<fn() -> T>,
}

impl<T> Choice<T> {
    pub(crate) fn of(words: &'static [&'static str]) -> Self {
        Self { words, of: PhantomData }
    }
}

impl<T> Clone for Choice<T> {
    fn clone(&self) -> Self {
        Self::of(self.words)
    }
}

impl<T> TypedValueParser for Choice<T>
where
    T: FromStr<Err: Display> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let parse = |word: String| word.parse().map_err(|error: T::Err| error.to_string());
        StringValueParser::new().try_map(parse).parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.words.iter().map(PossibleValue::new)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_parsed_and_refused_by_its_type() {
        let command = Command::new("x").arg(Arg::new("n").value_parser(Choice::<u8>::of(&["1", "2"])));
        let parse = |text: &str| command.clone().try_get_matches_from(["x", text]);
        assert_eq!(parse("2").unwrap().get_one::<u8>("n"), Some(&2));
        let refused = parse("two").unwrap_err().to_string();
        assert!(refused.contains("invalid digit"), "{refused}");
        let argument = command.get_arguments().next().unwrap();
        let words: Vec<String> = argument.get_possible_values().iter().map(|word| word.get_name().to_owned()).collect();
        assert_eq!(words, ["1", "2"]);
    }
}
