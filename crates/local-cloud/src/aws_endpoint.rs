//! The AWS endpoint, one for all services: the scope of a request's signature names the service.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri, header};

use crate::aws_error::{json_error, not_implemented, query_not_implemented};
use crate::browser::is_of_page;
use crate::s3::presigned;
use crate::services::Services;

/// The credential scope of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    access_key: String,
    /// The signing name: `s3`, `dynamodb`, `sagemaker`, `sns`, `lambda`, `logs`.
    service: String,
}

/// The credential scope of a request, `{key}/{date}/{region}/{service}/aws4_request`, from the `Authorization` header or from a
/// presigned URL, which only S3 gives out.
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

/// What is answered, the disk has. S3 sees to that itself, and DynamoDB has a database of its own.
async fn dispatch(services: &Services, scope: Option<&Scope>, request: Request) -> Response {
    let response = call(services, scope, request).await;
    let service = scope.map(|scope| scope.service.as_str());
    if matches!(service, None | Some("s3" | "dynamodb")) || !response.status().is_success() {
        return response;
    }
    match services.journal.durable().await {
        Ok(()) => response,
        Err(error) => {
            tracing::error!(%error, "the disk does not take the journal");
            json_error(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", "the disk does not take the data")
        }
    }
}

async fn call(services: &Services, scope: Option<&Scope>, request: Request) -> Response {
    // No other service has a use for a browser, and none of AWS's answers one. A page of this machine may be anybody's.
    if !matches!(scope.map(|scope| scope.service.as_str()), None | Some("s3")) && is_of_page(request.headers()) {
        let message = "requests of web pages are not answered here: an SDK outside of the browser would work";
        return json_error(StatusCode::FORBIDDEN, "AccessDeniedException", message);
    }
    match scope.map(|scope| scope.service.as_str()) {
        Some("s3") => services.s3.call(request, scope.map(|scope| scope.access_key.as_str())).await,
        Some("dynamodb") => services.dynamodb.call(request).await,
        Some("sagemaker") => services.sagemaker.call(request).await,
        Some("lambda") => services.lambda.call(request).await,
        Some("sqs") => services.sqs.call(request).await,
        Some("sns") => services.sns.call(request).await,
        Some("logs") => services.logs.call(request).await,
        Some("sts") => crate::sts::call(request).await,
        Some("iam") => crate::iam::call(request).await,
        Some(other) => {
            let service = format!("the service {other:?}");
            let is_query = request
                .headers()
                .get(header::CONTENT_TYPE)
                .is_some_and(|value| value.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
            // An SDK reads an error in the form of its service's protocol only.
            if is_query { query_not_implemented(&service) } else { not_implemented(&service) }
        }
        // Only S3 takes unsigned requests; it refuses them itself.
        None => services.s3.call(request, None).await,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

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
        assert_eq!(scope(&HeaderMap::new(), &uri), None, "it has no signature");
        assert_eq!(scope(&HeaderMap::new(), &Uri::from_static("/")), None);
        let uri = Uri::from_static("/b/k?AWSAccessKeyId=AKID&Signature=0&Expires=9");
        let expected = Scope { access_key: "AKID".into(), service: "s3".into() };
        assert_eq!(scope(&HeaderMap::new(), &uri), Some(expected));
    }
}
