use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{IdError, PortraitId};
use crate::owner::Owner;

/// The key of a portrait's record, and a part of the keys of its objects: `{owner}/{id}`, or `{id}` alone in a pipeline that all
/// clients share.
///
/// Two owners' portraits of the same id have different keys. Neither an owner nor an id has a slash, so no key has two readings.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortraitKey {
    owner: Option<Owner>,
    id: PortraitId,
}

impl PortraitKey {
    /// The key of an owner's portrait; `None`: all clients share the pipeline.
    pub fn new(owner: Option<Owner>, id: PortraitId) -> Self {
        Self { owner, id }
    }

    /// Whose the portrait is.
    pub fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    /// The client's name for the portrait.
    pub fn id(&self) -> &PortraitId {
        &self.id
    }
}

impl From<PortraitId> for PortraitKey {
    fn from(id: PortraitId) -> Self {
        Self { owner: None, id }
    }
}

impl FromStr for PortraitKey {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once('/') {
            Some((owner, id)) => Ok(Self { owner: Some(owner.parse()?), id: id.parse()? }),
            None => Ok(text.parse::<PortraitId>()?.into()),
        }
    }
}

impl fmt::Display for PortraitKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Some(owner) => write!(formatter, "{owner}/{}", self.id),
            None => fmt::Display::fmt(&self.id, formatter),
        }
    }
}

impl TryFrom<String> for PortraitKey {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<PortraitKey> for String {
    fn from(key: PortraitKey) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_their_owner_or_none() {
        let shared: PortraitKey = "ada".parse().unwrap();
        assert_eq!((shared.owner(), shared.id().as_str()), (None, "ada"));
        let owned: PortraitKey = "ann/ada".parse().unwrap();
        assert_eq!((owned.owner().map(Owner::as_str), owned.id().as_str()), (Some("ann"), "ada"));
        for key in [shared, owned, PortraitKey::new(Some(Owner::of("a/b")), "ada".parse().unwrap())] {
            assert_eq!(key.to_string().parse().as_ref(), Ok(&key));
        }
        for bad in ["", "/ada", "ann/", "ann/../bob/ada", "../ada", "ann/bob/ada", "ann//ada", "a n/ada"] {
            assert!(bad.parse::<PortraitKey>().is_err(), "{bad}");
        }
    }
}
