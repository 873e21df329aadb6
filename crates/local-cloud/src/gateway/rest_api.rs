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
            match response.status() {
                StatusCode::NOT_FOUND => {
                    let body = json!({"message": format!("there is nothing at {asked:?}")});
                    Refusal { status: StatusCode::NOT_FOUND, body }.into_response()
                }
                _ => response,
            }
        }
        Err(refusal) => refusal.into_response(),
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
            if let Some(value) = parts.headers.get(&name) {
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
