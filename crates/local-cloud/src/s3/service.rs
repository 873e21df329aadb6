//! S3 as the AWS endpoint calls it: signatures, presigned URLs and host names. `s3s` parses the requests.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use s3s::S3Result;
use s3s::auth::SimpleAuth;
use s3s::host::{S3Host, VirtualHost};
use s3s::service::{S3Service, S3ServiceBuilder};

use super::aws_chunked::AwsChunked;
use super::operations::Operations;
use super::presigned;
use super::store::ObjectStore;
use crate::ACCESS_KEY_ID;
use crate::aws_error::rest_xml_error;
use crate::browser::sandboxed;
use crate::journal::Journal;

#[derive(Clone)]
pub(crate) struct S3 {
    /// For unsigned requests, and those signed with the key whose secret is known.
    verified: S3Service,
    /// For requests whose signature was removed.
    trusted: S3Service,
    journal: Arc<Journal>,
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
        Self { verified: verified.build(), trusted: builder().build(), journal: Arc::clone(&store.journal) }
    }

    /// Answers a request of a client.
    pub(crate) async fn call(&self, request: Request, access_key: Option<&str>) -> Response {
        if let Some(header) = presigned::unsigned_header(request.uri().query().unwrap_or_default(), request.headers()) {
            return not_signed(header);
        }
        match access_key {
            Some(key) if key != ACCESS_KEY_ID => {
                if presigned::has_expired(request.uri().query().unwrap_or_default()) {
                    return expired();
                }
                self.call_trusted(without_signature(request)).await
            }
            _ => self.answer(&self.verified, request).await,
        }
    }

    /// Answers a request of the cloud itself, which carries no signature.
    pub(crate) async fn call_trusted(&self, request: Request) -> Response {
        self.answer(&self.trusted, request).await
    }

    /// What is answered to a write, the disk has.
    async fn answer(&self, service: &S3Service, request: Request) -> Response {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let response = sandboxed(answer(service, request).await);
        if is_read || !response.status().is_success() {
            return response;
        }
        match self.journal.durable().await {
            Ok(()) => response,
            Err(error) => {
                tracing::error!(%error, "the disk does not take the journal");
                rest_xml_error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "the disk does not take the data")
            }
        }
    }
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
        Ok(response) => response.map(Body::new),
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
    headers.remove("x-amz-trailer");
    let content_sha256 = headers.remove("x-amz-content-sha256");
    if !content_sha256.is_some_and(|value| value.as_bytes().starts_with(b"STREAMING-")) {
        return request;
    }
    if let Some(length) = headers.remove("x-amz-decoded-content-length") {
        headers.insert(CONTENT_LENGTH, length);
    }
    let codings = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let others: Vec<&str> = codings.split(',').map(str::trim).filter(|coding| *coding != "aws-chunked").collect();
    match HeaderValue::from_str(&others.join(",")) {
        Ok(others) if !others.is_empty() => _ = headers.insert(CONTENT_ENCODING, others),
        _ => _ = headers.remove(CONTENT_ENCODING),
    }
    request.map(|body| Body::from_stream(AwsChunked::new(body.into_data_stream())))
}

/// `header` has no character that XML escapes.
fn not_signed(header: &str) -> Response {
    let message = format!("There were headers present in the request which were not signed: {header}");
    rest_xml_error(StatusCode::FORBIDDEN, "AccessDenied", &message)
}

fn expired() -> Response {
    rest_xml_error(StatusCode::FORBIDDEN, "AccessDenied", "Request has expired")
}

/// Hosts: `{bucket}.localhost` names a bucket, on any port.
struct Localhost;

impl S3Host for Localhost {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let domain = VirtualHost::new("localhost");
        Ok(match name.strip_suffix(".localhost") {
            Some(bucket) => domain.with_bucket(bucket),
            None => domain,
        })
    }
}
