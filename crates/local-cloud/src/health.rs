//! `GET /health` of the APIs' port: whether uploads would be taken and served.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::metrics::Measured;
use crate::services::Services;

/// 200, or 503 with the reasons. The endpoints that scripts have made do not count.
pub(crate) fn answer(services: &Services, measured: &Measured) -> Response {
    let mut reasons = Vec::new();
    let endpoints = services.sagemaker.health();
    for name in &measured.own {
        if !endpoints.iter().any(|(other, healthy)| other == name && *healthy) {
            reasons.push(format!("the endpoint {name} has no healthy model server"));
        }
    }
    if let Err(error) = measured.disk.check() {
        reasons.push(error.to_string());
    }
    if let Err(error) = services.journal.read(|connection| connection.query_row("SELECT 1", [], |_| Ok(()))) {
        reasons.push(format!("the journal cannot be read: {error}"));
    }
    answered(&reasons)
}

fn answered(reasons: &[String]) -> Response {
    let (status, body): (StatusCode, Value) = match reasons {
        [] => (StatusCode::OK, json!({"status": "healthy"})),
        reasons => (StatusCode::SERVICE_UNAVAILABLE, json!({"status": "unhealthy", "reasons": reasons})),
    };
    (status, axum::Json(body)).into_response()
}
