//! The wire format of face detection: from heads and bytes to pictures, from faces and errors to answers. Pure functions.

use std::io;

use axum::http::StatusCode;
use ndarray::ArrayView4;
use ndarray_npy::ViewNpyExt;
use picture::RgbImage;
use pipeline::{ErrorCode, ImageType};
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};
use vision::{Face, FaceNetwork};

use crate::handler::Answer;
use crate::handlers::pictures::{accepted_json, decoded, shown};
use crate::handlers::python;
use crate::head::Head;
use crate::media_type::MediaType;
use crate::refusal::{Reason, Refusal};

/// The most pictures of an invocation.
const MAX_PICTURES: usize = 1000;

/// The network's name in `MODEL_NAME`.
pub fn model_name(network: FaceNetwork) -> &'static str {
    match network {
        FaceNetwork::RetinaFaceResNet50 => "RetinaNetResNet50",
        FaceNetwork::RetinaFaceMobileNetV1 => "RetinaNetMobileNetV1",
        FaceNetwork::Dsfd => "DSFDDetector",
    }
}

/// The content of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// `text/csv`: `bucket/key`, one a line.
    Csv,
    /// `application/json`: `{"bucket","key"}`.
    Json,
    /// `application/x-npy`: pictures of one size, `(pictures, height, width, 3)`, 8 bits, RGB.
    Npy,
    /// A picture.
    Picture,
}

impl Request {
    /// For the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Npy => "npy",
            Self::Picture => "picture",
        }
    }
}

/// An object in S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
}

/// The pictures of an invocation, not decoded yet.
#[derive(Debug, PartialEq, Eq)]
pub enum Payload {
    /// Files.
    Files(Vec<Vec<u8>>),
    /// An array.
    Npy(Vec<u8>),
}

/// Reads the head of an invocation.
///
/// # Errors
/// 415: a body of another type. 406: an answer that is not JSON.
pub fn request(head: &Head) -> Result<Request, Refusal> {
    accepted_json(head, |_| ())?;
    let content_type = head.content_type.as_deref().unwrap_or_default();
    match MediaType::parse(content_type).essence.as_str() {
        "text/csv" => Ok(Request::Csv),
        "application/json" => Ok(Request::Json),
        "application/x-npy" => Ok(Request::Npy),
        _ if ImageType::check_content_type(content_type).is_ok() => Ok(Request::Picture),
        _ => Err(refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_TYPE",
            format!(
                "Content-Type: {:?} cannot be read: text/csv, application/json, application/x-npy, image/jpeg, image/png \
                 and image/webp can",
                shown(content_type)
            ),
        )),
    }
}

/// The objects that a body refers to; `None` for a body that is complete.
///
/// # Errors
/// 400: a body that is not as its type says.
pub fn references(request: Request, body: &[u8]) -> Result<Option<Vec<Reference>>, Refusal> {
    let bad = |message| refused(StatusCode::BAD_REQUEST, "BAD_REFERENCE", message);
    let text = || {
        std::str::from_utf8(body)
            .map_err(|error| bad(format!("the body is not UTF-8 after {} bytes", error.valid_up_to())))
    };
    match request {
        Request::Npy | Request::Picture => Ok(None),
        Request::Csv => {
            let lines = text()?.lines().filter(|line| !line.trim().is_empty());
            let references: Vec<Reference> = lines.map(of_line).collect::<Result<_, _>>()?;
            match references.len() {
                0 => Err(bad("the body has no line: lines of the form bucket/key would work".to_owned())),
                1..=MAX_PICTURES => Ok(Some(references)),
                many => Err(bad(format!("the body has {many} lines: at most {MAX_PICTURES} work"))),
            }
        }
        Request::Json => {
            let value: Value = serde_json::from_str(text()?).map_err(|error| {
                bad(format!("the body is no JSON ({error}): {{\"bucket\": \"...\", \"key\": \"...\"}} would work"))
            })?;
            match (value["bucket"].as_str(), value["key"].as_str()) {
                (Some(bucket), Some(key)) if !bucket.is_empty() && !key.is_empty() => {
                    Ok(Some(vec![Reference { bucket: bucket.to_owned(), key: key.to_owned() }]))
                }
                _ => Err(bad(format!(
                    "{:?} names no object: {{\"bucket\": \"...\", \"key\": \"...\"}} would work",
                    shown(&value.to_string())
                ))),
            }
        }
    }
}

/// A bucket and a key, separated by the first slash. Neither is trimmed.
fn of_line(line: &str) -> Result<Reference, Refusal> {
    match line.split_once('/') {
        Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
            Ok(Reference { bucket: bucket.to_owned(), key: key.to_owned() })
        }
        _ => Err(refused(
            StatusCode::BAD_REQUEST,
            "BAD_REFERENCE",
            format!("the line {:?} names no object: bucket/key would work", shown(line)),
        )),
    }
}

/// The payload of a body that is complete.
pub fn whole(request: Request, body: Vec<u8>) -> Payload {
    if request == Request::Npy { Payload::Npy(body) } else { Payload::Files(vec![body]) }
}

