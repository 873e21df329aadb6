use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::excerpt::excerpt;

/// The target ages of one strip, in the order of its panels: 1 to 16 whole numbers from 0 to 100.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct Ages(Vec<u8>);

impl Ages {
    /// The most ages one strip holds.
    pub const MAX_COUNT: usize = 16;
    /// The oldest target age.
    pub const MAX_AGE: u8 = 100;

    /// The ages in the order of the panels.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The number of ages, 1 to 16.
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one age")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Default for Ages {
    fn default() -> Self {
        Self(vec![20, 40, 60, 80])
    }
}

/// Why a text or a list cannot be read as ages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgesError {
    /// The list is empty.
    #[error("no ages given: 1 to 16 whole numbers from 0 to 100 would work, such as 20,40,60,80")]
    Empty,
    /// The list has more ages than a strip holds.
    #[error("{0} ages given: at most 16 fit in one strip")]
    TooMany(usize),
    /// A word is not a whole number.
    #[error("{0:?} is not an age: whole numbers from 0 to 100 would work, such as 20,40,60,80")]
    NotANumber(String),
    /// A number is outside 0 to 100.
    #[error("age {0} is out of range: whole numbers from 0 to 100 would work")]
    OutOfRange(String),
}

impl TryFrom<Vec<u8>> for Ages {
    type Error = AgesError;

    fn try_from(ages: Vec<u8>) -> Result<Self, AgesError> {
        if ages.is_empty() {
            return Err(AgesError::Empty);
        }
        if ages.len() > Self::MAX_COUNT {
            return Err(AgesError::TooMany(ages.len()));
        }
        match ages.iter().find(|&&age| age > Self::MAX_AGE) {
            Some(age) => Err(AgesError::OutOfRange(age.to_string())),
            None => Ok(Self(ages)),
        }
    }
}

impl From<Ages> for Vec<u8> {
    fn from(ages: Ages) -> Self {
        ages.0
    }
}

impl FromStr for Ages {
    type Err = AgesError;

    /// Reads `20,40,60,80`; spaces around a number are ignored.
    fn from_str(text: &str) -> Result<Self, AgesError> {
        if text.trim().is_empty() {
            return Err(AgesError::Empty);
        }
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        if words.len() > Self::MAX_COUNT {
            return Err(AgesError::TooMany(words.len()));
        }
        let age = |word: &&str| {
            if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(AgesError::NotANumber(excerpt(word, 24)));
            }
            word.parse::<u8>().map_err(|_| AgesError::OutOfRange(excerpt(word, 24)))
        };
        words.iter().map(age).collect::<Result<Vec<u8>, _>>()?.try_into()
    }
}

impl fmt::Display for Ages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, age) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{age}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let ages: Ages = "20, 40,60 ,80".parse().unwrap();
        assert_eq!(ages.as_slice(), [20, 40, 60, 80]);
        assert_eq!(ages.to_string(), "20,40,60,80");
        assert_eq!(serde_json::to_string(&ages).unwrap(), "[20,40,60,80]");
        assert_eq!("0,100".parse::<Ages>().unwrap().as_slice(), [0, 100]);
    }

    #[test]
    fn refuses_with_the_value() {
        let error = |text: &str| text.parse::<Ages>().unwrap_err();
        assert_eq!(error(" "), AgesError::Empty);
        assert_eq!(error("abc"), AgesError::NotANumber("abc".into()));
        assert_eq!(error("20,,40"), AgesError::NotANumber("".into()));
        assert_eq!(error("+20"), AgesError::NotANumber("+20".into()));
        assert_eq!(error("-1"), AgesError::NotANumber("-1".into()));
        assert_eq!(error("101"), AgesError::OutOfRange("101".into()));
        assert_eq!(error("900"), AgesError::OutOfRange("900".into()));
        assert_eq!(error(&["1"; 50].join(",")), AgesError::TooMany(50));
        assert!(error(&"x".repeat(5000)).to_string().len() < 200);
        assert!(serde_json::from_str::<Ages>("[]").is_err());
        assert!(serde_json::from_str::<Ages>("[101]").is_err());
    }
}
