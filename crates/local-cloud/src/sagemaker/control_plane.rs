//! The control plane's protocol, JSON 1.1: which operation a request asks for, and what models, endpoint configurations and
//! endpoints have in common.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::SageMaker;
use super::listing::{Item, Query, seconds};
use super::records::{self, Kind, Record};
use super::request::{ApiError, Members};
use crate::aws_endpoint::{json_error, not_implemented};
use crate::body::collect;

/// The largest request: far more than names and environments need.
const MAX_BODY: usize = 1024 * 1024;

impl SageMaker {
    /// Answers `SageMaker.{operation}`.
    pub(super) async fn control(self: &Arc<Self>, target: &str, body: Body) -> Response {
        type Operation = fn(&Arc<SageMaker>, Members) -> Result<Value, ApiError>;
        let operation: Operation = match target.strip_prefix("SageMaker.") {
            Some("CreateModel") => |sagemaker, request| sagemaker.create_model(request),
            Some("DescribeModel") => |sagemaker, request| sagemaker.describe_model(request),
            Some("ListModels") => |sagemaker, request| sagemaker.list_models(request),
            Some("DeleteModel") => |sagemaker, request| sagemaker.delete_model(request),
            Some("CreateEndpointConfig") => |sagemaker, request| sagemaker.create_endpoint_config(request),
            Some("DescribeEndpointConfig") => |sagemaker, request| sagemaker.describe_endpoint_config(request),
            Some("ListEndpointConfigs") => |sagemaker, request| sagemaker.list_endpoint_configs(request),
            Some("DeleteEndpointConfig") => |sagemaker, request| sagemaker.delete_endpoint_config(request),
            Some("CreateEndpoint") => SageMaker::create_endpoint,
            Some("DescribeEndpoint") => |sagemaker, request| sagemaker.describe_endpoint(request),
            Some("ListEndpoints") => |sagemaker, request| sagemaker.list_endpoints(request),
            Some("UpdateEndpoint") => SageMaker::update_endpoint,
            Some("DeleteEndpoint") => SageMaker::delete_endpoint,
            _ => return not_implemented(&format!("SageMaker: {target}")),
        };
        let body = match collect(body, MAX_BODY).await {
            Ok(body) => body,
            Err(error) => return json_error(StatusCode::BAD_REQUEST, "ValidationException", &error.to_string()),
        };
        match Members::parse(&body).and_then(|request| operation(self, request)) {
            Ok(answer) => {
                tracing::debug!(target, "answered");
                (StatusCode::OK, [("content-type", "application/x-amz-json-1.1")], answer.to_string()).into_response()
            }
            Err(error) => {
                if let ApiError::Journal(source) = &error {
                    tracing::error!(target, error = %source, "the journal failed");
                }
                error.response()
            }
        }
    }

    pub(super) fn create(&self, kind: Kind, name: &str, value: &impl Serialize) -> Result<(), ApiError> {
        let now = self.journal.clock().now_millis();
        match self.journal.write(|transaction| records::insert(transaction, kind, name, now, value))? {
            true => Ok(()),
            false => Err(existing(kind, name)),
        }
    }

    /// Deletes what nothing else needs: an endpoint keeps what it was made of.
    pub(super) fn delete<T: DeserializeOwned>(&self, kind: Kind, name: &str) -> Result<Value, ApiError> {
        self.journal.write(|transaction| {
            let record: Record<T> = records::get(transaction, kind, name)?.ok_or_else(|| missing(kind, name))?;
            changeable(kind, &record)?;
            records::delete(transaction, kind, name)?;
            Ok(json!({}))
        })
    }

    /// A page of `{members}s`, such as `Models`; `item` adds what a summary has beside name, ARN and creation.
    pub(super) fn list<T: DeserializeOwned>(
        &self,
        kind: Kind,
        members: &str,
        mut request: Members,
        item: impl Fn(&Record<T>, &mut Value) -> Item,
    ) -> Result<Value, ApiError> {
        let query = Query::read(&mut request, kind == Kind::Endpoint)?;
        request.done()?;
        let all: Vec<Record<T>> = self.journal.read(|connection| records::all(connection, kind))?;
        let summaries = all.iter().map(|record| {
            let mut summary = json!({"CreationTime": seconds(record.created)});
            summary[format!("{members}Name")] = json!(record.name);
            summary[format!("{members}Arn")] = json!(kind.arn(&record.name));
            (item(record, &mut summary), summary)
        });
        let (page, token) = query.page(summaries.collect());
        let mut answer = json!({format!("{members}s"): page});
        if let Some(token) = token {
            answer["NextToken"] = json!(token);
        }
        Ok(answer)
    }
}

pub(super) fn missing(kind: Kind, name: &str) -> ApiError {
    ApiError::validation(format!("Could not find {} \"{}\".", kind.words(), kind.arn(name)))
}

pub(super) fn existing(kind: Kind, name: &str) -> ApiError {
    ApiError::validation(format!("Cannot create already existing {} \"{}\".", kind.words(), kind.arn(name)))
}

/// The stack's own are there as long as the stack is.
pub(super) fn changeable<T>(kind: Kind, record: &Record<T>) -> Result<(), ApiError> {
    if !record.own {
        return Ok(());
    }
    let arn = kind.arn(&record.name);
    let words = kind.words();
    Err(ApiError::validation(format!(
        "The {words} \"{arn}\" belongs to the local cloud's own stack and cannot be changed or deleted."
    )))
}
