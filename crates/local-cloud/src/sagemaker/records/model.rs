//! The record of a model, with the members of AWS's own structures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The name of a sole container in messages.
const PRIMARY: &str = "primary";

/// A model: one container, or several in a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Model {
    /// Given unless there are [`containers`](Self::containers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) primary_container: Option<Container>,
    /// An inference pipeline: the answer of a container is the request to the next one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) containers: Vec<Container>,
    /// The mode of a pipeline, as the request has it. `Serial` is the only one here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) inference_execution_config: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) execution_role_arn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vpc_config: Option<Value>,
    pub(crate) enable_network_isolation: bool,
}

impl Model {
    /// Copies of the containers to serve, in their order. They are independent of the model, which may be deleted.
    pub(crate) fn served(&self) -> Vec<ServedContainer> {
        let sole = self.primary_container.iter().map(|container| container.served(PRIMARY.to_owned()));
        let row = self.containers.iter().zip(1..).map(|(container, number)| {
            container.served(container.container_hostname.clone().unwrap_or_else(|| format!("container-{number}")))
        });
        sole.chain(row).collect()
    }
}

/// An image, its environment, and the archive of its model's files.
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

impl Container {
    fn served(&self, name: String) -> ServedContainer {
        ServedContainer {
            id: Uuid::new_v4(),
            name,
            image: self.image.clone(),
            model_data: self.model_data_url.clone(),
            environment: self.environment.clone(),
        }
    }
}

/// What an endpoint or a transform job runs of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServedContainer {
    /// The name of the folder of its model's files.
    pub(crate) id: Uuid,
    /// Its host name, or `container-1` and so on; `primary` if it is the model's only one.
    pub(crate) name: String,
    pub(crate) image: String,
    /// The `s3://bucket/key` of the model's archive.
    pub(crate) model_data: Option<String>,
    pub(crate) environment: BTreeMap<String, String>,
}
