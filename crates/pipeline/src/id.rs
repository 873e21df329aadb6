use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::excerpt::excerpt;

/// The client's name for a portrait: `[A-Za-z0-9][A-Za-z0-9._-]{0,47}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortraitId(String);

impl PortraitId {
    /// The longest id, in bytes: with a revision it fits SageMaker's limit of 64 for an inference id.
    pub const MAX_LEN: usize = 48;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The first 12 hex digits of a hash of the photograph's ETag and the ages. Uploads of the same photograph with the same ages have
/// the same revision, and are worked on once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Revision(String);

impl Revision {
    /// The number of hex digits.
    pub const LEN: usize = 12;

    /// The revision of the object with this ETag (with or without quotes) and these ages. `ages` is written as
    /// [`Ages`](crate::Ages) writes them, or is the client's own text if it cannot be read as ages.
    pub fn new(etag: &str, ages: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(etag.trim_matches('"'));
        hash.update("\n");
        hash.update(ages);
        let digits: String = hash.finalize().iter().take(Self::LEN / 2).map(|byte| format!("{byte:02x}")).collect();
        Self(digits)
    }

    /// The revision as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text cannot be read as an id, a revision or an inference id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is not a portrait id.
    #[error(
        "{0:?} is not a portrait id: 1 to 48 letters, digits, '.', '_' and '-' that begin with a letter or a digit would work"
    )]
    Portrait(String),
    /// The text is not a revision.
    #[error("{0:?} is not a revision: 12 lower-case hex digits would work")]
    Revision(String),
    /// The text is not an owner's part of a key.
    #[error("{0:?} is not an owner in a key: 1 to 64 letters, digits and '-', or '_' and 32 hex digits, would work")]
    Owner(String),
    /// The text is not an inference id.
    #[error("{0:?} is not an inference id: {{id}}:{{revision}} would work, or ~{{digest}}:{{revision}}")]
    Inference(String),
}

impl FromStr for PortraitId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = text.bytes();
        let starts = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let continues = bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if starts && continues && text.len() <= Self::MAX_LEN {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::Portrait(excerpt(text, 60)))
        }
    }
}

impl FromStr for Revision {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() == Self::LEN && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::Revision(excerpt(text, 60)))
        }
    }
}

impl fmt::Display for PortraitId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for PortraitId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl TryFrom<String> for Revision {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<PortraitId> for String {
    fn from(id: PortraitId) -> Self {
        id.0
    }
}

impl From<Revision> for String {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portrait_ids() {
        for good in ["ada", "A", "0", "a.b_c-d", &"x".repeat(48)] {
            assert_eq!(good.parse::<PortraitId>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "-a", "_a", "a/b", "a b", "a:b", "é", "a\n", &"x".repeat(49), &"x".repeat(300)] {
            let error = bad.parse::<PortraitId>().unwrap_err();
            assert!(error.to_string().len() < 260, "{error}");
        }
    }

    #[test]
    fn a_revision_depends_on_photograph_and_ages_only() {
        let revision = Revision::new("\"d41d8cd98f00b204e9800998ecf8427e\"", "20,40");
        assert_eq!(revision, Revision::new("d41d8cd98f00b204e9800998ecf8427e", "20,40"));
        assert_ne!(revision, Revision::new("d41d8cd98f00b204e9800998ecf8427e", "20,41"));
        assert_ne!(revision, Revision::new("d41d8cd98f00b204e9800998ecf8427f", "20,40"));
        assert_eq!(revision.as_str().parse::<Revision>().unwrap(), revision);
        assert!("9F2C41D07B3E".parse::<Revision>().is_err());
    }
}
