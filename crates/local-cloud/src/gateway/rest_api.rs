//! The REST API: S3 proxy integrations, without a function in between.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::json;

use super::authorizer::Caller;
use super::path::{Template, encoded};
use crate::body::{self, BodyError};
use crate::error::chain;
use crate::s3::S3;
use crate::stack::{Parameters, Refusal, S3Integration};

/// The headers of a read that are passed on to S3.
const READ_HEADERS: [HeaderName; 3] = [header::RANGE, header::IF_NONE_MATCH, header::IF_MATCH];

/// Answers a request with S3's answer.
pub(super) async fn proxy(
    s3: &S3,
    route: &S3Integration,
    parameters: &Parameters,
    caller: &Caller,
    request: Request,
) -> Response {
    let asked = request.uri().path().to_owned();
    match integration_request(route, parameters, caller, request).await {
        Ok(request) => {
            let response = s3.call_trusted(request).await;
            match error_message(response.status()) {
                // S3's own error is XML, and names the bucket and the key, which clients need not know.
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

/// The message that replaces S3's error.
fn error_message(status: StatusCode) -> Option<&'static str> {
    Some(match status {
        StatusCode::NOT_FOUND => "there is nothing at {path}",
        StatusCode::PRECONDITION_FAILED => "what is at {path} is not what If-Match names",
        StatusCode::RANGE_NOT_SATISFIABLE => "what is at {path} has fewer bytes than the range begins with",
        StatusCode::INSUFFICIENT_STORAGE => "the disk of the storage is full: delete something, or make room on it",
        StatusCode::SERVICE_UNAVAILABLE => "the storage is busy: try again in a second",
        status if status.is_client_error() => "the storage refused the request for {path}",
        status if status.is_server_error() => "the storage failed",
        _ => return None,
    })
}

/// Whether S3 would honour a `Range`. It ignores any other.
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

/// The request to S3.
async fn integration_request(
    route: &S3Integration,
    parameters: &Parameters,
    caller: &Caller,
    request: Request,
) -> Result<Request, Refusal> {
    let (parts, body) = request.into_parts();
    (route.validate)(parameters).and_then(|()| check_media_type(route, &parts.headers))?;
    // The caller comes first: a part of the path that looks like the caller's name is not replaced any more.
    let key = Template::fill(&caller.fill(&route.key), &parameters.path);
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
        return builder.body(Body::empty()).map_err(|error| bad_request(&error));
    }
    if let Some(media_type) = parts.headers.get(header::CONTENT_TYPE) {
        builder = builder.header(header::CONTENT_TYPE, media_type);
    }
    for (parameter, name) in &route.metadata {
        if let Some(value) = parameters.query.get(parameter) {
            let value = HeaderValue::from_str(value).map_err(|error| bad_request(&error))?;
            builder = builder.header(format!("x-amz-meta-{name}"), value);
        }
    }
    for (name, value) in &route.fixed_metadata {
        builder = builder.header(format!("x-amz-meta-{name}"), value);
    }
    if let Some(name) = &route.request_metadata {
        builder = builder.header(format!("x-amz-meta-{name}"), &caller.request);
    }
    let body = whole(route, &parts.headers, body).await?;
    builder.header(header::CONTENT_LENGTH, body.len()).body(Body::from(body)).map_err(|error| bad_request(&error))
}

/// The whole body: API Gateway collects it first, and sends S3 its length.
async fn whole(route: &S3Integration, headers: &http::HeaderMap, body: Body) -> Result<bytes::Bytes, Refusal> {
    let too_large = || {
        let message = format!("the body is larger than {} MB: upload it with a presigned URL", route.max_body >> 20);
        refusal(StatusCode::PAYLOAD_TOO_LARGE, route.max_body_code.as_deref(), &message)
    };
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > route.max_body) {
        return Err(too_large());
    }
    let limit = usize::try_from(route.max_body).unwrap_or(usize::MAX);
    match body::collect(body, limit).await {
        Ok(body) => Ok(body),
        Err(BodyError::TooLarge(_)) => Err(too_large()),
        Err(error @ BodyError::Broken(_)) => Err(bad_request(&error)),
    }
}

fn check_media_type(route: &S3Integration, headers: &http::HeaderMap) -> Result<(), Refusal> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    (route.check_media_type)(&String::from_utf8_lossy(value.as_bytes()))
}

fn bad_request(error: &dyn std::error::Error) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, None, &chain(error))
}

fn refusal(status: StatusCode, code: Option<&str>, message: &str) -> Refusal {
    let body = match code {
        Some(code) => json!({"code": code, "message": message}),
        None => json!({"message": message}),
    };
    Refusal { status, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_honoured_as_s3_does() {
        for (range, honoured) in [
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
            assert_eq!(is_range(&HeaderValue::from_str(range).unwrap()), honoured, "{range}");
        }
    }

    #[tokio::test]
    async fn the_stack_gives_the_codes_of_refusals() {
        let mut route = S3Integration {
            method: Method::PUT,
            path: "/photos/{id}".to_owned(),
            bucket: "photos".to_owned(),
            key: "{id}".to_owned(),
            metadata: Vec::new(),
            fixed_metadata: vec![("kind".to_owned(), "photo".to_owned())],
            request_metadata: Some("request".to_owned()),
            check_media_type: |media_type| match media_type {
                "image/png" => Ok(()),
                other => Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, Some("NOT_PNG"), other)),
            },
            max_body: 2,
            max_body_code: Some("LONG".to_owned()),
            validate: |_| Ok(()),
        };
        let refused = async |route: &S3Integration, media_type: &str| {
            let request = http::Request::put("/photos/a").header(header::CONTENT_TYPE, media_type);
            let request = request.body(Body::from("long")).unwrap();
            let refusal =
                integration_request(route, &Parameters::default(), &Caller::default(), request).await.unwrap_err();
            (refusal.status.as_u16(), refusal.body["code"].clone())
        };
        assert_eq!(refused(&route, "text/plain").await, (415, json!("NOT_PNG")));
        assert_eq!(refused(&route, "image/png").await, (413, json!("LONG")));
        route.max_body_code = None;
        assert_eq!(refused(&route, "image/png").await, (413, json!(null)));

        let put = http::Request::put("/photos/a").body(Body::from("x")).unwrap();
        let mut caller = Caller::default();
        "r-1".clone_into(&mut caller.request);
        let sent = integration_request(&route, &Parameters::default(), &caller, put).await.unwrap();
        assert_eq!(
            (&sent.headers()["x-amz-meta-kind"], &sent.headers()["x-amz-meta-request"]),
            (&"photo".parse().unwrap(), &"r-1".parse().unwrap())
        );
    }
}
