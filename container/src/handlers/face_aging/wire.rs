//! The wire format of face ageing: from heads and bytes to requests, from strips and errors to answers. Pure functions.

use std::io::Cursor;

use aging::PANEL;
use aging::strip::{StripError, byte_count};
use axum::http::StatusCode;
use face::FaceError;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};
use picture::{PictureError, RgbImage};
use pipeline::invocation::{ages_of, engine_attribute};
use pipeline::{Ages, AgesError, ErrorCode, ForeignType, FoundFace, ImageType, Search, strip};
use serde_json::json;

use super::answer_type::AnswerType;
use super::portraits::PortraitError;
use crate::handler::Answer;
use crate::head::Head;
use crate::refusal::{Reason, Refusal};

const JPEG_QUALITY: u8 = 92;

const _: () = assert!(PANEL as usize == strip::PANEL, "one size of a panel");

/// What the head of an invocation asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The ages in years.
    pub ages: Ages,
    /// The format of the answer.
    pub answer_type: AnswerType,
}

/// Reads the head of an invocation. `default_ages` are those of an invocation that names none.
///
/// # Errors
/// 415: a body that is no picture. 400: bad ages. 406: an answer that is not available.
pub fn request(head: &Head, default_ages: &Ages) -> Result<Request, Refusal> {
    check_content_type(head)?;
    let attributes = head.custom_attributes.as_deref();
    let ages = attributes.map_or(Ok(None), ages_of)?.unwrap_or_else(|| default_ages.clone());
    let answer_type = AnswerType::accepted(head.accept.as_deref())?;
    answer_type.check_width(ages.len())?;
    Ok(Request { ages, answer_type })
}

/// A `Content-Type` that is no picture format is refused. The bytes decide which of the three formats it is.
fn check_content_type(head: &Head) -> Result<(), Refusal> {
    let media_type = head.content_type.as_deref().unwrap_or_default();
    ImageType::check_content_type(media_type).map_err(|error| {
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::UnsupportedImage.as_str(), error.to_string())
    })
}

/// The size of an answer in bytes. `None`: it depends on the pixels.
pub fn answer_bytes(request: &Request) -> Option<usize> {
    (request.answer_type == AnswerType::Npy).then(|| byte_count(request.ages.len()))
}

/// The picture of a body.
///
/// # Errors
/// [`Refusal`]: 415, 400 or 413. The decoder's reason is logged.
pub fn picture(body: &[u8]) -> Result<RgbImage, Refusal> {
    picture::decode(body).map_err(|error| {
        if let Some(source) = std::error::Error::source(&error) {
            tracing::info!(%error, %source, "picture refused");
        }
        let mut refusal = Refusal::from(error);
        // The picture library knows its own formats only.
        if let Some(foreign) = ForeignType::sniff(body) {
            refusal.message = foreign.to_string();
        }
        refusal
    })
}

/// The bytes in front of the pixels of a strip, so that an array need not be copied into its file.
pub fn header(request: &Request) -> Vec<u8> {
    match request.answer_type {
        AnswerType::Npy => strip::npy_header(request.ages.len()),
        AnswerType::Picture(_) => Vec::new(),
    }
}

/// The answer with a strip, which is [`header`] and then the pixels, made by this engine.
///
/// # Errors
/// 500: the strip cannot be encoded.
pub fn answer(request: &Request, strip: Vec<u8>, engine: &str) -> Result<Answer, Refusal> {
    let media_type = request.answer_type.media_type().to_owned();
    let body = match request.answer_type {
        AnswerType::Npy => strip,
        AnswerType::Picture(format) => {
            let (rows, columns, _) = strip::shape(request.ages.len());
            encoded(&strip, columns as u32, rows as u32, format).map_err(|error| {
                tracing::error!(%error, "the strip cannot be encoded");
                refusal(&Reason::Failed)
            })?
        }
    };
    Ok(Answer { media_type, custom_attributes: Some(engine_attribute(engine)), body })
}

