//! The control plane: the operations on models, endpoint configurations, endpoints, jobs and tags, in the JSON 1.1 protocol.

mod endpoint_configs;
mod endpoints;
mod listing;
mod models;
mod request;
mod tags;
mod training_jobs;
mod training_request;
mod transform_jobs;
mod transform_request;
mod variant_capacities;

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use rusqlite::Connection;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::hosting::Hosting;
use super::jobs::{Training, Transform};
use super::records::{self, JobStatus, Kind, Record, Tag};
use crate::aws_error::{json_error, not_implemented};
use crate::body::collect;
use crate::error::chain;
use crate::journal::Journal;
use crate::sns::Sns;
use listing::{ENDPOINT_STATUSES, Item, Query, seconds};
use request::{ApiError, Members};

/// The largest request: far more than names and environments need.
const MAX_BODY: usize = 1024 * 1024;

pub(super) struct ControlPlane {
    journal: Arc<Journal>,
    sns: Sns,
    hosting: Arc<Hosting>,
    training: Arc<Training>,
    transform: Arc<Transform>,
}

type Operation = fn(&ControlPlane, Members) -> Result<Value, ApiError>;

/// The operation of a target, `SageMaker.{operation}`.
fn operation(target: &str) -> Option<Operation> {
    Some(match target.strip_prefix("SageMaker.")? {
        "CreateModel" => models::create,
        "DescribeModel" => models::describe,
        "ListModels" => models::list,
        "DeleteModel" => models::delete,
        "CreateEndpointConfig" => endpoint_configs::create,
        "DescribeEndpointConfig" => endpoint_configs::describe,
        "ListEndpointConfigs" => endpoint_configs::list,
        "DeleteEndpointConfig" => endpoint_configs::delete,
        "CreateEndpoint" => endpoints::create,
        "DescribeEndpoint" => endpoints::describe,
        "ListEndpoints" => endpoints::list,
        "UpdateEndpoint" => endpoints::update,
        "UpdateEndpointWeightsAndCapacities" => variant_capacities::update,
        "DeleteEndpoint" => endpoints::delete,
        "CreateTrainingJob" => training_jobs::create,
        "DescribeTrainingJob" => training_jobs::describe,
        "ListTrainingJobs" => training_jobs::list,
        "StopTrainingJob" => training_jobs::stop,
        "CreateTransformJob" => transform_jobs::create,
        "DescribeTransformJob" => transform_jobs::describe,
        "ListTransformJobs" => transform_jobs::list,
        "StopTransformJob" => transform_jobs::stop,
        "AddTags" => tags::add,
        "ListTags" => tags::list,
        "DeleteTags" => tags::delete,
        _ => return None,
    })
}

impl ControlPlane {
    pub(super) fn new(
        journal: Arc<Journal>,
        sns: Sns,
        hosting: Arc<Hosting>,
        (training, transform): (Arc<Training>, Arc<Transform>),
    ) -> Self {
        Self { journal, sns, hosting, training, transform }
    }

    /// Answers a request of this target.
    pub(super) async fn call(&self, target: &str, body: Body) -> Response {
        let Some(operation) = operation(target) else { return not_implemented(&format!("SageMaker: {target}")) };
        let body = match collect(body, MAX_BODY).await {
            Ok(body) => body,
            Err(error) => return json_error(StatusCode::BAD_REQUEST, "ValidationException", &chain(&error)),
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

    /// Writes a new record and its tags.
    fn create(&self, kind: Kind, name: &str, value: &impl Serialize, tags: &[Tag]) -> Result<(), ApiError> {
        let now = self.journal.clock().now_millis();
        self.journal.write(|transaction| {
            if !records::insert(transaction, kind, name, now, value)? {
                return Err(existing(kind, name));
            }
            Ok(records::tag(transaction, &kind.arn(name), tags)?)
        })
    }

    /// Deletes a record. Endpoints do not need their model and their configuration: a deployment is a copy of both.
    fn delete<T: DeserializeOwned>(&self, kind: Kind, name: &str) -> Result<Value, ApiError> {
        self.journal.write(|transaction| {
            let record: Record<T> = get(transaction, kind, name)?;
            check_changeable(kind, &record)?;
            records::delete(transaction, kind, name)?;
            Ok(json!({}))
        })
    }

    /// A page of `{members}s`, such as `Models`. `item` completes the summary, which has name, ARN and creation.
    fn list<T: DeserializeOwned>(
        &self,
        kind: Kind,
        members: &str,
        mut request: Members,
        item: impl Fn(&Record<T>, &mut Value) -> Item,
    ) -> Result<Value, ApiError> {
        let statuses: &[&str] = match kind {
            Kind::Endpoint => &ENDPOINT_STATUSES,
            Kind::TrainingJob | Kind::TransformJob => &JobStatus::ALL,
            Kind::Model | Kind::EndpointConfig => &[],
        };
        let query = Query::read(&mut request, statuses)?;
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

/// The record of this name, or the refusal of the name.
fn get<T: DeserializeOwned>(connection: &Connection, kind: Kind, name: &str) -> Result<Record<T>, ApiError> {
    records::get(connection, kind, name)?
        .ok_or_else(|| ApiError::validation(format!("Could not find {} \"{}\".", kind.noun(), kind.arn(name))))
}

fn existing(kind: Kind, name: &str) -> ApiError {
    ApiError::validation(format!("Cannot create already existing {} \"{}\".", kind.noun(), kind.arn(name)))
}

/// Refuses to change a record of the stack.
fn check_changeable<T>(kind: Kind, record: &Record<T>) -> Result<(), ApiError> {
    if !record.own {
        return Ok(());
    }
    let arn = kind.arn(&record.name);
    let noun = kind.noun();
    Err(ApiError::validation(format!(
        "The {noun} \"{arn}\" belongs to the local cloud's own stack and cannot be changed or deleted."
    )))
}

/// The members of a model or an endpoint configuration, with its time of creation.
fn described<T: Serialize>(record: &Record<T>) -> Value {
    let mut shown = json!(record.value);
    shown["CreationTime"] = json!(seconds(record.created));
    shown
}
