//! The media types of an answer: the strip as an array, or as one picture.

use axum::http::StatusCode;
use pipeline::{ErrorCode, ImageType, strip};

use crate::media_type::{MediaType, preferred};
use crate::refusal::Refusal;

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerType {
    /// `application/x-npy`
    Npy,
    /// The strip as one picture.
    Picture(ImageType),
}

/// The widest picture of a format, in pixels.
fn widest(picture: ImageType) -> usize {
    match picture {
        ImageType::WebP => 16_383,
        ImageType::Jpeg => 65_535,
        ImageType::Png => usize::MAX,
    }
}

impl AnswerType {
    /// The format that an `Accept` header prefers; `application/x-npy` without a header.
    ///
    /// # Errors
    /// 406: the header accepts no format that is available.
    pub(super) fn accepted(accept: Option<&str>) -> Result<Self, Refusal> {
        let accept = accept.filter(|accept| !accept.trim().is_empty()).unwrap_or(strip::MEDIA_TYPE);
        preferred(accept, Self::of).ok_or_else(|| {
            let accept: String = accept.chars().take(100).collect();
            let message = format!(
                "Accept: {accept:?} cannot be answered: application/x-npy, image/jpeg, image/png and image/webp can"
            );
            Refusal::new(StatusCode::NOT_ACCEPTABLE, ErrorCode::UnsupportedImage.as_str(), message)
        })
    }

    fn of(range: &MediaType) -> Option<Self> {
        match range.essence.as_str() {
            "*/*" | "application/*" | strip::MEDIA_TYPE => Some(Self::Npy),
            "image/*" => Some(Self::Picture(ImageType::Png)),
            other => other.parse().ok().map(Self::Picture),
        }
    }

    /// Checks that a strip of this number of ages fits into the format.
    ///
    /// # Errors
    /// 406: the strip is wider than the format allows.
    pub(super) fn check_width(self, ages: usize) -> Result<(), Refusal> {
        let (_, width, _) = strip::shape(ages);
        match self {
            Self::Picture(picture) if width > widest(picture) => {
                let message = format!(
                    "a strip of {ages} ages is {width} pixels wide, and {} ends at {}: \
                     fewer ages, application/x-npy or image/png would work",
                    picture.as_str(),
                    widest(picture)
                );
                Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, ErrorCode::UnsupportedImage.as_str(), message))
            }
            _ => Ok(()),
        }
    }

    /// The `Content-Type` of an answer.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Npy => strip::MEDIA_TYPE,
            Self::Picture(picture) => picture.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_weight_wins() {
        let accepted = |text| AnswerType::accepted(Some(text)).ok();
        let png = Some(AnswerType::Picture(ImageType::Png));
        assert_eq!(AnswerType::accepted(None).ok(), Some(AnswerType::Npy));
        for npy in ["", "*/*", "application/x-npy", "Application/X-NPY", "text/html, */*;q=0.1"] {
            assert_eq!(accepted(npy), Some(AnswerType::Npy), "{npy}");
        }
        assert_eq!(accepted("image/png"), png);
        assert_eq!(accepted("*/*;q=0.5, image/png;q=0.9, image/jpeg;q=0.1"), png);
        assert_eq!(accepted("image/webp"), Some(AnswerType::Picture(ImageType::WebP)));
        for none in ["text/html", "image/gif", "image/png;q=0", "nonsense"] {
            assert_eq!(AnswerType::accepted(Some(none)).unwrap_err().status, StatusCode::NOT_ACCEPTABLE);
        }
    }

    #[test]
    fn names_its_type_and_its_limits() {
        let webp = AnswerType::Picture(ImageType::WebP);
        assert_eq!((webp.media_type(), AnswerType::Npy.media_type()), ("image/webp", "application/x-npy"));
        assert!(webp.check_width(14).is_ok() && webp.check_width(15).is_err());
        assert!(AnswerType::Picture(ImageType::Jpeg).check_width(16).is_ok());
    }
}
