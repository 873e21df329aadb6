use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::excerpt::excerpt;
use crate::id::IdError;

/// What precedes the digest of a subject that cannot be written as it is. No plain subject has it, and SageMaker allows it in
/// `S3OutputPathExtension`.
const DIGEST_MARK: char = '_';
/// The number of hex digits of such a digest: 128 bits.
const DIGEST_LEN: usize = 32;

/// Whose a portrait is, where tenants share a pipeline: a token's subject, as it is written in keys of objects and records.
///
/// The subject of a user pool's token is a UUID, and is its own spelling: the REST API's gateway writes it into keys without a
/// function. A subject may have any other characters too. Such a subject is written as `_` and a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(String);

impl Owner {
    /// The longest subject that is its own spelling, in bytes.
    pub const MAX_PLAIN_LEN: usize = 64;

    /// The owner that a token's subject names.
    pub fn of(subject: &str) -> Self {
        if is_plain(subject) {
            return Self(subject.to_owned());
        }
        let digest = Sha256::digest(subject);
        let digits = digest.iter().take(DIGEST_LEN / 2).map(|byte| format!("{byte:02x}"));
        Self(std::iter::once(DIGEST_MARK.to_string()).chain(digits).collect())
    }

    /// The owner as text: 1 to 64 letters, digits and hyphens, or `_` and 32 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_plain(text: &str) -> bool {
    (1..=Owner::MAX_PLAIN_LEN).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_digest(text: &str) -> bool {
    let digits = text.strip_prefix(DIGEST_MARK);
    digits.is_some_and(|digits| {
        digits.len() == DIGEST_LEN && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

impl FromStr for Owner {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if is_plain(text) || is_digest(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::Owner(excerpt(text, 60)))
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_of_a_user_pool_is_its_own_spelling() {
        let subject = "5b0d3c1e-8f2a-4a37-9a63-0f1f2f6d7c11";
        assert_eq!(Owner::of(subject).as_str(), subject);
    }

    #[test]
    fn any_subject_has_a_safe_spelling_of_its_own() {
        let subjects =
            ["", "a b", "a/b", "../b", "auth0|5f7c", "é", "ada@example.com", "~", &"x".repeat(65), "\n", "a.b", "a_b"];
        let owners: std::collections::BTreeSet<Owner> = subjects.into_iter().map(Owner::of).collect();
        assert_eq!(owners.len(), subjects.len());
        for owner in &owners {
            assert!(owner.as_str().len() == 33 && is_digest(owner.as_str()), "{owner}");
            assert_eq!(owner.as_str().parse().as_ref(), Ok(owner));
            // The spelling is no subject of a second owner's.
            assert_ne!(Owner::of(owner.as_str()), *owner);
        }
        for bad in ["", "a/b", "_", "_0123", "_0123456789ABCDEF0123456789ABCDEF", "a.b", &"x".repeat(65)] {
            assert!(bad.parse::<Owner>().is_err(), "{bad}");
        }
    }
}
