//! The operations on endpoints. Creation, update and deletion answer at once, and go on in the background.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::listing::{Item, seconds};
use super::request::{ApiError, Members};
use super::variant_capacities::Retained;
use super::{ControlPlane, check_changeable, existing, get};
use crate::sagemaker::notice;
use crate::sagemaker::records::{
    self, DeployedVariant, Deployment, Endpoint, EndpointConfig, Kind, Model, Record, ServedContainer, Status, Variant,
};

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
    let retained = Retained::read(&mut request)?;
    // No deployment configuration is kept.
    request.ignore(&["RetainDeploymentConfig"]);
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
        let mut pending = deployment(transaction, &config, now)?;
        if let Some(current) = &record.value.current {
            retained.keep(current, &mut pending);
        }
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

/// A deployment of a configuration and its models, as they are now.
fn deployment(connection: &Connection, config: &str, now: i64) -> Result<Deployment, ApiError> {
    let config = get::<EndpointConfig>(connection, Kind::EndpointConfig, config)?;
    let model = |variant: &Variant| Ok(get::<Model>(connection, Kind::Model, &variant.model_name)?.value);
    let models = config.value.production_variants.iter().map(model).collect::<Result<Vec<_>, ApiError>>()?;
    Ok(Deployment::new(&config.name, &config.value, &models, now))
}

pub(super) fn in_progress(arn: &str) -> ApiError {
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
        let variants = deployment.variants.iter().map(|variant| described_variant(variant, deployment.started));
        shown["ProductionVariants"] = variants.collect();
        if let Some(pending) = &endpoint.pending {
            shown["PendingDeploymentSummary"] =
                json!({"EndpointConfigName": pending.config, "StartTime": seconds(pending.started)});
        }
    }
    shown
}

fn described_variant(variant: &DeployedVariant, started: i64) -> Value {
    let images = variant.containers.iter().map(|ServedContainer { image, .. }| {
        json!({"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": seconds(started)})
    });
    let (current, desired) = (variant.capacity, variant.wanted());
    let mut shown = json!({
        "VariantName": variant.name,
        "DeployedImages": images.collect::<Vec<_>>(),
        "CurrentWeight": current.weight,
        "DesiredWeight": desired.weight,
    });
    match &variant.serverless {
        Some(config) => {
            shown["CurrentServerlessConfig"] = json!(config);
            shown["DesiredServerlessConfig"] = json!(config);
        }
        None => {
            shown["CurrentInstanceCount"] = json!(current.instances);
            shown["DesiredInstanceCount"] = json!(desired.instances);
        }
    }
    shown
}
