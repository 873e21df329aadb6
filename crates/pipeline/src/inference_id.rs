use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::excerpt::excerpt;
use crate::id::{IdError, PortraitId, Revision};
use crate::keys;
use crate::portrait_key::PortraitKey;

/// What precedes the digest of an owner's portrait.
const DIGEST_MARK: char = '~';
/// The number of hex digits of such a digest.
const DIGEST_LEN: usize = 32;

/// SageMaker's id of an invocation: 64 characters at most.
///
/// It is `{id}:{revision}`. The key of an owner's portrait is too long, and SageMaker logs this id: so a digest stands for it,
/// `~{digest}:{revision}`, and the portrait is known by the input that the notice of the invocation names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InferenceId {
    portrait: Portrait,
    revision: Revision,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Portrait {
    Id(PortraitId),
    Digest(String),
}

impl InferenceId {
    /// The id of an invocation for a revision of a portrait.
    pub fn new(portrait: &PortraitKey, revision: Revision) -> Self {
        let portrait = match portrait.owner() {
            None => Portrait::Id(portrait.id().clone()),
            Some(_) => {
                let digest = Sha256::digest(portrait.to_string());
                Portrait::Digest(digest.iter().take(DIGEST_LEN / 2).map(|byte| format!("{byte:02x}")).collect())
            }
        };
        Self { portrait, revision }
    }

    /// The photograph and the ages.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The portrait; `input`: the key of the invocation's input, by which an owner's portrait is known. `None` where it is of another
    /// portrait, or is missing.
    pub fn portrait(&self, input: Option<&str>) -> Option<PortraitKey> {
        match &self.portrait {
            Portrait::Id(id) => Some(id.clone().into()),
            Portrait::Digest(_) => {
                keys::portrait(input?).filter(|portrait| Self::new(portrait, self.revision.clone()) == *self)
            }
        }
    }
}

impl FromStr for InferenceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (portrait, revision) = text.split_once(':').ok_or_else(|| IdError::Inference(excerpt(text, 60)))?;
        let portrait = match portrait.strip_prefix(DIGEST_MARK) {
            Some(digest) => {
                let is_hex = digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                if digest.len() != DIGEST_LEN || !is_hex {
                    return Err(IdError::Inference(excerpt(text, 60)));
                }
                Portrait::Digest(digest.to_owned())
            }
            None => Portrait::Id(portrait.parse()?),
        };
        Ok(Self { portrait, revision: revision.parse()? })
    }
}

impl fmt::Display for InferenceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.portrait {
            Portrait::Id(id) => write!(formatter, "{id}:{}", self.revision),
            Portrait::Digest(digest) => write!(formatter, "{DIGEST_MARK}{digest}:{}", self.revision),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sequencer;

    #[test]
    fn inference_ids_fit_sagemaker() {
        let text = format!("{}:9f2c41d07b3e", "x".repeat(48));
        let id: InferenceId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert!(text.len() <= 64);
        assert_eq!(id.portrait(None), Some("x".repeat(48).parse().unwrap()));
        for bad in ["ada", "a b:9f2c41d07b3e", "~:9f2c41d07b3e", "~0123:9f2c41d07b3e"] {
            assert!(bad.parse::<InferenceId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_owners_portrait_is_known_by_the_input_and_is_not_named() {
        let portrait: PortraitKey = format!("{}/{}", "o".repeat(64), "x".repeat(48)).parse().unwrap();
        let (revision, sequencer) = (Revision::new("e", "20"), Sequencer::new("01"));
        let id = InferenceId::new(&portrait, revision.clone());
        let text = id.to_string();
        assert!(text.len() <= 64 && !text.contains("ooo") && !text.contains("xxx"), "{text}");
        assert_eq!(text.parse().as_ref(), Ok(&id));
        assert_eq!(id.revision(), &revision);
        let input = keys::input(&portrait, &revision, &sequencer);
        assert_eq!(id.portrait(Some(&input)), Some(portrait));
        let other = keys::input(&"ann/ada".parse().unwrap(), &revision, &sequencer);
        assert_eq!((id.portrait(Some(&other)), id.portrait(None)), (None, None));
    }
}