fn encoded(pixels: &[u8], width: u32, height: u32, format: ImageType) -> image::ImageResult<Vec<u8>> {
    let mut file = Cursor::new(Vec::new());
    let rgb = ExtendedColorType::Rgb8;
    match format {
        ImageType::Jpeg => {
            JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY).write_image(pixels, width, height, rgb)?;
        }
        ImageType::Png => PngEncoder::new(&mut file).write_image(pixels, width, height, rgb)?,
        ImageType::WebP => WebPEncoder::new_lossless(&mut file).write_image(pixels, width, height, rgb)?,
    }
    Ok(file.into_inner())
}

/// A reason of the server's, with the codes of the pipeline and the words of face ageing.
pub fn refusal(reason: &Reason) -> Refusal {
    let (code, message) = match reason {
        Reason::EmptyBody => {
            (ErrorCode::CorruptImage, "the request has no body: a JPEG, PNG or WebP picture would work".to_owned())
        }
        Reason::IncompleteBody { source, .. } => (ErrorCode::CorruptImage, format!("{reason}: {source}")),
        Reason::SlowBody { .. } => (ErrorCode::Timeout, reason.to_string()),
        Reason::LargeBody { limit } => {
            (ErrorCode::ImageTooLarge, format!("the picture has more than {limit} bytes: at most {limit} work"))
        }
        Reason::LargeAnswer { bytes, limit } => (
            ErrorCode::InvalidAges,
            format!("the strip has {bytes} bytes, and at most {limit} are sent: fewer ages would work"),
        ),
        Reason::Late { limit } => (
            ErrorCode::ModelError,
            format!("the strip was not done within {} s: fewer ages, or another time, would work", limit.as_secs()),
        ),
        Reason::Failed => (
            ErrorCode::ModelError,
            "the model failed on this picture: the server's log says why; another picture would work".to_owned(),
        ),
        Reason::Overloaded { .. } | Reason::Unhealthy(_) => (ErrorCode::ModelError, reason.to_string()),
    };
    Refusal::new(reason.status(), code.as_str(), message)
}

impl From<PictureError> for Refusal {
    fn from(error: PictureError) -> Self {
        let (status, code) = match error {
            PictureError::Unsupported | PictureError::UnsupportedVariety { .. } => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::UnsupportedImage)
            }
            PictureError::Corrupt { .. } | PictureError::Truncated { .. } => {
                (StatusCode::BAD_REQUEST, ErrorCode::CorruptImage)
            }
            PictureError::TooLarge { .. } | PictureError::TooLong { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::ImageTooLarge)
            }
        };
        Self::new(status, code.as_str(), error.to_string())
    }
}

impl From<FaceError> for Refusal {
    fn from(error: FaceError) -> Self {
        let mut refusal = Self::new(StatusCode::BAD_REQUEST, error.code(), error.to_string());
        refusal.details.extend(search(&error).map(|search| ("search".to_owned(), json!(search))));
        refusal
    }
}

/// Where the face was looked for. None for landmarks that fit no face.
fn search(error: &FaceError) -> Option<Search> {
    match *error {
        FaceError::None { width, height, smallest } => {
            Some(Search { width, height, least: Some(smallest), face: None })
        }
        FaceError::NotDetected { width, height } => Some(Search { width, height, least: None, face: None }),
        FaceError::TooSmall { left, top, width: side, picture: [width, height], least } => {
            Some(Search { width, height, least: Some(least), face: Some(FoundFace { left, top, width: side }) })
        }
        _ => None,
    }
}

impl From<PortraitError> for Refusal {
    fn from(error: PortraitError) -> Self {
        match error {
            PortraitError::Face(error) => error.into(),
            PortraitError::Network(error) => {
                tracing::error!(%error, "the face detection network failed");
                refusal(&Reason::Failed)
            }
        }
    }
}

impl From<StripError> for Refusal {
    fn from(error: StripError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::ModelError.as_str(), error.to_string())
    }
}

