//! The stack's own endpoints: the same as any other, but there from the start and as long as the stack is.

use std::sync::Arc;

use super::configs::{AsyncInferenceConfig, ClientConfig, EndpointConfig, NotificationConfig, OutputConfig, Variant};
use super::endpoint::Serving;
use super::endpoints::{Deployment, Endpoint, Status};
use super::model_server::{ModelServer, Server};
use super::models::{Container, Model};
use super::records::{self, Kind};
use super::request::is_name;
use super::{SageMaker, chain, images};
use crate::{ACCOUNT, CloudError, REGION, stack};

/// The variant's name, as SageMaker's console proposes it for the first.
const VARIANT: &str = "primary";

impl SageMaker {
    /// Starts them, waits until all are healthy, and has the control plane know them.
    pub(super) async fn start_own(self: &Arc<Self>, endpoints: &[stack::Endpoint]) -> Result<(), CloudError> {
        for endpoint in endpoints {
            let serving = self.launch_own(endpoint).await?;
            self.write_own(endpoint, &serving.deployment)
                .map_err(|source| CloudError::Journal { path: self.place.models.clone(), source })?;
            self.host(&endpoint.name).switch(serving);
        }
        let names: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
        self.journal
            .write(|transaction| records::retain_own(transaction, &names))
            .map_err(|source| CloudError::Journal { path: self.place.models.clone(), source })
    }

    async fn launch_own(&self, endpoint: &stack::Endpoint) -> Result<Serving, CloudError> {
        let name = &endpoint.name;
        if !is_name(name) {
            return Err(CloudError::Stack(format!("{name:?} cannot be an endpoint's name")));
        }
        let image = images::find(&self.images, &endpoint.image).map_err(|error| CloudError::Stack(chain(&error)))?;
        let mut program = image.program.clone();
        program.environment.extend(endpoint.environment.clone());
        let server = Server {
            name: name.clone(),
            program,
            startup_timeout: endpoint.startup_timeout,
            log: self.place.logs.join(format!("{name}.log")),
        };
        let server = ModelServer::start(server, self.place.spawner.clone())
            .await
            .map_err(|error| CloudError::ModelServer { endpoint: name.clone(), reason: chain(&error) })?;
        let now = self.journal.clock().now_millis();
        let deployment = Deployment::new(name, &config(endpoint), &model(endpoint), now);
        Ok(Serving::new(deployment, server, None))
    }

    fn write_own(&self, endpoint: &stack::Endpoint, deployment: &Deployment) -> rusqlite::Result<()> {
        let name = &endpoint.name;
        let now = self.journal.clock().now_millis();
        let value = Endpoint {
            status: Status::InService,
            failure_reason: None,
            current: Some(deployment.clone()),
            pending: None,
        };
        self.journal.write(|transaction| {
            records::insert_own(transaction, Kind::Model, name, now, &model(endpoint))?;
            records::insert_own(transaction, Kind::EndpointConfig, name, now, &config(endpoint))?;
            records::insert_own(transaction, Kind::Endpoint, name, now, &value)
        })
    }
}

fn model(endpoint: &stack::Endpoint) -> Model {
    Model {
        primary_container: Container {
            image: format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{}:latest", endpoint.image),
            mode: "SingleModel".to_owned(),
            environment: endpoint.environment.clone(),
            ..Container::default()
        },
        execution_role_arn: None,
        vpc_config: None,
        enable_network_isolation: false,
    }
}

fn config(endpoint: &stack::Endpoint) -> EndpointConfig {
    let arn = |topic: &Option<String>| topic.as_ref().map(|topic| format!("arn:aws:sns:{REGION}:{ACCOUNT}:{topic}"));
    let most = u64::try_from(endpoint.max_concurrent_invocations_per_instance).unwrap_or(u64::MAX);
    EndpointConfig {
        production_variants: [Variant {
            variant_name: VARIANT.to_owned(),
            model_name: endpoint.name.clone(),
            initial_instance_count: 1,
            instance_type: None,
            initial_variant_weight: 1.0,
            container_startup_health_check_timeout_in_seconds: Some(endpoint.startup_timeout.as_secs()),
        }],
        async_inference_config: Some(AsyncInferenceConfig {
            client_config: Some(ClientConfig { max_concurrent_invocations_per_instance: most }),
            output_config: OutputConfig {
                s3_output_path: endpoint.s3_output_path.clone(),
                s3_failure_path: Some(endpoint.s3_failure_path.clone()),
                notification_config: Some(NotificationConfig {
                    success_topic: arn(&endpoint.success_topic),
                    error_topic: arn(&endpoint.error_topic),
                }),
            },
        }),
    }
}
