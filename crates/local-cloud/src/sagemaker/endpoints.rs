//! Endpoints as the control plane sees them: what each is made of, and the states that it passes through.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::SageMaker;
use super::async_invocation::NOTICE_SUBJECT;
use super::configs::{self, AsyncInferenceConfig, EndpointConfig};
use super::control_plane::{changeable, existing, missing};
use super::listing::{Item, seconds};
use super::models::{self, Model};
use super::records::{self, Kind, Record};
use super::request::{ApiError, Members};

/// How many asynchronous invocations an instance gets at once where the configuration does not say.
const CONCURRENCY: u64 = 4;

/// By which SageMaker finds out whether it may publish.
const TEST_NOTICE: &str = r#"{"eventVersion":"1.0","eventSource":"aws:sagemaker","eventName":"TestNotification"}"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Status {
    Creating,
    Updating,
    InService,
    Deleting,
    Failed,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Updating => "Updating",
            Self::InService => "InService",
            Self::Deleting => "Deleting",
            Self::Failed => "Failed",
        }
    }
}

/// What an endpoint runs: a copy of its configuration and model, which may be deleted while it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Deployment {
    /// The name of its folder.
    pub(super) id: Uuid,
    pub(super) config: String,
    pub(super) variant: String,
    pub(super) image: String,
    /// `s3://bucket/key` of the model's archive.
    pub(super) model_data: Option<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) startup_timeout_seconds: u64,
    pub(super) asynchronous: Option<AsyncInferenceConfig>,
    /// Milliseconds since 1970.
    pub(super) started: i64,
}

impl Deployment {
    pub(super) fn new(config_name: &str, config: &EndpointConfig, model: &Model, now: i64) -> Self {
        let [variant] = &config.production_variants;
        let container = &model.primary_container;
        Self {
            id: Uuid::new_v4(),
            config: config_name.to_owned(),
            variant: variant.variant_name.clone(),
            image: container.image.clone(),
            model_data: container.model_data_url.clone(),
            environment: container.environment.clone(),
            startup_timeout_seconds: variant.startup_timeout_seconds(),
            asynchronous: config.async_inference_config.clone(),
            started: now,
        }
    }

    pub(super) fn startup_timeout(&self) -> Duration {
        Duration::from_secs(self.startup_timeout_seconds)
    }

    pub(super) fn concurrency(&self) -> usize {
        let client = self.asynchronous.as_ref().and_then(|config| config.client_config.as_ref());
        let most = client.map_or(CONCURRENCY, |client| client.max_concurrent_invocations_per_instance);
        usize::try_from(most).unwrap_or(usize::MAX)
    }
}

/// An endpoint. Its record says everything that a restart needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Endpoint {
    pub(super) status: Status,
    pub(super) failure_reason: Option<String>,
    /// What it runs, once it has run.
    pub(super) current: Option<Deployment>,
    /// What it is to run.
    pub(super) pending: Option<Deployment>,
}

impl Endpoint {
    /// What is on the way, or else what there is.
    fn shown(&self) -> Option<&Deployment> {
        self.current.as_ref().or(self.pending.as_ref())
    }

    pub(super) fn deployments(&self) -> impl Iterator<Item = &Deployment> {
        self.current.iter().chain(&self.pending)
    }
}

impl SageMaker {
    /// Answers at once; the work goes on in the background.
    pub(super) fn create_endpoint(self: &Arc<Self>, mut request: Members) -> Result<Value, ApiError> {
        let name = request.name("EndpointName")?;
        let config = request.name("EndpointConfigName")?;
        request.ignore(&["Tags"]);
        request.done()?;
        let now = self.journal.clock().now_millis();
        self.journal.write(|transaction| {
            let pending = deployment(transaction, &config, now)?;
            self.try_topics(transaction, &pending)?;
            let pending = Some(pending);
            let endpoint = Endpoint { status: Status::Creating, failure_reason: None, current: None, pending };
            match records::insert(transaction, Kind::Endpoint, &name, now, &endpoint)? {
                true => Ok(()),
                false => Err(existing(Kind::Endpoint, &name)),
            }
        })?;
        tracing::info!(target: "hop", service = "SageMaker", action = "CreateEndpoint", detail = %name);
        self.begin_deployment(&name);
        Ok(json!({"EndpointArn": Kind::Endpoint.arn(&name)}))
    }

