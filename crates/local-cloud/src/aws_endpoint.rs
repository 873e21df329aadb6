//! The one AWS endpoint: services are told apart by the signature's scope, as an SDK signs them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use serde_json::json;

use crate::cloud::Services;
use crate::s3::presigned;

/// What a signature says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    access_key: String,
    /// The signing name: `s3`, `dynamodb`, `sagemaker`, `sns`, `lambda`.
    service: String,
}

/// The credential scope of a request, `{key}/{date}/{region}/{service}/aws4_request`, from the `Authorization` header or
/// a presigned URL.
fn scope(headers: &HeaderMap, uri: &Uri) -> Option<Scope> {
    let from_header = || {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let credential = value.split_once("Credential=")?.1;
        Some(credential.split([',', ' ']).next()?.to_owned())
    };
    let from_query = || {
        let pair = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("X-Amz-Credential="))?;
        Some(pair.replace("%2F", "/").replace("%2f", "/"))
    };
    let Some(credential) = from_header().or_else(from_query) else {
        // Signature version 2 names no service: only S3 still knows it.
        let access_key = presigned::access_key_v2(uri.query()?)?.to_owned();
        return Some(Scope { access_key, service: "s3".to_owned() });
    };
    let mut parts = credential.rsplit('/');
    let (_terminator, service) = (parts.next()?, parts.next()?);
    let (_region, _date) = (parts.next()?, parts.next()?);
    let access_key = credential.split('/').next()?;
    Some(Scope { access_key: access_key.to_owned(), service: service.to_owned() })
}

/// Answers any request to the endpoint.
pub(crate) async fn answer(State(services): State<Arc<Services>>, request: Request) -> Response {
    let scope = scope(request.headers(), request.uri());
    let service = scope.as_ref().map(|scope| scope.service.as_str());
    tracing::debug!(method = %request.method(), path = request.uri().path(), service, "request");
    match service {
        Some("s3") => services.s3.call(request, scope.as_ref().map(|scope| scope.access_key.as_str())).await,
        Some("dynamodb") => services.dynamodb.call(request).await,
        Some("sagemaker") => services.sagemaker.call(request).await,
        Some("lambda") => services.lambda.call(request).await,
        Some("sns") => services.sns.call(request).await,
        Some(other) => not_implemented(&format!("the service {other:?}")),
        // An unsigned request can only be for S3, which refuses it in its own words.
        None => services.s3.call(request, None).await,
    }
}

/// The answer to anything there is no implementation of.
pub(crate) fn not_implemented(what: &str) -> Response {
    let message = format!("{what} is not implemented by the local cloud");
    json_error(StatusCode::NOT_IMPLEMENTED, "NotImplemented", &message)
}

/// An error in AWS's JSON protocols.
pub(crate) fn json_error(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({"__type": code, "message": message, "Message": message});
    let error_type = [(HeaderName::from_static("x-amzn-errortype"), HeaderValue::from_str(code).ok())];
    let mut response = (status, [("content-type", "application/json")], body.to_string()).into_response();
    for (name, value) in error_type {
        value.into_iter().for_each(|value| _ = response.headers_mut().insert(name.clone(), value));
    }
    response
}

/// Passes a request on to another server and its answer back.
pub(crate) async fn forward(client: &reqwest::Client, base: &str, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut headers = parts.headers;
    for hop in [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING, header::EXPECT] {
        headers.remove(hop);
    }
    let body = reqwest::Body::wrap_stream(body.into_data_stream());
    let sent = client.request(parts.method, format!("{base}{target}")).headers(headers).body(body).send().await;
    match sent {
        Ok(answer) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = answer.status();
            *response.headers_mut() = answer.headers().clone();
            response.headers_mut().remove(header::TRANSFER_ENCODING);
            *response.body_mut() = Body::from_stream(answer.bytes_stream());
            response
        }
        Err(error) => {
            tracing::error!(base, %error, "a request cannot be passed on");
            json_error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", &error.to_string())
        }
    }
}

/// Refuses requests whose `Host` is not this machine: a web page elsewhere could otherwise reach the loopback interface
/// under a name of its own.
pub(crate) async fn refuse_foreign_hosts(request: Request, next: axum::middleware::Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(name, _)| name);
    let local = matches!(name, "127.0.0.1" | "[::1]" | "localhost") || name.ends_with(".localhost");
    if local {
        return next.run(request).await;
    }
    let message = format!("the host {name:?} is not served here: 127.0.0.1 and localhost are");
    (StatusCode::MISDIRECTED_REQUEST, axum::Json(json!({"message": message}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_headers_and_presigned_urls() {
        let mut headers = HeaderMap::new();
        let value = "AWS4-HMAC-SHA256 Credential=AKID/20261121/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0";
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
        let expected = Scope { access_key: "AKID".into(), service: "dynamodb".into() };
        assert_eq!(scope(&headers, &Uri::from_static("/")), Some(expected));

        let uri =
            Uri::from_static("/b/k?X-Amz-Credential=AKID%2F20261121%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Signature=0");
        let expected = Scope { access_key: "AKID".into(), service: "s3".into() };
        assert_eq!(scope(&HeaderMap::new(), &uri), Some(expected));
        assert_eq!(scope(&HeaderMap::new(), &Uri::from_static("/b/k?X-Amz-Credential=AKID")), None);
        assert_eq!(scope(&HeaderMap::new(), &Uri::from_static("/")), None);
        let uri = Uri::from_static("/b/k?AWSAccessKeyId=AKID&Signature=0&Expires=9");
        let expected = Scope { access_key: "AKID".into(), service: "s3".into() };
        assert_eq!(scope(&HeaderMap::new(), &uri), Some(expected));
    }
}
