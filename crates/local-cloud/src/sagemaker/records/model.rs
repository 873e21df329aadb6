//! The record of a model, with the members of AWS's own structures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A model: an image, its environment, and the archive of its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Model {
    pub(crate) primary_container: Container,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) execution_role_arn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vpc_config: Option<Value>,
    pub(crate) enable_network_isolation: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Container {
    pub(crate) image: String,
    pub(crate) mode: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) container_hostname: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) image_config: Option<Value>,
    /// The `s3://bucket/key` of a `tar.gz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) model_data_url: Option<String>,
    /// The source as the request has it; the URL is then its archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) model_data_source: Option<Value>,
    pub(crate) environment: BTreeMap<String, String>,
}
