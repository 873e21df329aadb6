//! A web site: the stack's files, as CloudFront would serve them from a bucket.

use std::collections::BTreeMap;
use std::io::Write;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use serde_json::json;

use crate::digest::md5_hex;
use crate::stack::{Refusal, StaticFile};

/// A body and its ETag.
struct Variant {
    body: Bytes,
    tag: HeaderValue,
}

struct File {
    headers: HeaderMap,
    plain: Variant,
    /// Compressed, if that is smaller.
    gzip: Option<Variant>,
}

/// The files, by path.
pub(super) struct Site(BTreeMap<String, File>);

impl Site {
    pub(super) fn new(files: &[StaticFile]) -> Self {
        Self(files.iter().map(|file| (file.path.clone(), File::new(file))).collect())
    }

    /// The answer, if there is a file at the path.
    pub(super) fn answer(&self, request: &Request<Body>) -> Option<Response> {
        let file = self.0.get(request.uri().path())?;
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let message = format!("{} is not allowed at {:?}: GET would work", request.method(), request.uri().path());
            let refusal = Refusal { status: StatusCode::METHOD_NOT_ALLOWED, body: json!({"message": message}) };
            return Some(([(header::ALLOW, "GET, HEAD")], refusal).into_response());
        }
        Some(file.answer(request.headers()))
    }
}

impl File {
    fn new(file: &StaticFile) -> Self {
        let tag = md5_hex(&file.body);
        let variant =
            |body, tag: String| Variant { body, tag: HeaderValue::from_str(&tag).expect("a tag of hex digits") };
        let gzip = gzip(&file.body).filter(|gzip| gzip.len() < file.body.len());
        Self {
            headers: file.headers.clone(),
            gzip: gzip.map(|gzip| variant(gzip, format!("\"{tag}-gzip\""))),
            plain: variant(file.body.clone(), format!("\"{tag}\"")),
        }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let compressed = self.gzip.as_ref().filter(|_| accepts_gzip(asked));
        let Variant { body, tag } = compressed.unwrap_or(&self.plain);
        let mut headers = self.headers.clone();
        headers.insert(header::ETAG, tag.clone());
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        // Browsers revalidate each time, so an update shows at once. An unchanged file costs a 304.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if asked.get_all(header::IF_NONE_MATCH).iter().any(|known| matches(known, tag)) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        if compressed.is_some() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        (headers, body.clone()).into_response()
    }
}

fn gzip(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    codings.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let zero = |weight: &str| weight.strip_prefix("q=").is_some_and(|q| q.parse::<f32>() == Ok(0.0));
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")) && !parts.any(zero)
    })
}

/// Whether an `If-None-Match` names a tag, by weak comparison (RFC 9110, section 13.1.2).
fn matches(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else { return false };
    known.split(',').map(str::trim).any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        let file = |path: &str, body: &'static [u8]| StaticFile {
            path: path.to_owned(),
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))]),
            body: Bytes::from_static(body),
        };
        Site::new(&[file("/", &[b'a'; 500]), file("/short", b"x")])
    }

    fn get(path: &str, headers: &[(header::HeaderName, &str)]) -> Response {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        site().answer(&request.body(Body::empty()).unwrap()).unwrap()
    }

    fn header(response: &Response, name: header::HeaderName) -> &str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[tokio::test]
    async fn files_come_plain_or_compressed() {
        let plain = get("/", &[]);
        assert_eq!((plain.status(), header(&plain, header::CONTENT_ENCODING)), (StatusCode::OK, ""));
        let tag = header(&plain, header::ETAG).to_owned();
        let body = axum::body::to_bytes(plain.into_body(), 1000).await.unwrap();
        assert_eq!(body.as_ref(), [b'a'; 500]);

        let gzip = get("/", &[(header::ACCEPT_ENCODING, "br, gzip;q=0.8")]);
        assert_eq!(header(&gzip, header::CONTENT_ENCODING), "gzip");
        assert_eq!(header(&gzip, header::CONTENT_TYPE), "text/plain");
        assert_ne!(header(&gzip, header::ETAG), tag);
        let body = axum::body::to_bytes(gzip.into_body(), 1000).await.unwrap();
        let mut unpacked = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&body[..]), &mut unpacked).unwrap();
        assert_eq!(unpacked, "a".repeat(500));

        let refused = get("/", &[(header::ACCEPT_ENCODING, "gzip;q=0")]);
        assert_eq!(header(&refused, header::CONTENT_ENCODING), "");
        let short = get("/short", &[(header::ACCEPT_ENCODING, "gzip")]);
        assert_eq!(header(&short, header::CONTENT_ENCODING), "", "it would be longer");
    }

    #[test]
    fn a_cached_file_is_not_sent_again() {
        let tag = header(&get("/", &[]), header::ETAG).to_owned();
        for (known, status) in
            [(tag.as_str(), 304), ("*", 304), (&*format!("\"other\", W/{tag}"), 304), ("\"other\"", 200)]
        {
            assert_eq!(get("/", &[(header::IF_NONE_MATCH, known)]).status(), status, "{known}");
        }
    }

    #[test]
    fn other_paths_are_not_answered_and_other_methods_are_refused() {
        let request = |method: Method, path: &str| {
            site().answer(&Request::builder().method(method).uri(path).body(Body::empty()).unwrap())
        };
        assert!(request(Method::GET, "/items").is_none());
        assert_eq!(request(Method::HEAD, "/short").unwrap().status(), 200);
        let refused = request(Method::POST, "/").unwrap();
        assert_eq!((refused.status().as_u16(), header(&refused, header::ALLOW)), (405, "GET, HEAD"));
    }
}
