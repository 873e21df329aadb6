//! Answers of `s3s`, completed: errors have a message, and documents no character that XML readers refuse or change.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use uuid::Uuid;

use crate::body::collect;

/// The largest document that is looked at: a thousand keys of a thousand characters, each up to nine bytes long.
const MOST: usize = 32 << 20;

/// What S3 says with codes that `s3s` answers without a message.
fn message(code: &str) -> Option<&'static str> {
    Some(match code {
        "InvalidBucketName" => {
            "The specified bucket is not valid: 3 to 63 lower-case letters, digits, dots and hyphens would work."
        }
        "KeyTooLongError" => "Your key is too long: 1024 bytes would work.",
        "InvalidRange" => "The requested range is not satisfiable",
        "InvalidURI" => "Couldn't parse the specified URI.",
        "MalformedXML" => "The XML you provided was not well-formed or did not validate against our published schema",
        "MethodNotAllowed" => "The specified method is not allowed against this resource.",
        "MissingContentLength" => "You must provide the Content-Length HTTP header.",
        "MissingRequestBodyError" => "Request body is empty.",
        "PreconditionFailed" => "At least one of the pre-conditions you specified did not hold",
        "SignatureDoesNotMatch" => {
            "The request signature we calculated does not match the signature you provided. Check your key and signing method."
        }
        "NotSignedUp" => "The access key is not known here, and the request is not signed as others are.",
        "AccessDenied" => "Access Denied",
        _ => return None,
    })
}

/// Completes an answer of `s3s`.
pub(super) async fn complete(response: Response) -> Response {
    let is_document = response.headers().get(CONTENT_TYPE).is_some_and(|kind| {
        kind.as_bytes().starts_with(b"application/xml") || kind.as_bytes().starts_with(b"text/xml")
    });
    // An object may be XML too. It has an ETag, and no document has one.
    if !is_document || response.headers().contains_key(http::header::ETAG) {
        return response;
    }
    let is_error = !response.status().is_success();
    let (mut parts, body) = response.into_parts();
    let Ok(document) = collect(body, MOST).await else {
        parts.headers.remove(CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    };
    let document = if is_error { with_message(document) } else { document };
    let document = readable(unquoted(document));
    if parts.headers.contains_key(CONTENT_LENGTH) {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
    }
    Response::from_parts(parts, Body::from(document))
}

/// An answer with its id, in a header and in the document of an error.
pub(super) async fn identified(response: Response) -> Response {
    let id = Uuid::new_v4().simple().to_string()[..16].to_uppercase();
    let (mut parts, mut body) = response.into_parts();
    if let Ok(value) = HeaderValue::from_str(&id) {
        parts.headers.insert("x-amz-request-id", value);
    }
    let is_document = parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().ends_with(b"/xml"));
    if is_document && (parts.status.is_client_error() || parts.status.is_server_error()) {
        let document = collect(body, MOST).await.unwrap_or_default();
        let text =
            String::from_utf8_lossy(&document).replace("</Error>", &format!("<RequestId>{id}</RequestId></Error>"));
        if parts.headers.contains_key(CONTENT_LENGTH) {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
        }
        body = Body::from(text);
    }
    Response::from_parts(parts, body)
}

fn with_message(document: Bytes) -> Bytes {
    let text = String::from_utf8_lossy(&document);
    let code = text.split("<Code>").nth(1).and_then(|rest| rest.split("</Code>").next());
    match code.and_then(message) {
        Some(message) if !text.contains("<Message>") => {
            let message = format!("</Code><Message>{message}</Message>");
            Bytes::from(text.replacen("</Code>", &message, 1))
        }
        _ => document,
    }
}

/// The ETag of `GetObjectAttributes` is the only one without quotes.
fn unquoted(document: Bytes) -> Bytes {
    let start = String::from_utf8_lossy(&document[..document.len().min(256)]).into_owned();
    if !start.contains("<GetObjectAttributes") {
        return document;
    }
    let text = String::from_utf8_lossy(&document);
    let text = text.replace("&quot;</ETag>", "</ETag>").replace("<ETag>&quot;", "<ETag>");
    Bytes::from(text.replace("\"</ETag>", "</ETag>").replace("<ETag>\"", "<ETag>"))
}

/// Writes control characters, of which only keys have any, as references, as S3 does.
fn readable(document: Bytes) -> Bytes {
    let is_control = |byte: u8| byte < 0x20 && byte != b'\n' && byte != b'\t';
    if !document.iter().any(|byte| is_control(*byte)) {
        return document;
    }
    let mut written = Vec::with_capacity(document.len() + 64);
    for byte in document {
        if is_control(byte) {
            written.extend_from_slice(format!("&#x{byte:x};").as_bytes());
        } else {
            written.push(byte);
        }
    }
    Bytes::from(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_without_a_message_get_one() {
        let with = |text: &'static str| with_message(Bytes::from_static(text.as_bytes()));
        let completed = with("<Error><Code>InvalidRange</Code></Error>");
        assert_eq!(
            completed,
            "<Error><Code>InvalidRange</Code><Message>The requested range is not satisfiable</Message></Error>"
        );
        let own = "<Error><Code>InvalidRange</Code><Message>x</Message></Error>";
        assert_eq!(with(own), own);
        let unknown = "<Error><Code>Other</Code></Error>";
        assert_eq!(with(unknown), unknown);
    }

    #[test]
    fn control_characters_are_written_as_references() {
        assert_eq!(readable(Bytes::from_static(b"<Key>a\x01\rb\n</Key>")), "<Key>a&#x1;&#xd;b\n</Key>");
    }
}
