//! The record of an endpoint: its status and its deployments.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::endpoint_config::{AsyncInferenceConfig, EndpointConfig, ServerlessConfig};
use super::model::Model;

/// The default number of concurrent asynchronous invocations of an instance.
const CONCURRENCY: u64 = 4;

/// The most concurrent asynchronous invocations of an endpoint: a process is no fleet.
const MOST_AT_ONCE: usize = 1024;

/// The status of an endpoint, under its name in AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    Creating,
    Updating,
    InService,
    Deleting,
    Failed,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Updating => "Updating",
            Self::InService => "InService",
            Self::Deleting => "Deleting",
            Self::Failed => "Failed",
        }
    }
}

/// What an endpoint runs: a copy of its configuration and its model, since both may be deleted meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deployment {
    /// The name of the folder of its model's files.
    pub(crate) id: Uuid,
    pub(crate) config: String,
    pub(crate) variant: String,
    pub(crate) image: String,
    /// The `s3://bucket/key` of the model's archive.
    pub(crate) model_data: Option<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) startup_timeout_seconds: u64,
    pub(crate) asynchronous: Option<AsyncInferenceConfig>,
    /// The instances that the configuration asks for. One process stands for all of them.
    #[serde(default = "one")]
    pub(crate) instances: u64,
    #[serde(default)]
    pub(crate) serverless: Option<ServerlessConfig>,
    /// Milliseconds since 1970.
    pub(crate) started: i64,
}

/// The instances of a deployment that was written when there could only be one.
fn one() -> u64 {
    1
}

impl Deployment {
    pub(crate) fn new(config_name: &str, config: &EndpointConfig, model: &Model, now: i64) -> Self {
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
            instances: variant.initial_instance_count.unwrap_or(1),
            serverless: variant.serverless_config.clone(),
            started: now,
        }
    }

    pub(crate) fn startup_timeout(&self) -> Duration {
        Duration::from_secs(self.startup_timeout_seconds)
    }

    /// The most concurrent asynchronous invocations of all instances.
    pub(crate) fn concurrency(&self) -> usize {
        let client = self.asynchronous.as_ref().and_then(|config| config.client_config.as_ref());
        let most = client.map_or(CONCURRENCY, |client| client.max_concurrent_invocations_per_instance);
        usize::try_from(most.saturating_mul(self.instances)).unwrap_or(usize::MAX).min(MOST_AT_ONCE)
    }
}

/// An endpoint. The record has everything that a restart needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) status: Status,
    pub(crate) failure_reason: Option<String>,
    /// The deployment that it runs, or ran last.
    pub(crate) current: Option<Deployment>,
    /// The deployment that is being brought up.
    pub(crate) pending: Option<Deployment>,
}

impl Endpoint {
    /// The deployment that a description shows: the current one, or else the pending one.
    pub(crate) fn shown(&self) -> Option<&Deployment> {
        self.current.as_ref().or(self.pending.as_ref())
    }

    /// Both deployments.
    pub(crate) fn deployments(&self) -> impl Iterator<Item = &Deployment> {
        self.current.iter().chain(&self.pending)
    }
}
