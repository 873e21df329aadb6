//! Documents in requests: their MD5 and checksums are compared before they are read.

use axum::body::Body;
use axum::extract::Request;
use http::{HeaderMap, Method};
use s3s::dto::ChecksumAlgorithm;
use s3s::{S3Result, s3_error};

use super::checksums::{Algorithm, BodyChecksum, Named, check_md5};
use crate::body::collect;
use crate::digest::md5_hex;

/// The largest document: that of a thousand keys to delete is smaller.
const MOST: usize = 20 << 20;

/// The queries that carry a document, for each method.
const OF_PUT: [&str; 4] = ["tagging", "cors", "lifecycle", "encryption"];
const OF_POST: [&str; 1] = ["delete"];

fn has_document(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    match *request.method() {
        Method::PUT => is_of_document(query),
        Method::POST => names_any(query, &OF_POST),
        _ => false,
    }
}

fn names_any(query: &str, known: &[&str]) -> bool {
    query.split('&').any(|pair| known.contains(&pair.split('=').next().unwrap_or_default()))
}

/// Whether the body of a PUT with this query is a document, and not an object.
pub(super) fn is_of_document(query: &str) -> bool {
    names_any(query, &OF_PUT)
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// A request whose document, if it has one, is as its headers say.
///
/// # Errors
/// `BadDigest`, or a header is malformed.
pub(super) async fn verified(request: Request) -> S3Result<Request> {
    if !has_document(&request) {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let named = Named::of(|name| text(headers, name));
    let declared = text(headers, "x-amz-sdk-checksum-algorithm").map(ChecksumAlgorithm::from);
    let mut checksum = BodyChecksum::of(headers, &parts.extensions, None, named, declared.as_ref(), None)?;
    let content_md5 = text(headers, "content-md5");
    let body =
        collect(body, MOST).await.map_err(|error| s3_error!(MalformedXML, "the document cannot be read: {error}"))?;
    checksum.update(&body);
    checksum.verify()?;
    check_md5(content_md5.as_deref(), &md5_hex(&body))?;
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// Checks what an input says of its document, which was [compared](verified) when it arrived.
pub(super) fn check_declared(algorithm: Option<&ChecksumAlgorithm>, content_md5: Option<&str>) -> S3Result {
    algorithm.map(|name| Algorithm::parse(name.as_str())).transpose()?;
    match content_md5 {
        Some("") => Err(s3_error!(InvalidDigest, "The Content-MD5 you specified was invalid.")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, query: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = http::Request::builder().method(method).uri(format!("/b?{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::from("hello")).unwrap()
    }

    #[tokio::test]
    async fn a_document_is_compared_with_its_headers() {
        for good in [&[][..], &[("content-md5", "XUFAKrxLKna5cZ2REBfFkg==")], &[("x-amz-checksum-crc32", "NhCmhg==")]] {
            assert!(verified(request("POST", "delete", good)).await.is_ok(), "{good:?}");
        }
        for bad in [
            &[("content-md5", "XUFAKrxLKna5cZ2REBfFkQ==")][..],
            &[("x-amz-checksum-crc32", "NhCmhw==")],
            &[("x-amz-sdk-checksum-algorithm", "CRC32")],
        ] {
            assert!(verified(request("PUT", "tagging=", bad)).await.is_err(), "{bad:?}");
            assert!(verified(request("PUT", "x-id=PutObject", bad)).await.is_ok(), "the body of an object");
        }
    }
}
