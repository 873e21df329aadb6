//! Cross-origin requests, by the Fetch standard. Pages of this machine may call both APIs, from any port. Requests of other sites
//! are refused before they get here.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

/// Headers of every answer to another origin, beside the origin itself.
const ANSWER: [(HeaderName, &str); 2] =
    [(header::VARY, "origin"), (header::ACCESS_CONTROL_EXPOSE_HEADERS, "etag,content-range,retry-after")];
/// Headers of the answer to a preflight.
const PREFLIGHT: [(HeaderName, &str); 3] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET,PUT,POST,DELETE"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization,content-type,if-match,if-none-match,range"),
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
];

/// Answers preflights, and allows the requesting page to read the answer.
pub(crate) async fn allow(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let Some(origin) = headers.get(header::ORIGIN).cloned() else { return next.run(request).await };
    let preflight = request.method() == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response =
        if preflight { (StatusCode::NO_CONTENT, PREFLIGHT).into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    for (name, value) in ANSWER {
        headers.append(name, HeaderValue::from_static(value));
    }
    response
}
