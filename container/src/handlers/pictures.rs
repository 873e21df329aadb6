//! Pictures in, JSON out: the part of the wire format that several handlers share. Pure functions.

use axum::http::StatusCode;
use picture::RgbImage;
use pipeline::ForeignType;

use crate::head::Head;
use crate::media_type::{MediaType, preferred};
use crate::refusal::{Reason, Refusal};

/// The characters of a value that a message shows.
const SHOWN: usize = 100;

/// The beginning of a text.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// The result of `offered` for the media range of JSON that `Accept` prefers. Without that header, the range is `*/*`.
///
/// # Errors
/// 406: the header does not allow JSON.
pub(super) fn accepted_json<T>(head: &Head, offered: impl Fn(&MediaType) -> T) -> Result<T, Refusal> {
    let accept = head.accept.as_deref().filter(|accept| !accept.trim().is_empty()).unwrap_or("*/*");
    let json = |range: &MediaType| {
        let is_json = matches!(range.essence.as_str(), "*/*" | "application/*" | "application/json");
        is_json.then(|| offered(range))
    };
    preferred(accept, json).ok_or_else(|| {
        let message = format!("Accept: {:?} cannot be answered: application/json can", shown(accept));
        Refusal::new(StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", message)
    })
}

/// The picture of a file.
///
/// # Errors
/// [`Refusal`]: 415, 400 or 413.
pub(super) fn decoded(file: &[u8]) -> Result<RgbImage, Refusal> {
    picture::decode(file).map_err(|error| {
        let mut refusal = Refusal::from(error);
        // The picture library knows its own formats only.
        if let Some(foreign) = ForeignType::sniff(file) {
            refusal.message = foreign.to_string();
        }
        refusal
    })
}

/// A reason of the server's, where bodies are pictures.
pub(super) fn refusal(reason: &Reason) -> Refusal {
    let mut refusal = Refusal::from(reason);
    if let Reason::EmptyBody = reason {
        refusal.message = "the request has no body: a JPEG, PNG or WebP picture would work".to_owned();
    }
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_accepted_by_any_range_that_has_it() {
        let accepted = |accept: Option<&str>| {
            let head = Head { content_type: None, accept: accept.map(ToOwned::to_owned), custom_attributes: None };
            accepted_json(&head, |range| range.essence.clone()).map_err(|refusal| refusal.to_string())
        };
        assert_eq!(accepted(None), Ok("*/*".to_owned()));
        assert_eq!(accepted(Some(" ")), Ok("*/*".to_owned()));
        assert_eq!(accepted(Some("text/html, application/*;q=0.1")), Ok("application/*".to_owned()));
        assert_eq!(
            accepted(Some("image/png")),
            Err("NOT_ACCEPTABLE: Accept: \"image/png\" cannot be answered: application/json can".to_owned())
        );
    }

    #[test]
    fn bodies_that_are_no_pictures_are_refused() {
        assert_eq!(decoded(b"hello, world").unwrap_err().status.as_u16(), 415);
        let heic = decoded(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap_err();
        assert!(heic.message.contains("HEIC"), "{heic}");
        assert!(refusal(&Reason::EmptyBody).message.contains("JPEG"));
    }
}
