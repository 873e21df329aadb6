//! The operations on training jobs. Creation and stopping answer at once, and go on in the background.

use serde_json::{Value, json};

use super::ControlPlane;
use super::listing::{Item, seconds};
use super::request::{ApiError, Members};
use super::training_request;
use crate::error::chain;
use crate::sagemaker::records::{self, JobStatus, Kind, Record, Secondary, TrainingJob};
use crate::{REGION, s3};

const KIND: Kind = Kind::TrainingJob;

pub(super) fn create(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let tags = request.tags("Tags")?;
    let (name, spec, shown) = training_request::read(request)?;
    for channel in &spec.channels {
        let has_objects = plane.training.has_objects(&channel.uri);
        if !has_objects.map_err(|error| ApiError::validation(chain(&error)))? {
            return Err(no_objects(&channel.uri, &shown));
        }
    }
    let now = plane.journal.clock().now_millis();
    let job = TrainingJob::new(spec, shown, now);
    let is_new = plane.journal.write(|transaction| {
        let is_new = records::insert(transaction, KIND, &name, now, &job)?;
        if is_new {
            records::tag(transaction, &KIND.arn(&name), &tags)?;
        }
        Ok::<_, ApiError>(is_new)
    })?;
    if !is_new {
        return Err(ApiError::ResourceInUse(format!(
            "Training job names must be unique within an AWS account and region, and a training job with this name already \
             exists ({})",
            KIND.arn(&name)
        )));
    }
    tracing::info!(target: "hop", service = "SageMaker", action = "CreateTrainingJob", detail = %name);
    plane.training.begin(&name);
    Ok(json!({"TrainingJobArn": KIND.arn(&name)}))
}

pub(super) fn describe(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let name = request.name("TrainingJobName")?;
    request.done()?;
    let record = plane.journal.read(|connection| records::get(connection, KIND, &name))?;
    Ok(described(&record.ok_or_else(not_found)?))
}

pub(super) fn list(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    request.default("SortOrder", "Ascending");
    request.ignore(&["WarmPoolStatusEquals", "TrainingPlanArnEquals"]);
    let mut answer = plane.list::<TrainingJob>(KIND, "TrainingJob", request, |record, summary| {
        let job = &record.value;
        summary["TrainingJobStatus"] = json!(job.status.as_str());
        summary["SecondaryStatus"] = json!(job.secondary());
        summary["LastModifiedTime"] = json!(seconds(record.modified));
        if let Some(ended) = job.ended {
            summary["TrainingEndTime"] = json!(seconds(ended));
        }
        Item::new(record, job.status.as_str())
    })?;
    let summaries = answer["TrainingJobs"].take();
    let mut shown = json!({"TrainingJobSummaries": summaries});
    if let Some(token) = answer.get("NextToken") {
        shown["NextToken"] = token.clone();
    }
    Ok(shown)
}

pub(super) fn stop(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let name = request.name("TrainingJobName")?;
    request.done()?;
    let now = plane.journal.clock().now_millis();
    let name = plane.journal.write(|transaction| {
        let record: Option<Record<TrainingJob>> = records::get(transaction, KIND, &name)?;
        let mut record = record.ok_or_else(not_found)?;
        match record.value.status {
            JobStatus::Stopping => {}
            JobStatus::InProgress => {
                record.value.status = JobStatus::Stopping;
                record.value.advance(Secondary::Stopping, now);
                records::update(transaction, KIND, &name, now, &record.value)?;
            }
            ended => {
                let status = ended.as_str();
                return Err(ApiError::validation(format!(
                    "The request was rejected because the training job is in status {status}."
                )));
            }
        }
        Ok(record.name)
    })?;
    tracing::info!(target: "hop", service = "SageMaker", action = "StopTrainingJob", detail = %name);
    plane.training.stop(&name);
    Ok(json!({}))
}

fn not_found() -> ApiError {
    ApiError::validation("Requested resource not found.")
}

fn no_objects(uri: &str, request: &Value) -> ApiError {
    let (bucket, _) = s3::split_prefix(uri);
    let role = request["RoleArn"].as_str().unwrap_or_default();
    ApiError::validation(format!(
        "No S3 objects found under S3 URL \"{uri}\" given in input data source. Please ensure that the bucket exists in the \
         selected region ({REGION}), that objects exist under that S3 prefix, and that the role \"{role}\" has \"s3:ListBucket\" \
         permissions on bucket \"{bucket}\"."
    ))
}

/// The description of a job.
fn described(record: &Record<TrainingJob>) -> Value {
    let job = &record.value;
    let mut shown = job.described(&record.name);
    shown["CreationTime"] = json!(seconds(record.created));
    shown["LastModifiedTime"] = json!(seconds(record.modified));
    shown
}