    /// Answers at once; the work goes on in the background.
    pub(super) fn update_endpoint(self: &Arc<Self>, mut request: Members) -> Result<Value, ApiError> {
        let name = request.name("EndpointName")?;
        let config = request.name("EndpointConfigName")?;
        // One instance and one variant have nothing that could be retained or not.
        request.ignore(&["RetainAllVariantProperties", "ExcludeRetainedVariantProperties", "RetainDeploymentConfig"]);
        if request.take("DeploymentConfig").is_some() {
            return Err(
                request.unsupported("DeploymentConfig", "all traffic shifts at once when the new server is healthy")
            );
        }
        request.done()?;
        let now = self.journal.clock().now_millis();
        let name = self.journal.write(|transaction| {
            let mut record = get(transaction, &name)?;
            changeable(Kind::Endpoint, &record)?;
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
            self.try_topics(transaction, &pending)?;
            record.value.pending = Some(pending);
            record.value.status = Status::Updating;
            record.value.failure_reason = None;
            records::update(transaction, Kind::Endpoint, &name, now, &record.value)?;
            Ok(record.name)
        })?;
        tracing::info!(target: "hop", service = "SageMaker", action = "UpdateEndpoint", detail = %name);
        self.begin_deployment(&name);
        Ok(json!({"EndpointArn": Kind::Endpoint.arn(&name)}))
    }

    /// Publishes a notice that tells of nothing, as SageMaker does whenever an endpoint is made or changed.
    fn try_topics(&self, connection: &Connection, deployment: &Deployment) -> rusqlite::Result<()> {
        let config = deployment.asynchronous.as_ref();
        let Some(topics) = config.and_then(|config| config.output_config.notification_config.as_ref()) else {
            return Ok(());
        };
        for arn in topics.success_topic.iter().chain(&topics.error_topic) {
            let topic = arn.rsplit(':').next().unwrap_or_default();
            self.sns.publish(connection, topic, Some(NOTICE_SUBJECT), TEST_NOTICE)?;
        }
        Ok(())
    }

    /// Answers at once; the work goes on in the background.
    pub(super) fn delete_endpoint(self: &Arc<Self>, mut request: Members) -> Result<Value, ApiError> {
        let name = request.name("EndpointName")?;
        request.done()?;
        let now = self.journal.clock().now_millis();
        let name = self.journal.write(|transaction| {
            let mut record = get(transaction, &name)?;
            changeable(Kind::Endpoint, &record)?;
            if !matches!(record.value.status, Status::InService | Status::Failed) {
                return Err(in_progress(&Kind::Endpoint.arn(&name)));
            }
            record.value.status = Status::Deleting;
            records::update(transaction, Kind::Endpoint, &name, now, &record.value)?;
            Ok(record.name)
        })?;
        tracing::info!(target: "hop", service = "SageMaker", action = "DeleteEndpoint", detail = %name);
        self.begin_removal(&name);
        Ok(json!({}))
    }

    pub(super) fn describe_endpoint(&self, mut request: Members) -> Result<Value, ApiError> {
        let name = request.name("EndpointName")?;
        request.done()?;
        Ok(described(&self.journal.read(|connection| get(connection, &name))?))
    }

    pub(super) fn list_endpoints(&self, request: Members) -> Result<Value, ApiError> {
        self.list::<Endpoint>(Kind::Endpoint, "Endpoint", request, |record, summary| {
            let status = record.value.status.as_str();
            summary["EndpointStatus"] = json!(status);
            summary["LastModifiedTime"] = json!(seconds(record.modified));
            Item { status, ..record.item() }
        })
    }
}

/// The endpoint of this name.
fn get(connection: &Connection, name: &str) -> Result<Record<Endpoint>, ApiError> {
    records::get(connection, Kind::Endpoint, name)?.ok_or_else(|| missing(Kind::Endpoint, name))
}

/// A copy of what a configuration says now.
fn deployment(connection: &Connection, config: &str, now: i64) -> Result<Deployment, ApiError> {
    let config = configs::get(connection, config)?;
    let model = models::get(connection, &config.value.production_variants[0].model_name)?;
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
        shown["ProductionVariants"] = json!([{
            "VariantName": deployment.variant,
            "DeployedImages": images,
            "CurrentWeight": 1.0,
            "DesiredWeight": 1.0,
            "CurrentInstanceCount": 1,
            "DesiredInstanceCount": 1,
        }]);
        if let Some(pending) = &endpoint.pending {
            shown["PendingDeploymentSummary"] =
                json!({"EndpointConfigName": pending.config, "StartTime": seconds(pending.started)});
        }
    }
    shown
}
