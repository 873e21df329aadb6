//! Errors in the form of each of AWS's protocols: JSON, Query and REST-XML.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode};
use serde_json::json;

/// The XML namespace of SNS. Errors of other services that speak the Query protocol carry it too, since SDKs ignore it.
pub(crate) const QUERY_NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

/// An error in the JSON protocols.
pub(crate) fn json_error(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({"__type": code, "message": message, "Message": message});
    let mut response = (status, [("content-type", "application/json")], body.to_string()).into_response();
    if let Ok(code) = HeaderValue::from_str(code) {
        response.headers_mut().insert("x-amzn-errortype", code);
    }
    response
}

/// The answer of the JSON protocols to an operation that is not implemented.
pub(crate) fn not_implemented(operation: &str) -> Response {
    json_error(StatusCode::NOT_IMPLEMENTED, "NotImplemented", &not_implemented_message(operation))
}

/// An error in the Query protocol.
pub(crate) fn query_error(status: StatusCode, code: &str, message: &str) -> Response {
    let escaped = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{escaped}</Message></Error>");
    let body = format!("<ErrorResponse xmlns=\"{QUERY_NAMESPACE}\">{error}</ErrorResponse>");
    (status, [("content-type", "text/xml")], body).into_response()
}

/// The answer of the Query protocol to an operation that is not implemented.
pub(crate) fn query_not_implemented(operation: &str) -> Response {
    query_error(StatusCode::NOT_IMPLEMENTED, "NotImplemented", &not_implemented_message(operation))
}

/// An error in S3's protocol. `message` has no character that XML escapes.
pub(crate) fn rest_xml_error(status: StatusCode, code: &str, message: &str) -> Response {
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    (status, [("content-type", "application/xml")], body).into_response()
}

fn not_implemented_message(operation: &str) -> String {
    format!("{operation} is not implemented by the local cloud")
}