impl From<AgesError> for Refusal {
    fn from(error: AgesError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidAges.as_str(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::health::Unhealthy;

    fn head(content_type: &str, accept: &str, attributes: &str) -> Head {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Head { content_type: some(content_type), accept: some(accept), custom_attributes: some(attributes) }
    }

    #[test]
    fn a_head_names_ages_and_a_format_or_leaves_them_to_the_defaults() {
        let (default, ages) = ("5".parse::<Ages>().unwrap(), "30,60".parse::<Ages>().unwrap());
        let found = request(&Head::default(), &default).unwrap();
        assert_eq!(found, Request { ages: default.clone(), answer_type: AnswerType::Npy });
        assert_eq!(answer_bytes(&found), Some(byte_count(1)));
        let found = request(&head("image/png", "image/jpeg", "trace=7; ages=30,60"), &default).unwrap();
        assert_eq!(found, Request { ages, answer_type: AnswerType::Picture(ImageType::Jpeg) });
        assert_eq!((answer_bytes(&found), header(&found)), (None, Vec::new()));
        for octets in [
            "",
            ";",
            "application/octet-stream",
            "Application/Octet-Stream; x=1",
            "image/jpg",
            "IMAGE/PJPEG",
            "image/x-png",
        ] {
            assert!(request(&head(octets, "", ""), &default).is_ok(), "{octets}");
        }
    }

    #[test]
    fn a_head_that_cannot_be_served_is_refused_by_status_and_code() {
        let sixteen = "ages=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16";
        for (head, status, code) in [
            (head("text/plain", "", ""), 415, "UNSUPPORTED_IMAGE"),
            (head("", "", "ages=old"), 400, "INVALID_AGES"),
            (head("", "text/html", ""), 406, "UNSUPPORTED_IMAGE"),
            (head("", "image/webp", sixteen), 406, "UNSUPPORTED_IMAGE"),
        ] {
            let refusal = request(&head, &Ages::default()).unwrap_err();
            assert_eq!((refusal.status.as_u16(), &*refusal.code), (status, code), "{refusal}");
        }
        assert_eq!(picture(b"hello, world").unwrap_err().status.as_u16(), 415);
        let heic = picture(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap_err();
        assert_eq!((heic.status.as_u16(), &*heic.code), (415, "UNSUPPORTED_IMAGE"));
        assert!(heic.message.contains("HEIC") && heic.message.contains("Most Compatible"), "{heic}");
    }

    #[test]
    fn a_strip_becomes_the_format_that_was_asked_for() {
        let ages: Ages = "70".parse().unwrap();
        let npy = Request { ages: ages.clone(), answer_type: AnswerType::Npy };
        let mut strip = header(&npy);
        strip.resize(strip.len() + byte_count(1), 9);
        let found = answer(&npy, strip.clone(), "sam").unwrap();
        assert_eq!((found.media_type.as_str(), found.body), ("application/x-npy", strip));
        assert_eq!(found.custom_attributes.as_deref(), Some("engine=sam"));
        let png = Request { ages, answer_type: AnswerType::Picture(ImageType::Png) };
        let found = answer(&png, vec![9; byte_count(1)], "preview").unwrap();
        let picture = image::load_from_memory(&found.body).unwrap();
        assert_eq!((found.media_type.as_str(), picture.width()), ("image/png", 2048));
    }

    #[test]
    fn every_code_is_one_of_the_pipelines() {
        let source = || axum::Error::new(std::io::Error::other("reset"));
        for reason in [
            Reason::EmptyBody,
            Reason::IncompleteBody { bytes: 7, source: source() },
            Reason::SlowBody { limit: Duration::from_secs(7) },
            Reason::LargeBody { limit: 7 },
            Reason::LargeAnswer { bytes: 9, limit: 7 },
            Reason::Overloaded { waiting: 7 },
            Reason::Late { limit: Duration::from_secs(7) },
            Reason::Unhealthy(Unhealthy::Draining),
            Reason::Failed,
        ] {
            let refusal = refusal(&reason);
            let error: pipeline::JobError = serde_json::from_slice(&refusal.json().body).unwrap();
            assert_eq!(error.message, refusal.message);
        }
        let error = FaceError::None { width: 1, height: 1, smallest: 80 };
        assert_eq!(error.code(), ErrorCode::NoFace.as_str());
        let error = FaceError::TooSmall { left: -1, top: 2, width: 3, picture: [5, 4], least: 80 };
        assert_eq!(error.code(), ErrorCode::FaceTooSmall.as_str());
        let found: pipeline::JobError = serde_json::from_slice(&Refusal::from(error).json().body).unwrap();
        let face = FoundFace { left: -1, top: 2, width: 3 };
        assert_eq!(found.search, Some(Search { width: 5, height: 4, least: Some(80), face: Some(face) }));
    }
}
