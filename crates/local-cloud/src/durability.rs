//! What an acknowledged write survives.

use std::fmt;
use std::str::FromStr;

/// What an acknowledged write survives. Either way, nothing is lost when processes are killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: an answer waits until the disk has what it acknowledges.
    #[default]
    PowerCut,
    /// The end of the process: the kernel writes to the disk when it likes, within half a minute as a rule.
    Kill,
}

impl Durability {
    /// The words for all of them.
    pub const WORDS: [&str; 2] = ["power-cut", "kill"];
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PowerCut => "power-cut",
            Self::Kill => "kill",
        })
    }
}

/// The word names no durability.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no durability: power-cut and kill are")]
pub struct DurabilityError(String);

impl FromStr for Durability {
    type Err = DurabilityError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "power-cut" => Ok(Self::PowerCut),
            "kill" => Ok(Self::Kill),
            other => Err(DurabilityError(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_durabilities() {
        for (word, durability) in Durability::WORDS.into_iter().zip([Durability::PowerCut, Durability::Kill]) {
            assert_eq!((word.parse::<Durability>().unwrap(), durability.to_string().as_str()), (durability, word));
        }
        assert_eq!(
            "disk".parse::<Durability>().unwrap_err().to_string(),
            r#""disk" is no durability: power-cut and kill are"#
        );
    }
}
