//! The wire format of classification: from heads to requests, from probabilities to answers. Pure functions.

use axum::http::StatusCode;
use pipeline::ImageType;
use serde_json::Value;
use vision::classifier::most_probable;

use crate::handler::Answer;
use crate::handlers::pictures::{accepted_json, shown};
use crate::handlers::python;
use crate::head::Head;
use crate::refusal::Refusal;

/// What an invocation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// How many of the most probable classes the answer has in addition.
    pub top: Option<usize>,
}

/// Reads the head of an invocation.
///
/// # Errors
/// 415: a body that is no picture. 406: an answer that is not JSON. 400: `top` is no number above 0.
pub fn request(head: &Head) -> Result<Request, Refusal> {
    let top = accepted_json(head, |range| range.parameter("top").map(ToOwned::to_owned))?;
    let number = |top: String| match top.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => {
            let message =
                format!("Accept: top={:?} is no number above 0: application/json; top=5 would work", shown(&top));
            Err(Refusal::new(StatusCode::BAD_REQUEST, "BAD_PARAMETER", message))
        }
    };
    let content_type = head.content_type.as_deref().unwrap_or_default();
    if ImageType::check_content_type(content_type).is_err() {
        let message =
            format!("Content-Type: {:?} cannot be read: image/jpeg, image/png and image/webp can", shown(content_type));
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_TYPE", message));
    }
    Ok(Request { top: top.map(number).transpose()? })
}

/// The answer: `{"class", "confidence"}`, and with `top` as many classes in the same form, as Python writes them.
pub fn answer(request: Request, classes: &[String], probabilities: &[f32]) -> Answer {
    let ranked = most_probable(probabilities, request.top.unwrap_or(1));
    let members = |(class, probability): &(usize, f32)| {
        let class = Value::from(classes[*class].as_str());
        format!("\"class\": {class}, \"confidence\": {}", python::float(f64::from(*probability)))
    };
    let mut body = members(&ranked[0]);
    if request.top.is_some() {
        let each: Vec<String> = ranked.iter().map(|class| format!("{{{}}}", members(class))).collect();
        body.push_str(&format!(", \"top\": [{}]", each.join(", ")));
    }
    let body = format!("{{{body}}}").into_bytes();
    Answer { media_type: "application/json".to_owned(), custom_attributes: None, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &str, accept: &str) -> Result<Request, (u16, String)> {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let head = Head { content_type: some(content_type), accept: some(accept), custom_attributes: None };
        request(&head).map_err(|refusal| (refusal.status.as_u16(), refusal.code.into_owned()))
    }

    #[test]
    fn pictures_are_read_and_json_is_answered() {
        for content_type in ["image/jpeg", "image/png", "image/webp", ""] {
            assert_eq!(of(content_type, ""), Ok(Request { top: None }), "{content_type}");
        }
        for (accept, top) in [
            ("application/json", None),
            ("*/*", None),
            ("application/json; top=5", Some(5)),
            ("text/html, application/json;top=2;q=0.1", Some(2)),
        ] {
            assert_eq!(of("image/jpeg", accept), Ok(Request { top }), "{accept}");
        }
        for (content_type, accept, status, code) in [
            ("application/json", "", 415, "UNSUPPORTED_TYPE"),
            ("application/x-npy", "", 415, "UNSUPPORTED_TYPE"),
            ("image/jpeg", "text/csv", 406, "NOT_ACCEPTABLE"),
            ("image/jpeg", "application/json; top=0", 400, "BAD_PARAMETER"),
            ("image/jpeg", "application/json; top=many", 400, "BAD_PARAMETER"),
        ] {
            assert_eq!(of(content_type, accept), Err((status, code.to_owned())), "{content_type} {accept}");
        }
    }

    #[test]
    fn answers_have_the_originals_form() {
        let classes = ["Bengal", "a \"b\"", "pug"].map(str::to_owned);
        let text = |top| {
            let answer = answer(Request { top }, &classes, &[0.1, 0.25, 0.65]);
            String::from_utf8(answer.body).unwrap()
        };
        assert_eq!(text(None), r#"{"class": "pug", "confidence": 0.6499999761581421}"#);
        assert_eq!(
            text(Some(2)),
            r#"{"class": "pug", "confidence": 0.6499999761581421, "top": [{"class": "pug", "confidence": 0.6499999761581421}, {"class": "a \"b\"", "confidence": 0.25}]}"#
        );
        assert_eq!(text(Some(9)).matches("\"class\"").count(), 4);
        let improbable = answer(Request { top: None }, &classes, &[1e-5]);
        assert_eq!(improbable.body, br#"{"class": "Bengal", "confidence": 9.999999747378752e-06}"#);
    }
}
