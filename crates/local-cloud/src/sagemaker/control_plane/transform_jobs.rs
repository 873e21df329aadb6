//! The operations on transform jobs. Creation and stopping answer at once, and go on in the background.

use serde_json::{Value, json};
use uuid::Uuid;

use super::listing::{Item, seconds};
use super::request::{ApiError, Members};
use super::{ControlPlane, transform_request};
use crate::sagemaker::records::{self, JobStatus, Kind, Model, Record, TransformJob};

const KIND: Kind = Kind::TransformJob;

pub(super) fn create(plane: &ControlPlane, request: Members) -> Result<Value, ApiError> {
    let transform_request::Read { name, model, spec, shown, tags } = transform_request::read(request)?;
    let now = plane.journal.clock().now_millis();
    plane.journal.write(|transaction| {
        let found = records::get::<Model>(transaction, Kind::Model, &model)?;
        let Some(found) = found else {
            return Err(ApiError::validation(format!("Could not find model \"{}\".", Kind::Model.arn(&model))));
        };
        let job = TransformJob {
            id: Uuid::new_v4(),
            shown,
            spec,
            containers: found.value.served(),
            status: JobStatus::InProgress,
            failure_reason: None,
            started: None,
            ended: None,
            parameters: None,
        };
        if !records::insert(transaction, KIND, &name, now, &job)? {
            return Err(ApiError::ResourceInUse(format!(
                "Job name must be unique within an AWS account and region, and a job with this name already exists ({})",
                KIND.arn(&name)
            )));
        }
        Ok(records::tag(transaction, &KIND.arn(&name), &tags)?)
    })?;
    tracing::info!(target: "hop", service = "SageMaker", action = "CreateTransformJob", detail = %name);
    plane.transform.begin(&name);
    Ok(json!({"TransformJobArn": KIND.arn(&name)}))
}

pub(super) fn describe(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let name = request.name("TransformJobName")?;
    request.done()?;
    let record = plane.journal.read(|connection| records::get(connection, KIND, &name))?;
    Ok(described(&record.ok_or_else(not_found)?))
}

pub(super) fn list(plane: &ControlPlane, request: Members) -> Result<Value, ApiError> {
    let mut answer = plane.list::<TransformJob>(KIND, "TransformJob", request, |record, summary| {
        let job = &record.value;
        summary["TransformJobStatus"] = json!(job.status.as_str());
        summary["LastModifiedTime"] = json!(seconds(record.modified));
        end(job, summary);
        Item::new(record, job.status.as_str())
    })?;
    let summaries = answer["TransformJobs"].take();
    let mut shown = json!({"TransformJobSummaries": summaries});
    if let Some(token) = answer.get("NextToken") {
        shown["NextToken"] = token.clone();
    }
    Ok(shown)
}

pub(super) fn stop(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let name = request.name("TransformJobName")?;
    request.done()?;
    let now = plane.journal.clock().now_millis();
    plane.journal.write(|transaction| {
        let mut record = records::get::<TransformJob>(transaction, KIND, &name)?.ok_or_else(not_found)?;
        let status = record.value.status;
        if status.is_final() {
            let status = status.as_str();
            let message = format!("The request was rejected because the transform job is in status {status}.");
            return Err(ApiError::validation(message));
        }
        record.value.status = JobStatus::Stopping;
        Ok(records::update(transaction, KIND, &name, now, &record.value)?)
    })?;
    tracing::info!(target: "hop", service = "SageMaker", action = "StopTransformJob", detail = %name);
    plane.transform.stop(&name);
    Ok(json!({}))
}

fn not_found() -> ApiError {
    ApiError::validation("Requested resource not found.")
}

fn described(record: &Record<TransformJob>) -> Value {
    let job = &record.value;
    let mut shown = job.shown.clone();
    shown["TransformJobName"] = json!(record.name);
    shown["TransformJobArn"] = json!(KIND.arn(&record.name));
    shown["TransformJobStatus"] = json!(job.status.as_str());
    shown["CreationTime"] = json!(seconds(record.created));
    if let Some(started) = job.started {
        shown["TransformStartTime"] = json!(seconds(started));
    }
    end(job, &mut shown);
    shown
}

/// Shows how a job ended, if it did.
fn end(job: &TransformJob, shown: &mut Value) {
    if let Some(ended) = job.ended {
        shown["TransformEndTime"] = json!(seconds(ended));
    }
    if let Some(reason) = &job.failure_reason {
        shown["FailureReason"] = json!(reason);
    }
}
