//! The one AWS endpoint: services are told apart by the signature's scope, as an SDK signs them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use serde_json::json;

use crate::cloud::Services;
use crate::s3::presigned;
use crate::sns;

/// What a signature says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    access_key: String,
    /// The signing name: `s3`, `dynamodb`, `sagemaker`, `sns`, `lambda`.
    service: String,
}

/// The credential scope of a request, `{key}/{date}/{region}/{service}/aws4_request`, from the `Authorization` header; or
/// the key of a presigned URL, which only S3 gives out.
fn scope(headers: &HeaderMap, uri: &Uri) -> Option<Scope> {
    let from_header = || {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let credential = value.split_once("Credential=")?.1;
        Some(credential.split([',', ' ']).next()?.to_owned())
    };
    let Some(credential) = from_header() else {
        let access_key = presigned::access_key(uri.query()?)?;
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
    let dispatched = async |request| dispatch(&services, scope.as_ref(), request).await;
    services.faults.around(service, request, dispatched).await
}

async fn dispatch(services: &Services, scope: Option<&Scope>, request: Request) -> Response {
    match scope.map(|scope| scope.service.as_str()) {
        Some("s3") => services.s3.call(request, scope.map(|scope| scope.access_key.as_str())).await,
        Some("dynamodb") => services.dynamodb.call(request).await,
        Some("sagemaker") => services.sagemaker.call(request).await,
        Some("lambda") => services.lambda.call(request).await,
        Some("sqs") => services.sqs.call(request).await,
        Some("sns") => services.sns.call(request).await,
        Some(other) => {
            let what = format!("the service {other:?}");
            let form = request
                .headers()
                .get(header::CONTENT_TYPE)
                .is_some_and(|value| value.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
            // Each protocol has its own form of an error.
            if form { sns::not_implemented(&what) } else { not_implemented(&what) }
        }
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

/// Refuses requests that a web page elsewhere could have made: those to a name that is not this machine's, by which a
/// page reaches the loopback interface as itself, and those that a browser says come from another site.
pub(crate) async fn refuse_foreign(request: Request, next: axum::middleware::Next) -> Response {
    match foreign(request.headers()) {
        None => next.run(request).await,
        Some(message) => (StatusCode::FORBIDDEN, axum::Json(json!({"message": message}))).into_response(),
    }
}

fn foreign(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text("host").unwrap_or_default();
    if !is_local(host) {
        return Some(format!("the host {host:?} is not served here: 127.0.0.1 and localhost are"));
    }
    let of_this_machine = |origin: &&str| origin.split_once("://").is_some_and(|(_, host)| is_local(host));
    match text("origin") {
        // To a browser, `localhost` and 127.0.0.1 are different sites.
        Some(origin) if of_this_machine(&origin) => None,
        Some(origin) => Some(format!("a page of {origin:?} has no business here")),
        None => (text("sec-fetch-site") == Some("cross-site"))
            .then(|| "a page of another site has no business here".to_owned()),
    }
}

/// Whether a host, with or without a port, can only be this machine.
fn is_local(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(name, _)| name);
    matches!(name, "127.0.0.1" | "[::1]" | "localhost") || name.ends_with(".localhost")
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
        let uri = Uri::from_static("/?X-Amz-Credential=AKID%2F20261121%2Fus-east-1%2Flambda%2Faws4_request");
        assert_eq!(scope(&HeaderMap::new(), &uri), None, "not signed");
        assert_eq!(scope(&HeaderMap::new(), &Uri::from_static("/")), None);
        let uri = Uri::from_static("/b/k?AWSAccessKeyId=AKID&Signature=0&Expires=9");
        let expected = Scope { access_key: "AKID".into(), service: "s3".into() };
        assert_eq!(scope(&HeaderMap::new(), &uri), Some(expected));
    }
}
