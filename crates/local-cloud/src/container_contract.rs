//! What SageMaker asks of the answers of a container, beside their status.
//!
//! The same rules hold for `InvokeEndpointAsync` and `InvokeEndpoint` here, and for every program that checks a container against them.

use http::{HeaderMap, HeaderName, header};

/// The header of `CustomAttributes`, in requests and in answers.
pub const CUSTOM_ATTRIBUTES: HeaderName = HeaderName::from_static("x-amzn-sagemaker-custom-attributes");

/// The most characters of `CustomAttributes`.
pub const LONGEST_ATTRIBUTES: usize = 1024;

/// An asynchronous endpoint takes no answer whose headers have more bytes.
pub const MOST_HEADER_BYTES: usize = 4096;

/// Why SageMaker refuses an answer of a container. The first two messages are SageMaker's own, as users of its asynchronous endpoints
/// have seen them; the others follow from its API reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// The answer came in chunks, or its end was that of the connection.
    #[error("The response from container primary did not specify the required Content-Length header")]
    NoContentLength,
    /// The headers are longer than [`MOST_HEADER_BYTES`].
    #[error(
        "Response received from the primary container has headers with length greater than {MOST_HEADER_BYTES} bytes. Reduce the \
         length of your container's response headers and update your endpoint."
    )]
    LongHeaders,
    /// `X-Amzn-SageMaker-Custom-Attributes` is longer than [`LONGEST_ATTRIBUTES`].
    #[error("The CustomAttributes of the response have {0} characters: at most {LONGEST_ATTRIBUTES} are handed back")]
    LongAttributes(usize),
    /// `X-Amzn-SageMaker-Custom-Attributes` has other characters than visible ones of ASCII and spaces.
    #[error("The CustomAttributes of the response have characters that are not visible ASCII")]
    UnreadableAttributes,
}

/// The length that an answer says its body has, in bytes.
///
/// # Errors
/// [`ContractError::NoContentLength`]. A `Transfer-Encoding` has precedence over a `Content-Length` (RFC 9112, section 6.3).
pub fn content_length(headers: &HeaderMap) -> Result<u64, ContractError> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    length.filter(|_| !headers.contains_key(header::TRANSFER_ENCODING)).ok_or(ContractError::NoContentLength)
}

/// The bytes of the headers of an answer: of each its name, a colon, a space, its value and the end of the line.
///
/// # Errors
/// [`ContractError::LongHeaders`].
pub fn header_bytes(headers: &HeaderMap) -> Result<usize, ContractError> {
    let bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes <= MOST_HEADER_BYTES { Ok(bytes) } else { Err(ContractError::LongHeaders) }
}

/// The `CustomAttributes` that an answer hands back. `None` if it has none, or empty ones.
///
/// # Errors
/// They are too long, or not visible ASCII.
pub fn custom_attributes(headers: &HeaderMap) -> Result<Option<&str>, ContractError> {
    let Some(value) = headers.get(CUSTOM_ATTRIBUTES) else { return Ok(None) };
    let text = value.to_str().map_err(|_| ContractError::UnreadableAttributes)?;
    match text.len() {
        0 => Ok(None),
        1..=LONGEST_ATTRIBUTES => Ok(Some(text)),
        length => Err(ContractError::LongAttributes(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        of.iter()
            .map(|(name, value)| {
                let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
                (HeaderName::from_static(name), value)
            })
            .collect()
    }

    #[test]
    fn an_answer_has_its_length_and_short_headers() {
        assert_eq!(content_length(&headers(&[("content-length", "7")])), Ok(7));
        for bad in [&[][..], &[("content-length", "x")], &[("content-length", "7"), ("transfer-encoding", "chunked")]] {
            assert_eq!(content_length(&headers(bad)), Err(ContractError::NoContentLength), "{bad:?}");
        }
        let long = |length: usize| header_bytes(&headers(&[("a", &"x".repeat(length))]));
        assert_eq!(long(MOST_HEADER_BYTES - 5), Ok(MOST_HEADER_BYTES));
        assert_eq!(long(MOST_HEADER_BYTES - 4), Err(ContractError::LongHeaders));
    }

    #[test]
    fn attributes_are_short_and_visible() {
        let read = |text: &str| {
            custom_attributes(&headers(&[("x-amzn-sagemaker-custom-attributes", text)]))
                .map(|found| found.map(str::to_owned))
        };
        assert_eq!(custom_attributes(&HeaderMap::new()), Ok(None));
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("a b"), Ok(Some("a b".to_owned())));
        assert_eq!(read("é"), Err(ContractError::UnreadableAttributes));
        assert!(read(&"x".repeat(1024)).is_ok());
        assert_eq!(read(&"x".repeat(1025)), Err(ContractError::LongAttributes(1025)));
    }
}
