//! The wire format of object detection: from heads and bytes to a picture, from detections and errors to answers. Pure functions.

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use picture::RgbImage;
use serde_json::Value;
use vision::ssd::Detection;

use crate::handler::Answer;
use crate::handlers::pictures::{self, accepted_json, shown};
use crate::handlers::python;
use crate::head::Head;
use crate::refusal::{Reason, Refusal};

/// A row of zeros: the exported graph has as many rows for every picture.
const PADDING: &str = "[0.0, 0.0, 0.0, 0.0, 0.0, 0.0]";

/// What an invocation sends.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    /// The file of a picture.
    pub image: Vec<u8>,
    /// The least score of an answer's rows.
    pub threshold: f64,
}

/// Reads the head of an invocation.
///
/// # Errors
/// 400: a body that is not JSON, as the original service says it. 406: an answer that is not JSON.
pub fn request(head: &Head) -> Result<(), Refusal> {
    accepted_json(head, |_| ()).map_err(with_reason)?;
    let content_type = head.content_type.as_deref().unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let message = format!("Content-Type: {:?} cannot be read: application/json can", shown(content_type));
        return Err(refused(StatusCode::BAD_REQUEST, "UNSUPPORTED_TYPE", message));
    }
    Ok(())
}

/// Reads a body: `{"image": "base64", "threshold": 0.5}`, of which the threshold may be missing.
///
/// # Errors
/// [`Refusal`]: 400.
pub fn payload(body: &[u8]) -> Result<Payload, Refusal> {
    let bad = |code: &'static str, message: String| refused(StatusCode::BAD_REQUEST, code, message);
    let form = "{\"image\": \"...\"} with a picture in base64 would work";
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| bad("BAD_JSON", format!("the body is no JSON ({error}): {form}")))?;
    let Some(image) = value.get("image") else {
        return Err(bad("NO_IMAGE", format!("the body has no member \"image\": {form}")));
    };
    let Some(image) = image.as_str() else {
        return Err(bad("NO_IMAGE", format!("image is {}: {form}", shown(&image.to_string()))));
    };
    // As Python's b64decode, line breaks are passed over.
    let letters: Vec<u8> = image.bytes().filter(|letter| !letter.is_ascii_whitespace()).collect();
    let image =
        STANDARD.decode(letters).map_err(|error| bad("BAD_BASE64", format!("image is no base64 ({error}): {form}")))?;
    if image.is_empty() {
        return Err(bad("NO_IMAGE", format!("image is empty: {form}")));
    }
    let threshold = match value.get("threshold") {
        None => Some(0.0),
        Some(threshold) => threshold.as_f64(),
    };
    let threshold = threshold.ok_or_else(|| {
        let found = shown(&value["threshold"].to_string());
        bad("BAD_THRESHOLD", format!("threshold is {found}: a number, such as 0.5, would work"))
    })?;
    Ok(Payload { image, threshold })
}

/// The picture of a file.
///
/// # Errors
/// [`Refusal`]: 415, 400 or 413.
pub fn decoded(file: &[u8]) -> Result<RgbImage, Refusal> {
    pictures::decoded(file).map_err(with_reason)
}

/// The answer: `{"prediction": [[class, score, left, top, right, bottom], ...]}`, with classes from 0, as Python writes it. It has
/// `rows` rows, those after the detections with zeros, without those whose score is below the threshold.
pub fn answer(detections: &[Detection], rows: usize, threshold: f64) -> Answer {
    let reaches = |detection: &&Detection| f64::from(detection.score) >= threshold;
    let row = |detection: &Detection| {
        let Detection { class, score, corners: [left, top, right, bottom], .. } = *detection;
        let numbers = [class as f64].into_iter().chain([score, left, top, right, bottom].map(f64::from));
        format!("[{}]", numbers.map(python::float).collect::<Vec<String>>().join(", "))
    };
    let mut lines: Vec<String> = detections.iter().filter(reaches).map(row).collect();
    if 0.0 >= threshold {
        lines.resize(rows.max(lines.len()), PADDING.to_owned());
    }
    let body = format!("{{\"prediction\": [{}]}}", lines.join(", ")).into_bytes();
    Answer { media_type: "application/json".to_owned(), custom_attributes: None, body }
}

