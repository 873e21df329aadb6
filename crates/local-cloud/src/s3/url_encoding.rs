//! `encoding-type=url`: keys in a list, for characters that XML cannot have.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::EncodingType;
use s3s::{S3Result, s3_error};

/// A slash stays, as in S3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/').remove(b'*');

/// How a list writes its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Url,
}

impl Encoding {
    /// # Errors
    /// It is not `url`.
    pub(super) fn of(asked: Option<&EncodingType>) -> S3Result<Self> {
        match asked.map(EncodingType::as_str) {
            None => Ok(Self::Plain),
            Some("url") => Ok(Self::Url),
            Some(other) => {
                Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request: {other}. url would work"))
            }
        }
    }

    pub(super) fn text(self, text: impl Into<String>) -> String {
        let text = text.into();
        match self {
            Self::Plain => text,
            Self::Url => utf8_percent_encode(&text, ENCODED).to_string(),
        }
    }

    /// As the answer names it.
    pub(super) fn shown(self) -> Option<EncodingType> {
        (self == Self::Url).then(|| EncodingType::from_static(EncodingType::URL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_but_for_slashes() {
        assert_eq!(Encoding::Url.text("a b/ä+\u{1}\r.txt"), "a%20b/%C3%A4%2B%01%0D.txt");
        assert_eq!(Encoding::Plain.text("a b"), "a b");
        assert!(Encoding::of(Some(&EncodingType::from("base64".to_owned()))).is_err());
    }
}
