//! What a browser may do with the answers of this process, and what it may not ask for.

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Headers of every answer of S3. Anybody may store a page, with any media type or none, and the address of this process is an origin
/// that may do more than others. So stored bytes are shown as what they are called, in an origin of their own, without scripts.
const OF_STORED: [(HeaderName, HeaderValue); 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"),
    ),
];

/// Adds the headers of stored bytes to an answer.
pub(crate) fn sandboxed(mut response: Response) -> Response {
    for (name, value) in OF_STORED {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Whether a web page has sent a request, as far as the browser says. SDKs send none of these.
pub(crate) fn is_of_page(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site")
}

/// Whether a request only opens a document, as a click on a link does.
pub(crate) fn is_navigation(headers: &HeaderMap) -> bool {
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|found| found.as_bytes() == value.as_bytes());
    is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document")
}