/// A reason of the server's.
pub fn refusal(reason: &Reason) -> Refusal {
    let mut refusal = Refusal::from(reason);
    if let Reason::EmptyBody = reason {
        refusal.message =
            "the request has no body: {\"image\": \"...\"} with a picture in base64 would work".to_owned();
    }
    with_reason(refusal)
}

fn refused(status: StatusCode, code: &'static str, message: String) -> Refusal {
    with_reason(Refusal::new(status, code, message))
}

/// The message also as `reason`, which clients of the original service read.
fn with_reason(mut refusal: Refusal) -> Refusal {
    refusal.details.insert("reason".to_owned(), refusal.message.as_str().into());
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(content_type: Option<&str>, accept: Option<&str>) -> Head {
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        Head { content_type: owned(content_type), accept: owned(accept), custom_attributes: None }
    }

    #[test]
    fn heads_are_read() {
        for (content_type, accept) in [
            ("application/json", None),
            ("Application/JSON; charset=utf-8", Some("*/*")),
            ("application/json", Some("text/html, application/json;q=0.5")),
        ] {
            request(&head(Some(content_type), accept)).unwrap();
        }
        for (content_type, accept, status) in
            [(Some("image/jpeg"), None, 400), (None, None, 400), (Some("application/json"), Some("image/jpeg"), 406)]
        {
            let refusal = request(&head(content_type, accept)).unwrap_err();
            assert_eq!(
                (refusal.status.as_u16(), &refusal.details["reason"]),
                (status, &Value::from(&*refusal.message))
            );
        }
    }

    #[test]
    fn bodies_are_read() {
        let read = |body: &str| payload(body.as_bytes()).map_err(|refusal| refusal.code.into_owned());
        assert_eq!(read(r#"{"image": "aGVs\nbG8="}"#), Ok(Payload { image: b"hello".to_vec(), threshold: 0.0 }));
        let with = read(r#"{"threshold": 1, "image": "aGVsbG8=", "more": []}"#);
        assert_eq!(with, Ok(Payload { image: b"hello".to_vec(), threshold: 1.0 }));
        for (body, code) in [
            ("hello", "BAD_JSON"),
            ("[]", "NO_IMAGE"),
            ("{}", "NO_IMAGE"),
            (r#"{"image": 7}"#, "NO_IMAGE"),
            (r#"{"image": ""}"#, "NO_IMAGE"),
            (r#"{"image": "?"}"#, "BAD_BASE64"),
            (r#"{"image": "aGVsbG8=", "threshold": "0.5"}"#, "BAD_THRESHOLD"),
            (r#"{"image": "aGVsbG8=", "threshold": null}"#, "BAD_THRESHOLD"),
        ] {
            assert_eq!(read(body), Err(code.to_owned()), "{body}");
        }
        assert_eq!(decoded(b"hello").unwrap_err().status, 415);
    }

    #[test]
    fn rows_are_filled_up_unless_a_threshold_drops_them() {
        let detection = Detection { class: 2, score: 0.5, corners: [0.0, 0.25, 0.5, 1.0], anchor: 7 };
        let text = |threshold: f64| String::from_utf8(answer(&[detection], 2, threshold).body).unwrap();
        let row = "[2.0, 0.5, 0.0, 0.25, 0.5, 1.0]";
        assert_eq!(text(0.0), format!("{{\"prediction\": [{row}, {PADDING}]}}"));
        assert_eq!(text(0.5), format!("{{\"prediction\": [{row}]}}"));
        assert_eq!(text(0.51), "{\"prediction\": []}");
    }
}
