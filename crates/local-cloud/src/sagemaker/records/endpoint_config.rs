//! The record of an endpoint configuration, with the members of AWS's own structures.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The default time until a container's first healthy `/ping`, in seconds: SageMaker's 8 minutes.
const STARTUP_TIMEOUT_SECONDS: u64 = 480;

/// An endpoint configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EndpointConfig {
    /// 1 to 10, with different names.
    pub(crate) production_variants: Vec<Variant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) async_inference_config: Option<AsyncInferenceConfig>,
    /// The request's members that are described only.
    #[serde(flatten)]
    pub(crate) without_effect: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Variant {
    pub(crate) variant_name: String,
    pub(crate) model_name: String,
    /// Given unless the variant is serverless; so is the instance's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) initial_instance_count: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instance_type: Option<String>,
    pub(crate) initial_variant_weight: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) container_startup_health_check_timeout_in_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) serverless_config: Option<ServerlessConfig>,
    /// The request's members that are described only.
    #[serde(flatten)]
    pub(crate) without_effect: Map<String, Value>,
}

/// What a serverless variant may use. Here the concurrency is a limit, and everything else is described only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ServerlessConfig {
    #[serde(rename = "MemorySizeInMB")]
    pub(crate) memory_size_in_mb: u64,
    pub(crate) max_concurrency: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) provisioned_concurrency: Option<u64>,
}

impl Variant {
    pub(crate) fn startup_timeout_seconds(&self) -> u64 {
        self.container_startup_health_check_timeout_in_seconds.unwrap_or(STARTUP_TIMEOUT_SECONDS)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AsyncInferenceConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_config: Option<ClientConfig>,
    pub(crate) output_config: OutputConfig,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ClientConfig {
    pub(crate) max_concurrent_invocations_per_instance: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OutputConfig {
    /// `s3://bucket` or `s3://bucket/prefix`; so is the failure path.
    pub(crate) s3_output_path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) s3_failure_path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notification_config: Option<NotificationConfig>,
    /// The request's members that are described only.
    #[serde(flatten)]
    pub(crate) without_effect: Map<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NotificationConfig {
    /// The ARN of a topic; so is the error topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) success_topic: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error_topic: Option<String>,
}
