//! S3 as the AWS endpoint calls it: signatures, presigned URLs and host names. `s3s` parses the requests.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPIRES, HOST, HeaderValue, ORIGIN, RANGE,
    TRANSFER_ENCODING,
};
use http::{Method, StatusCode};
use s3s::auth::SimpleAuth;
use s3s::host::{S3Host, VirtualHost};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Error, S3Result, s3_error};

use super::aws_chunked::AwsChunked;
use super::checksums::Trailers;
use super::headers::Expires;
use super::members::refuse_passed_over;
use super::operations::Operations;
use super::store::ObjectStore;
use super::{cors, documents, messages, post, presigned};
use crate::ACCESS_KEY_ID;
use crate::aws_error::rest_xml_error;
use crate::browser::sandboxed;

#[derive(Clone)]
pub(crate) struct S3 {
    /// For unsigned requests, and those signed with the key whose secret is known.
    verified: S3Service,
    /// For requests whose signature was removed.
    trusted: S3Service,
    store: Arc<ObjectStore>,
    secret_access_key: Arc<str>,
}

impl S3 {
    pub(crate) fn new(store: &Arc<ObjectStore>, secret_access_key: &str) -> Self {
        let builder = || {
            let mut builder = S3ServiceBuilder::new(Operations(Arc::clone(store)));
            builder.set_host(Localhost);
            builder
        };
        let mut verified = builder();
        verified.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, secret_access_key));
        Self {
            verified: verified.build(),
            trusted: builder().build(),
            store: Arc::clone(store),
            secret_access_key: secret_access_key.into(),
        }
    }

    /// Answers a request of a client.
    pub(crate) async fn call(&self, request: Request, access_key: Option<&str>) -> Response {
        let (bucket, method) = (bucket(&request), request.method().clone());
        if method == Method::OPTIONS {
            return cors::preflight(&self.store, bucket.as_deref(), request.headers());
        }
        let origin = request.headers().get(ORIGIN).and_then(|origin| origin.to_str().ok()).map(str::to_owned);
        let mut response = messages::identified(self.answer_client(request, access_key).await).await;
        if let Some(origin) = origin {
            response.headers_mut().extend(cors::of_request(&self.store, bucket.as_deref(), &method, &origin));
        }
        response
    }

    async fn answer_client(&self, request: Request, access_key: Option<&str>) -> Response {
        if let Some(header) = presigned::unsigned_header(request.uri().query().unwrap_or_default(), request.headers()) {
            let error =
                s3_error!(AccessDenied, "There were headers present in the request which were not signed: {header}");
            return error_response(&error);
        }
        let checked = refuse_passed_over(request.headers())
            .and_then(|()| check_encryption_of_read(&request))
            .and_then(|()| check_length(&request));
        if let Err(error) = checked {
            return error_response(&error);
        }
        if request.method() == Method::POST
            && let Some(boundary) = post::boundary(request.headers())
        {
            return self.durable(self.post(request, boundary).await).await;
        }
        match access_key {
            Some(key) if key != ACCESS_KEY_ID => {
                let (method, uri) = (request.method(), request.uri());
                let is_valid = presigned::check(method, uri.query().unwrap_or_default());
                match is_valid.and_then(|()| presigned::method::check(method, uri, request.headers())) {
                    Ok(()) => self.call_trusted(without_signature(request)).await,
                    Err(error) => error_response(&error),
                }
            }
            _ => self.answer(&self.verified, request).await,
        }
    }

    /// Answers a request of the cloud itself, which carries no signature.
    pub(crate) async fn call_trusted(&self, request: Request) -> Response {
        self.answer(&self.trusted, lenient(request)).await
    }

    /// Answers a form.
    async fn post(&self, request: Request, boundary: String) -> Response {
        let Some(bucket) = bucket(&request).filter(|_| is_of_bucket(&request)) else {
            let error = s3_error!(MethodNotAllowed, "a form is posted to a bucket, not to {}", request.uri().path());
            return error_response(&error);
        };
        let answered = post::answer(&self.store, &self.secret_access_key, &bucket, boundary, request).await;
        answered.unwrap_or_else(|error| error_response(&error))
    }

    async fn answer(&self, service: &S3Service, request: Request) -> Response {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let response = match documents::verified(request).await {
            Ok(request) => answer(service, request).await,
            Err(error) => error_response(&error),
        };
        let response = sandboxed(response);
        if is_read { response } else { self.durable(response).await }
    }

    /// What is answered to a write, the disk has.
    async fn durable(&self, response: Response) -> Response {
        if !response.status().is_success() && !response.status().is_redirection() {
            return response;
        }
        match self.store.journal.durable().await {
            Ok(()) => response,
            Err(error) => {
                tracing::error!(%error, "the disk does not take the journal");
                rest_xml_error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "the disk does not take the data")
            }
        }
    }
}

/// The bucket that a request names in its host or its path.
fn bucket(request: &Request) -> Option<String> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if let Some(bucket) = bucket_of_host(host) {
        return Some(bucket.to_owned());
    }
    let first = request.uri().path().trim_start_matches('/').split('/').next()?;
    (!first.is_empty()).then(|| first.to_owned())
}

/// Whether a request is about a bucket, and not about an object.
fn is_of_bucket(request: &Request) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let path = request.uri().path().trim_matches('/');
    if bucket_of_host(host).is_some() { path.is_empty() } else { !path.contains('/') }
}

