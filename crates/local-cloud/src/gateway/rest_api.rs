//! The REST API: S3 proxy integrations, no function in the path.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::json;

use super::path::{Template, encoded};
use super::{Parameters, Refusal};
use crate::body::{self, BodyError};
use crate::s3::S3;
use crate::stack::S3Integration;

/// The headers of a read that S3 understands.
const READ_HEADERS: [HeaderName; 3] = [header::RANGE, header::IF_NONE_MATCH, header::IF_MATCH];

/// Answers a request from S3.
pub(super) async fn proxy(s3: &S3, route: &S3Integration, parameters: &Parameters, request: Request) -> Response {
    let asked = request.uri().path().to_owned();
    match integration_request(route, parameters, request).await {
        Ok(request) => {
            let response = s3.call_trusted(request).await;
            match error_message(response.status()) {
                // What S3 says of an error is XML, about bucket and key, which are nobody's business.
                Some(message) => {
                    let body = json!({"message": message.replace("{path}", &format!("{asked:?}"))});
                    Refusal { status: response.status(), body }.into_response()
                }
                None => response,
            }
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// What is said in place of an error of S3.
fn error_message(status: StatusCode) -> Option<&'static str> {
    Some(match status {
        StatusCode::NOT_FOUND => "there is nothing at {path}",
        StatusCode::PRECONDITION_FAILED => "what is at {path} is not what If-Match names",
        StatusCode::RANGE_NOT_SATISFIABLE => "what is at {path} has fewer bytes than the range begins with",
        StatusCode::SERVICE_UNAVAILABLE => "the storage is busy: try again in a second",
        status if status.is_client_error() => "the storage refused the request for {path}",
        status if status.is_server_error() => "the storage failed",
        _ => return None,
    })
}

/// Whether a `Range` is one that S3 heeds; any other it takes for none.
fn is_range(value: &HeaderValue) -> bool {
    let ends = value.to_str().ok().and_then(|text| text.trim().strip_prefix("bytes=")?.split_once('-'));
    let Some((first, last)) = ends else { return false };
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    match (number(first), number(last)) {
        (Some(first), Some(last)) => first <= last,
        (Some(_), None) => last.is_empty(),
        (None, Some(_)) => first.is_empty(),
        (None, None) => false,
    }
}

/// The request that S3 is to answer.
async fn integration_request(
    route: &S3Integration,
    parameters: &Parameters,
    request: Request,
) -> Result<Request, Refusal> {
    let (parts, body) = request.into_parts();
    if let Err(refusal) = (route.validate)(parameters).and_then(|()| check_media_type(route, &parts.headers)) {
        body::drain(body).await;
        return Err(refusal);
    }
    let key = Template::fill(&route.key, &parameters.path);
    let mut builder = http::Request::builder()
        .method(parts.method.clone())
        .uri(format!("/{}/{}", route.bucket, encoded(&key)))
        .header(header::HOST, "127.0.0.1");
    if parts.method != Method::PUT {
        for name in READ_HEADERS {
            let value = parts.headers.get(&name);
            if let Some(value) = value.filter(|value| name != header::RANGE || is_range(value)) {
                builder = builder.header(name, value);
            }
        }
        return builder.body(Body::empty()).map_err(|error| refusal(StatusCode::BAD_REQUEST, &error.to_string()));
    }
    if let Some(media_type) = parts.headers.get(header::CONTENT_TYPE) {
        builder = builder.header(header::CONTENT_TYPE, media_type);
    }
    for (parameter, name) in &route.metadata {
        if let Some(value) = parameters.query.get(parameter) {
            let value =
                HeaderValue::from_str(value).map_err(|error| refusal(StatusCode::BAD_REQUEST, &error.to_string()))?;
            builder = builder.header(format!("x-amz-meta-{name}"), value);
        }
    }
    let body = whole(route, &parts.headers, body).await?;
    builder
        .header(header::CONTENT_LENGTH, body.len())
        .body(Body::from(body))
        .map_err(|error| refusal(StatusCode::BAD_REQUEST, &error.to_string()))
}

/// API Gateway hands S3 a whole body, of a length known beforehand.
async fn whole(route: &S3Integration, headers: &http::HeaderMap, body: Body) -> Result<bytes::Bytes, Refusal> {
    let too_large = || {
        let message = format!("the body is larger than {} MB: upload it with a presigned URL", route.max_body >> 20);
        Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, body: json!({"code": "IMAGE_TOO_LARGE", "message": message}) }
    };
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > route.max_body) {
        body::drain(body).await;
        return Err(too_large());
    }
    let limit = usize::try_from(route.max_body).unwrap_or(usize::MAX);
    match body::collect(body, limit).await {
        Ok(body) => Ok(body),
        Err(BodyError::TooLarge(_)) => Err(too_large()),
        Err(error @ BodyError::Broken(_)) => Err(refusal(StatusCode::BAD_REQUEST, &error.to_string())),
    }
}

fn check_media_type(route: &S3Integration, headers: &http::HeaderMap) -> Result<(), Refusal> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if route.media_types.is_empty() || route.media_types.contains(&essence) {
        return Ok(());
    }
    let message = format!("the Content-Type {text:?} is not taken here: {} are", route.media_types.join(", "));
    let body = json!({"code": "UNSUPPORTED_IMAGE", "message": message});
    Err(Refusal { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, body })
}

fn refusal(status: StatusCode, message: &str) -> Refusal {
    Refusal { status, body: json!({"message": message}) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_heeded_as_s3_does() {
        for (range, heeded) in [
            ("bytes=0-99", true),
            ("bytes=5-", true),
            ("bytes=-5", true),
            ("bytes=9-5", false),
            ("bytes=0-1,3-4", false),
            ("bytes=-", false),
            ("bytes=+1-2", false),
            ("bytes=99999999999999999999-", false),
            ("lines=1-2", false),
            ("", false),
        ] {
            assert_eq!(is_range(&HeaderValue::from_str(range).unwrap()), heeded, "{range}");
        }
    }
}
