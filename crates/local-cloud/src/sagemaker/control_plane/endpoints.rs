//! The operations on endpoints. Creation, update and deletion answer at once, and go on in the background.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::listing::{Item, seconds};
use super::request::{ApiError, Members};
use super::{ControlPlane, check_changeable, existing, get};
use crate::sagemaker::notice;
use crate::sagemaker::records::{self, Deployment, Endpoint, EndpointConfig, Kind, Model, Record, Status};

pub(super) fn create(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let name = request.name("EndpointName")?;
    let config = request.name("EndpointConfigName")?;
    let tags = request.tags("Tags")?;
    request.done()?;
    let now = plane.journal.clock().now_millis();
    plane.journal.write(|transaction| {
        let pending = deployment(transaction, &config, now)?;
        test_topics(plane, transaction, &pending)?;
        let pending = Some(pending);
        let endpoint = Endpoint { status: Status::Creating, failure_reason: None, current: None, pending };
        match records::insert(transaction, Kind::Endpoint, &name, now, &endpoint)? {
            true => Ok(records::tag(transaction, &Kind::Endpoint.arn(&name), &tags)?),
            false => Err(existing(Kind::Endpoint, &name)),
        }
    })?;
    tracing::info!(target: "hop", service = "SageMaker", action = "CreateEndpoint", detail = %name);
    plane.hosting.begin_deployment(&name);
    Ok(json!({"EndpointArn": Kind::Endpoint.arn(&name)}))
}

pub(super) fn update(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let name = request.name("EndpointName")?;
    let config = request.name("EndpointConfigName")?;
    // They choose what an update retains. With one instance and one variant there is no choice.
    request.ignore(&["RetainAllVariantProperties", "ExcludeRetainedVariantProperties", "RetainDeploymentConfig"]);
    if request.take("DeploymentConfig").is_some() {
        return Err(
            request.unsupported("DeploymentConfig", "all traffic shifts at once when the new server is healthy")
        );
    }
    request.done()?;
    let now = plane.journal.clock().now_millis();
    let name = plane.journal.write(|transaction| {
        let mut record = get::<Endpoint>(transaction, Kind::Endpoint, &name)?;
        check_changeable(Kind::Endpoint, &record)?;
        let arn = Kind::Endpoint.arn(&name);
        match record.value.status {
            Status::InService => {}
            Status::Failed => {
                let message = format!("Cannot update failed endpoint \"{arn}\": delete it and create it again.");
                return Err(ApiError::validation(message));
            }
            _ => return Err(in_progress(&arn)),
        }
        let pending = deployment(transaction, &config, now)?;
        test_topics(plane, transaction, &pending)?;
        record.value.pending = Some(pending);
        record.value.status = Status::Updating;
        record.value.failure_reason = None;
        records::update(transaction, Kind::Endpoint, &name, now, &record.value)?;
        Ok(record.name)
    })?;
    tracing::info!(target: "hop", service = "SageMaker", action = "UpdateEndpoint", detail = %name);
    plane.hosting.begin_deployment(&name);
    Ok(json!({"EndpointArn": Kind::Endpoint.arn(&name)}))
}

pub(super) fn delete(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let name = request.name("EndpointName")?;
    request.done()?;
    let now = plane.journal.clock().now_millis();
    let name = plane.journal.write(|transaction| {
        let mut record = get::<Endpoint>(transaction, Kind::Endpoint, &name)?;
        check_changeable(Kind::Endpoint, &record)?;
        if !matches!(record.value.status, Status::InService | Status::Failed) {
            return Err(in_progress(&Kind::Endpoint.arn(&name)));
        }
        record.value.status = Status::Deleting;
        records::update(transaction, Kind::Endpoint, &name, now, &record.value)?;
        Ok(record.name)
    })?;
    tracing::info!(target: "hop", service = "SageMaker", action = "DeleteEndpoint", detail = %name);
    plane.hosting.begin_removal(&name);
    Ok(json!({}))
}

pub(super) fn describe(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let name = request.name("EndpointName")?;
    request.done()?;
    Ok(described(&plane.journal.read(|connection| get(connection, Kind::Endpoint, &name))?))
}

pub(super) fn list(plane: &ControlPlane, request: Members) -> Result<Value, ApiError> {
    plane.list::<Endpoint>(Kind::Endpoint, "Endpoint", request, |record, summary| {
        let status = record.value.status.as_str();
        summary["EndpointStatus"] = json!(status);
        summary["LastModifiedTime"] = json!(seconds(record.modified));
        Item::new(record, status)
    })
}

/// Publishes a test notice to the topics, as SageMaker does when an endpoint is created or updated.
fn test_topics(plane: &ControlPlane, connection: &Connection, deployment: &Deployment) -> rusqlite::Result<()> {
    let config = deployment.asynchronous.as_ref();
    let Some(topics) = config.and_then(|config| config.output_config.notification_config.as_ref()) else {
        return Ok(());
    };
    for arn in topics.success_topic.iter().chain(&topics.error_topic) {
        notice::publish(&plane.sns, connection, arn, notice::TEST)?;
    }
    Ok(())
}

/// A deployment of a configuration and its model, as they are now.
fn deployment(connection: &Connection, config: &str, now: i64) -> Result<Deployment, ApiError> {
    let config = get::<EndpointConfig>(connection, Kind::EndpointConfig, config)?;
    let model = get::<Model>(connection, Kind::Model, &config.value.production_variants[0].model_name)?;
    Ok(Deployment::new(&config.name, &config.value, &model.value, now))
}

fn in_progress(arn: &str) -> ApiError {
    ApiError::validation(format!("Cannot update in-progress endpoint \"{arn}\"."))
}

fn described(record: &Record<Endpoint>) -> Value {
    let endpoint = &record.value;
    let mut shown = json!({
        "EndpointName": record.name,
        "EndpointArn": Kind::Endpoint.arn(&record.name),
        "EndpointStatus": endpoint.status.as_str(),
        "CreationTime": seconds(record.created),
        "LastModifiedTime": seconds(record.modified),
    });
    if let Some(deployment) = endpoint.shown() {
        shown["EndpointConfigName"] = json!(deployment.config);
        if let Some(config) = &deployment.asynchronous {
            shown["AsyncInferenceConfig"] = json!(config);
        }
    }
    if let Some(reason) = &endpoint.failure_reason {
        shown["FailureReason"] = json!(reason);
    }
    if let Some(deployment) = &endpoint.current {
        let image = &deployment.image;
        let resolved = seconds(deployment.started);
        let images = json!([{"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": resolved}]);
        let mut variant = json!({
            "VariantName": deployment.variant,
            "DeployedImages": images,
            "CurrentWeight": 1.0,
            "DesiredWeight": 1.0,
        });
        match &deployment.serverless {
            Some(config) => {
                variant["CurrentServerlessConfig"] = json!(config);
                variant["DesiredServerlessConfig"] = json!(config);
            }
            None => {
                variant["CurrentInstanceCount"] = json!(deployment.instances);
                variant["DesiredInstanceCount"] = json!(deployment.instances);
            }
        }
        shown["ProductionVariants"] = json!([variant]);
        if let Some(pending) = &endpoint.pending {
            shown["PendingDeploymentSummary"] =
                json!({"EndpointConfigName": pending.config, "StartTime": seconds(pending.started)});
        }
    }
    shown
}