/// The pictures of a payload. All of them together have at most as many pixels as one may have.
///
/// # Errors
/// [`Refusal`]: 415, 400 or 413.
pub fn pictures(payload: Payload) -> Result<Vec<RgbImage>, Refusal> {
    match payload {
        Payload::Npy(bytes) => of_array(&bytes),
        Payload::Files(files) => {
            let mut pixels = 0;
            let mut pictures = Vec::with_capacity(files.len());
            for file in files {
                let picture = decoded(&file)?;
                pixels += u64::from(picture.width()) * u64::from(picture.height());
                if pixels > picture::MAX_PIXELS {
                    return Err(refused(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        ErrorCode::ImageTooLarge.as_str(),
                        format!(
                            "the pictures have more than {} million pixels in all: fewer pictures would work",
                            picture::MAX_PIXELS / 1_000_000
                        ),
                    ));
                }
                pictures.push(picture);
            }
            Ok(pictures)
        }
    }
}

fn of_array(bytes: &[u8]) -> Result<Vec<RgbImage>, Refusal> {
    let bad = |message| refused(StatusCode::BAD_REQUEST, "BAD_ARRAY", message);
    let needed = "an .npy file of uint8 and of shape (pictures, height, width, 3), in C order, would work";
    let array = ArrayView4::<u8>::view_npy(bytes).map_err(|error| bad(format!("{error}: {needed}")))?;
    let (count, height, width, channels) = array.dim();
    let side = picture::MAX_SIDE as usize;
    if channels != 3 || count == 0 || !(1..=side).contains(&height) || !(1..=side).contains(&width) {
        return Err(bad(format!("the array's shape is {:?}: {needed}, of 1 to {side} pixels a side", array.shape())));
    }
    if count > MAX_PICTURES {
        return Err(bad(format!("the array has {count} pictures: at most {MAX_PICTURES} work")));
    }
    let Some(values) = array.as_slice() else { return Err(bad(format!("the array is in Fortran order: {needed}"))) };
    let picture = |values: &[u8]| {
        RgbImage::from_raw(width as u32, height as u32, values.to_vec()).expect("three values of every pixel")
    };
    Ok(values.chunks_exact(height * width * 3).map(picture).collect())
}

/// The answer: a list for each picture, of `[left, top, right, bottom, score]` for each face; with landmarks, that list and one of
/// the five points of each face.
pub fn answer(found: &[Vec<Face>], landmarks: bool) -> Answer {
    let row = |face: &Face| -> Vec<f64> { face.corners.into_iter().chain([f64::from(face.score)]).collect() };
    let boxes: Vec<Vec<Vec<f64>>> = found.iter().map(|faces| faces.iter().map(row).collect()).collect();
    let body = if landmarks {
        let points = |face: &Face| face.landmarks.unwrap_or_default();
        let points: Vec<Vec<[[f64; 2]; 5]>> = found.iter().map(|faces| faces.iter().map(points).collect()).collect();
        json(&(boxes, points))
    } else {
        json(&boxes)
    };
    Answer { media_type: "application/json".to_owned(), custom_attributes: None, body }
}

/// JSON as Python writes it: with a space after every comma, and numbers in its notation.
fn json(value: &impl Serialize) -> Vec<u8> {
    struct Spaced;
    impl Formatter for Spaced {
        fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
            if first { Ok(()) } else { writer.write_all(b", ") }
        }

        fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
            writer.write_all(python::float(value).as_bytes())
        }
    }
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Spaced)).expect("numbers are written to memory");
    bytes
}

/// A reason of the server's.
pub fn refusal(reason: &Reason) -> Refusal {
    let mut refusal = Refusal::from(reason);
    if let Reason::EmptyBody = reason {
        refusal.message =
            "the request has no body: bucket/key as text/csv, or a JPEG, PNG or WebP picture, would work".to_owned();
    }
    refusal
}