/// An object is decrypted as it was encrypted: a read says nothing about that, but for a key of the client.
fn check_encryption_of_read(request: &Request) -> S3Result {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let said = request.headers().keys().find(|name| name.as_str() == "x-amz-server-side-encryption");
    match said.filter(|_| is_read) {
        Some(name) => Err(s3_error!(InvalidArgument, "{name} header is not supported for this operation.")),
        None => Ok(()),
    }
}

/// Whether the body of an object or a part has a length. S3 takes HTTP's own chunks only around `aws-chunked`.
///
/// # Errors
/// `NotImplemented` or `MissingContentLength`.
fn check_length(request: &Request) -> S3Result {
    let headers = request.headers();
    let query = request.uri().query().unwrap_or_default();
    let is_document = documents::is_of_document(query);
    if request.method() != Method::PUT
        || is_of_bucket(request)
        || is_document
        || headers.contains_key("x-amz-copy-source")
    {
        return Ok(());
    }
    let is_streaming =
        headers.get("x-amz-content-sha256").is_some_and(|value| value.as_bytes().starts_with(b"STREAMING-"));
    let is_chunked = headers.contains_key(TRANSFER_ENCODING);
    match (is_streaming, is_chunked) {
        (true, _) if !headers.contains_key("x-amz-decoded-content-length") => {
            Err(s3_error!(MissingContentLength, "You must provide x-amz-decoded-content-length with a body in chunks."))
        }
        (false, true) => Err(s3_error!(
            NotImplemented,
            "A header you provided implies functionality that is not implemented: Transfer-Encoding. Content-Length would work"
        )),
        (false, false) if !headers.contains_key(CONTENT_LENGTH) => {
            Err(s3_error!(MissingContentLength, "You must provide the Content-Length HTTP header."))
        }
        _ => Ok(()),
    }
}

/// Removes headers that S3 passes over and `s3s` refuses: ranges that are no single one, and an `Expires` that is no date, which is
/// kept as text.
fn lenient(mut request: Request) -> Request {
    let headers = request.headers_mut();
    let is_single = |range: &HeaderValue| range.to_str().is_ok_and(|text| s3s::dto::Range::parse(text).is_ok());
    if headers.get(RANGE).is_some_and(|range| !is_single(range)) {
        headers.remove(RANGE);
    }
    if let Some(expires) = headers.remove(EXPIRES) {
        request.extensions_mut().insert(Expires(expires));
    }
    request
}

fn error_response(error: &S3Error) -> Response {
    let status = error.status_code().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    rest_xml_error(status, error.code().as_str(), &xml_text(error.message().unwrap_or_default()))
}

fn xml_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

async fn answer(service: &S3Service, request: Request) -> Response {
    match service.call(request.map(s3s::Body::http_body_unsync)).await {
        Ok(response) if response.status() == StatusCode::NOT_MODIFIED => {
            // s3s writes an error document, but a 304 has no body.
            let (mut parts, _) = response.into_parts();
            parts.headers.remove(CONTENT_TYPE);
            parts.headers.remove(CONTENT_LENGTH);
            Response::from_parts(parts, Body::empty())
        }
        Ok(response) => messages::complete(response.map(Body::new)).await,
        Err(error) => {
            tracing::error!(?error, "S3 cannot answer");
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// Removes the signature of a request, and the content coding that comes with it.
fn without_signature(mut request: Request) -> Request {
    let kept = presigned::without_signature(request.uri().query().unwrap_or_default());
    let path = request.uri().path();
    let target = if kept.is_empty() { path.to_owned() } else { format!("{path}?{kept}") };
    if let Ok(target) = target.parse() {
        *request.uri_mut() = target;
    }
    let headers = request.headers_mut();
    headers.remove(AUTHORIZATION);
    let content_sha256 = headers.remove("x-amz-content-sha256");
    if !content_sha256.is_some_and(|value| value.as_bytes().starts_with(b"STREAMING-")) {
        return request;
    }
    if let Some(length) = headers.remove("x-amz-decoded-content-length") {
        headers.insert(CONTENT_LENGTH, length);
    }
    let codings = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let others: Vec<&str> = codings.split(',').map(str::trim).filter(|coding| *coding != "aws-chunked").collect();
    match HeaderValue::from_str(&others.join(", ")) {
        Ok(others) if !others.is_empty() => _ = headers.insert(CONTENT_ENCODING, others),
        _ => _ = headers.remove(CONTENT_ENCODING),
    }
    let trailers = Trailers::default();
    request.extensions_mut().insert(trailers.clone());
    request.map(|body| Body::from_stream(AwsChunked::new(body.into_data_stream(), trailers)))
}

/// The bucket of a host, `{bucket}.localhost`, on any port.
fn bucket_of_host(host: &str) -> Option<&str> {
    host.rsplit_once(':').map_or(host, |(name, _)| name).strip_suffix(".localhost")
}

/// Hosts: `{bucket}.localhost` names a bucket, on any port.
struct Localhost;

impl S3Host for Localhost {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let domain = VirtualHost::new("localhost");
        Ok(match bucket_of_host(host) {
            Some(bucket) => domain.with_bucket(bucket),
            None => domain,
        })
    }
}
