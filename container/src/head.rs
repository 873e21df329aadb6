//! The head of an invocation.

use axum::http::{HeaderMap, HeaderName, header};
use pipeline::invocation::CUSTOM_ATTRIBUTES_HEADER;

/// The headers of an invocation that a handler may read. Absent headers are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Accept`. A value that is not ASCII counts as absent.
    pub accept: Option<String>,
    /// `X-Amzn-SageMaker-Custom-Attributes`: `CustomAttributes` of `InvokeEndpoint`.
    pub custom_attributes: Option<String>,
}

impl Head {
    pub(crate) fn new(headers: &HeaderMap) -> Self {
        // What is not UTF-8 is still named in a refusal.
        let readable = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Self {
            content_type: headers.get(header::CONTENT_TYPE).map(readable),
            accept: text(headers, header::ACCEPT),
            custom_attributes: headers.get(CUSTOM_ATTRIBUTES_HEADER).map(readable),
        }
    }
}

/// The first value of a header, if it is ASCII.
pub(crate) fn text(headers: &HeaderMap, name: impl TryInto<HeaderName>) -> Option<String> {
    Some(headers.get(name.try_into().ok()?)?.to_str().ok()?.to_owned())
}