pub(super) fn refused(status: StatusCode, code: &'static str, message: String) -> Refusal {
    Refusal::new(status, code, message)
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;
    use ndarray_npy::WriteNpyExt;

    use super::*;

    fn head(content_type: &str, accept: &str) -> Head {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Head { content_type: some(content_type), accept: some(accept), custom_attributes: None }
    }

    fn reference(bucket: &str, key: &str) -> Reference {
        Reference { bucket: bucket.to_owned(), key: key.to_owned() }
    }

    #[test]
    fn every_content_type_is_read_and_others_are_refused() {
        for (content_type, content) in [
            ("text/csv", Request::Csv),
            ("Text/CSV; charset=utf-8", Request::Csv),
            ("application/json", Request::Json),
            ("application/x-npy", Request::Npy),
            ("image/jpeg", Request::Picture),
            ("image/webp", Request::Picture),
            ("", Request::Picture),
        ] {
            assert_eq!(request(&head(content_type, "")), Ok(content), "{content_type}");
        }
        for accept in ["application/json", "*/*", "text/html, application/*;q=0.1"] {
            assert_eq!(request(&head("text/csv", accept)), Ok(Request::Csv), "{accept}");
        }
        let refusal = request(&head("text/plain", "")).unwrap_err();
        assert_eq!((refusal.status.as_u16(), &*refusal.code), (415, "UNSUPPORTED_TYPE"));
        let refusal = request(&head("text/csv", "application/x-npy")).unwrap_err();
        assert_eq!((refusal.status.as_u16(), &*refusal.code), (406, "NOT_ACCEPTABLE"));
    }

    #[test]
    fn a_line_is_a_bucket_and_a_key_with_slashes_and_spaces() {
        let found = references(Request::Csv, b"shelf/a/b c.jpg\r\n\nother/ x.png").unwrap().unwrap();
        assert_eq!(found, [reference("shelf", "a/b c.jpg"), reference("other", " x.png")]);
        for body in ["", "\n", "shelf", "/key", "shelf/"] {
            let refusal = references(Request::Csv, body.as_bytes()).unwrap_err();
            assert_eq!((refusal.status.as_u16(), &*refusal.code), (400, "BAD_REFERENCE"), "{body}");
        }
        assert_eq!(references(Request::Csv, b"\xff/a").unwrap_err().status.as_u16(), 400);
        assert_eq!(references(Request::Csv, "a/b\n".repeat(1001).as_bytes()).unwrap_err().status.as_u16(), 400);
    }

    #[test]
    fn json_names_one_object() {
        let found = references(Request::Json, br#"{"bucket": "shelf", "key": "a/b.jpg", "more": 1}"#).unwrap();
        assert_eq!(found, Some(vec![reference("shelf", "a/b.jpg")]));
        for body in
            ["", "{", "[]", "7", r#"{"bucket":"shelf"}"#, r#"{"bucket":"shelf","key":7}"#, r#"{"bucket":"","key":"a"}"#]
        {
            let refusal = references(Request::Json, body.as_bytes()).unwrap_err();
            assert_eq!((refusal.status.as_u16(), &*refusal.code), (400, "BAD_REFERENCE"), "{body}");
        }
    }

    #[test]
    fn an_array_is_as_many_pictures() {
        let array = Array4::from_shape_fn((2, 3, 4, 3), |(n, y, x, c)| (100 * n + 30 * y + 5 * x + c) as u8);
        let mut bytes = Vec::new();
        array.write_npy(&mut bytes).unwrap();
        let found = pictures(whole(Request::Npy, bytes.clone())).unwrap();
        assert_eq!((found.len(), found[1].dimensions()), (2, (4, 3)));
        assert_eq!(found[1].get_pixel(2, 1).0, [140, 141, 142]);
        bytes.pop();
        let mut others = vec![bytes, b"hello".to_vec()];
        for array in [Array4::<u8>::zeros((1, 3, 4, 4)), Array4::zeros((0, 3, 4, 3)), Array4::zeros((1, 0, 4, 3))] {
            others.push(Vec::new());
            array.write_npy(others.last_mut().unwrap()).unwrap();
        }
        others.push(Vec::new());
        Array4::<i64>::zeros((1, 3, 4, 3)).write_npy(others.last_mut().unwrap()).unwrap();
        for bytes in others {
            let refusal = pictures(Payload::Npy(bytes)).unwrap_err();
            assert_eq!((refusal.status.as_u16(), &*refusal.code), (400, "BAD_ARRAY"), "{refusal}");
        }
    }

    #[test]
    fn files_that_are_no_pictures_are_refused() {
        assert_eq!(pictures(Payload::Files(vec![b"hello, world".to_vec()])).unwrap_err().status.as_u16(), 415);
        let heic = pictures(Payload::Files(vec![b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec()])).unwrap_err();
        assert!(heic.message.contains("HEIC"), "{heic}");
    }

    #[test]
    fn answers_have_the_originals_form() {
        let text = |found: &[Vec<Face>], landmarks| String::from_utf8(answer(found, landmarks).body).unwrap();
        assert_eq!(text(&[vec![]], false), "[[]]");
        assert_eq!(text(&[vec![]], true), "[[[]], [[]]]");
        let face = |left: f64| Face {
            corners: [left, 2.0, 30.25, 40.0],
            score: 0.75,
            landmarks: Some([[1.0, 2.0]; 5]),
            prior: 7,
        };
        assert_eq!(text(&[vec![face(1.5)]], false), "[[[1.5, 2.0, 30.25, 40.0, 0.75]]]");
        let points = "[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]";
        assert_eq!(text(&[vec![face(1.5)]], true), format!("[[[[1.5, 2.0, 30.25, 40.0, 0.75]]], [[{points}]]]"));
        assert_eq!(
            text(&[vec![face(1.0), face(2.0)], vec![]], false),
            "[[[1.0, 2.0, 30.25, 40.0, 0.75], [2.0, 2.0, 30.25, 40.0, 0.75]], []]"
        );
        assert_eq!(text(&[vec![face(9.99e-6)]], false), "[[[9.99e-06, 2.0, 30.25, 40.0, 0.75]]]");
    }
}
