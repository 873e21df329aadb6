//! The record of an endpoint: its status and its deployments.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::endpoint_config::{AsyncInferenceConfig, EndpointConfig, ServerlessConfig};
use super::model::{Model, ServedContainer};

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

/// What an endpoint runs: a copy of its configuration and its models, since they may be deleted meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub(crate) struct Deployment {
    pub(crate) config: String,
    /// 1 to 10; one, if it is asynchronous.
    pub(crate) variants: Vec<DeployedVariant>,
    pub(crate) asynchronous: Option<AsyncInferenceConfig>,
    /// Milliseconds since 1970.
    pub(crate) started: i64,
}

/// A variant of a deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeployedVariant {
    pub(crate) name: String,
    /// A request passes through all of them, in this order.
    pub(crate) containers: Vec<ServedContainer>,
    pub(crate) startup_timeout_seconds: u64,
    pub(crate) serverless: Option<ServerlessConfig>,
    pub(crate) capacity: Capacity,
    /// What was asked for and is not in effect yet.
    pub(crate) desired: Option<Capacity>,
}

/// The share and the size of a variant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Capacity {
    /// Its share of the requests is this, divided by the sum of all variants' weights.
    pub(crate) weight: f64,
    /// The instances that were asked for. One process stands for all of them.
    pub(crate) instances: u64,
}

impl Deployment {
    /// `models` are those of the configuration's variants, in their order.
    pub(crate) fn new(config_name: &str, config: &EndpointConfig, models: &[Model], now: i64) -> Self {
        let variants = config.production_variants.iter().zip(models).map(|(variant, model)| DeployedVariant {
            name: variant.variant_name.clone(),
            containers: model.served(),
            startup_timeout_seconds: variant.startup_timeout_seconds(),
            serverless: variant.serverless_config.clone(),
            capacity: Capacity {
                weight: variant.initial_variant_weight,
                instances: variant.initial_instance_count.unwrap_or(1),
            },
            desired: None,
        });
        Self {
            config: config_name.to_owned(),
            variants: variants.collect(),
            asynchronous: config.async_inference_config.clone(),
            started: now,
        }
    }

    /// Every container of every variant.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &ServedContainer> {
        self.variants.iter().flat_map(|variant| &variant.containers)
    }

    /// The names of the variants, for a message.
    pub(crate) fn variant_names(&self) -> String {
        self.variants.iter().map(|variant| variant.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Puts into effect what is desired. Returns whether there was anything.
    pub(crate) fn settle(&mut self) -> bool {
        let desired = self.variants.iter_mut().filter_map(|variant| {
            variant.capacity = variant.desired.take()?;
            Some(())
        });
        desired.count() > 0
    }

    /// The most concurrent asynchronous invocations of all instances.
    pub(crate) fn concurrency(&self) -> usize {
        let client = self.asynchronous.as_ref().and_then(|config| config.client_config.as_ref());
        let most = client.map_or(CONCURRENCY, |client| client.max_concurrent_invocations_per_instance);
        let instances: u64 = self.variants.iter().map(|variant| variant.capacity.instances).sum();
        // The process goes on without an instance: a request is what would start one.
        usize::try_from(most.saturating_mul(instances.max(1))).unwrap_or(usize::MAX).min(MOST_AT_ONCE)
    }
}

impl DeployedVariant {
    pub(crate) fn startup_timeout(&self) -> Duration {
        Duration::from_secs(self.startup_timeout_seconds)
    }

    /// The capacity that was asked for last.
    pub(crate) fn wanted(&self) -> Capacity {
        self.desired.unwrap_or(self.capacity)
    }
}

/// A deployment as the journal may hold it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Now {
        config: String,
        variants: Vec<DeployedVariant>,
        asynchronous: Option<AsyncInferenceConfig>,
        started: i64,
    },
    /// Of a version with one variant, which had one container.
    One {
        id: Uuid,
        config: String,
        variant: String,
        image: String,
        model_data: Option<String>,
        environment: BTreeMap<String, String>,
        startup_timeout_seconds: u64,
        asynchronous: Option<AsyncInferenceConfig>,
        #[serde(default = "one")]
        instances: u64,
        #[serde(default)]
        serverless: Option<ServerlessConfig>,
        started: i64,
    },
}

/// The instances of a deployment that was written when there could only be one.
fn one() -> u64 {
    1
}

impl From<Stored> for Deployment {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Now { config, variants, asynchronous, started } => Self { config, variants, asynchronous, started },
            Stored::One {
                id,
                config,
                variant,
                image,
                model_data,
                environment,
                startup_timeout_seconds,
                asynchronous,
                instances,
                serverless,
                started,
            } => {
                let container = ServedContainer { id, name: "primary".to_owned(), image, model_data, environment };
                let variant = DeployedVariant {
                    name: variant,
                    containers: vec![container],
                    startup_timeout_seconds,
                    serverless,
                    capacity: Capacity { weight: 1.0, instances },
                    desired: None,
                };
                Self { config, variants: vec![variant], asynchronous, started }
            }
        }
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

    /// Every container of both deployments.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &ServedContainer> {
        self.deployments().flat_map(Deployment::containers)
    }

    /// Both deployments.
    pub(crate) fn deployments(&self) -> impl Iterator<Item = &Deployment> {
        self.current.iter().chain(&self.pending)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_of_an_earlier_version_is_read() {
        let id = Uuid::new_v4();
        let earlier = json!({"id": id, "config": "c", "variant": "v", "image": "i", "model_data": null,
            "environment": {"A": "1"}, "startup_timeout_seconds": 60, "asynchronous": null, "started": 7});
        let read: Deployment = serde_json::from_value(earlier).unwrap();
        let container = read.containers().next().unwrap();
        assert_eq!((container.id, container.name.as_str(), container.environment["A"].as_str()), (id, "primary", "1"));
        assert_eq!(read.variants[0].capacity, Capacity { weight: 1.0, instances: 1 });
        assert_eq!(serde_json::from_value::<Deployment>(json!(read)).unwrap(), read);
    }

    #[test]
    fn requests_at_once_are_those_of_all_instances_and_of_one_if_there_is_none() {
        let capacity = json!({"weight": 1.0, "instances": 1});
        let variant = json!({"name": "v", "containers": [], "startup_timeout_seconds": 60, "serverless": null,
            "capacity": capacity, "desired": null});
        let deployment = json!({"config": "c", "variants": [variant], "asynchronous": null, "started": 7});
        let mut deployment: Deployment = serde_json::from_value(deployment).unwrap();
        for (instances, most) in [(0, 4), (1, 4), (3, 12), (1000, MOST_AT_ONCE)] {
            deployment.variants[0].capacity.instances = instances;
            assert_eq!(deployment.concurrency(), most, "{instances}");
        }
    }
}
