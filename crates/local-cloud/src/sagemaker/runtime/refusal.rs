//! Refusals of SageMaker Runtime.

use axum::response::Response;
use http::StatusCode;

use crate::ACCOUNT;
use crate::aws_error::json_error;

/// No endpoint of this name can be invoked.
pub(super) fn not_found(name: &str) -> Response {
    validation(&format!("Endpoint {name} of account {ACCOUNT} not found."))
}

pub(super) fn validation(message: &str) -> Response {
    json_error(StatusCode::BAD_REQUEST, "ValidationError", message)
}
