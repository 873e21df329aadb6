//! The HTTP API: Lambda proxy integrations of payload format 2.0 (*Working with AWS Lambda proxy integrations for HTTP
//! APIs*, API Gateway Developer Guide).

use std::collections::BTreeMap;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::authorizer::Caller;
use super::path::Template;
use crate::ACCOUNT;
use crate::body::collect;
use crate::clock::now_millis;
use crate::error::chain;
use crate::journal::Journal;
use crate::lambda::MAX_PAYLOAD;
use crate::redaction;
use crate::services::Services;
use crate::stack::{HttpRoute, Parameters, Refusal};

/// How long API Gateway waits for a function.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionResponse {
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// Answers a request with the function's answer.
pub(super) async fn proxy(
    services: &Services,
    route: &HttpRoute,
    template: &Template,
    parameters: Parameters,
    caller: &Caller,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = match collect(body, MAX_PAYLOAD / 2).await {
        Ok(body) => body,
        Err(error) => return refuse(StatusCode::PAYLOAD_TOO_LARGE, &chain(&error)),
    };
    let deleted = match parts.method {
        Method::DELETE => route.redacts.as_ref().and_then(|name| parameters.path.get(name)).cloned(),
        _ => None,
    };
    let mut event = event(&parts, &caller.request, &format!("{} {template}", route.method), parameters, &body);
    if let Some(claims) = caller.claims() {
        event["requestContext"]["authorizer"] = json!({"jwt": {"claims": claims, "scopes": null}});
    }
    let invoked = services.lambda.invoke(&route.function, Bytes::from(event.to_string()));
    let response = match tokio::time::timeout(TIMEOUT, invoked).await {
        Ok(Some(outcome)) if !outcome.failed => respond(&outcome.payload).unwrap_or_else(|| {
            tracing::error!(function = route.function, "the function's answer cannot be read");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }),
        Ok(Some(outcome)) => {
            let error = String::from_utf8_lossy(&outcome.payload).into_owned();
            tracing::error!(function = route.function, error, "the function failed");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }
        Ok(None) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    };
    if let Some(value) = deleted
        && response.status() == StatusCode::NO_CONTENT
    {
        redact(&services.journal, &value);
    }
    response
}

fn redact(journal: &Journal, value: &str) {
    let now = journal.clock().now_millis();
    if let Err(error) = journal.write(|transaction| redaction::request(transaction, value, now)) {
        tracing::error!(%error, "the logs keep what was deleted");
    }
}

fn refuse(status: StatusCode, message: &str) -> Response {
    Refusal { status, body: json!({"message": message}) }.into_response()
}

fn event(parts: &http::request::Parts, request: &str, route_key: &str, parameters: Parameters, body: &Bytes) -> Value {
    let text = |name: &HeaderName| {
        let values: Vec<&str> = parts.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        values.join(",")
    };
    let headers: BTreeMap<&str, String> = parts.headers.keys().map(|name| (name.as_str(), text(name))).collect();
    let path = parts.uri.path();
    let mut event = json!({
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": headers.get("host"),
            "domainPrefix": "local",
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": headers.get("user-agent").cloned().unwrap_or_default(),
            },
            "requestId": request,
            "routeKey": route_key,
            "stage": "$default",
            "time": jiff::Timestamp::now().strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": now_millis(),
        },
        "headers": headers,
        "isBase64Encoded": false,
    });
    if !parameters.path.is_empty() {
        event["pathParameters"] = json!(parameters.path);
    }
    if !parameters.query.is_empty() {
        event["queryStringParameters"] = json!(parameters.query);
    }
    if !body.is_empty() {
        match std::str::from_utf8(body) {
            Ok(text) => event["body"] = json!(text),
            Err(_) => {
                event["body"] = json!(STANDARD.encode(body));
                event["isBase64Encoded"] = json!(true);
            }
        }
    }
    event
}

fn respond(payload: &[u8]) -> Option<Response> {
    let answer: FunctionResponse = serde_json::from_slice(payload).ok()?;
    let body = answer.body.unwrap_or_default();
    let body = if answer.is_base64_encoded { STANDARD.decode(body).ok()? } else { body.into_bytes() };
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        headers.insert(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?);
    }
    Some((StatusCode::from_u16(answer.status_code).ok()?, headers, body).into_response())
}
