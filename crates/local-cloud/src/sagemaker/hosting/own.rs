//! The stack's endpoints. They exist from the start of the cloud, and cannot be changed or deleted.

use serde_json::Map;

use super::hosted::Serving;
use super::model_server::{ModelServer, Server};
use super::pipeline::Pipeline;
use super::{Hosting, stream};
use crate::error::CloudError;
use crate::sagemaker::images;
use crate::sagemaker::records::{
    self, AsyncInferenceConfig, ClientConfig, Container, Deployment, Endpoint, EndpointConfig, Kind, Model,
    NotificationConfig, OutputConfig, Status, Variant, is_name,
};
use crate::stack::{self, StackError};
use crate::{ACCOUNT, REGION};

/// The name of the variant, and of its container. SageMaker's console proposes it for the first variant.
const VARIANT: &str = "primary";

impl Hosting {
    /// Writes the records of the endpoints, which do not serve yet, and deletes those of earlier stacks.
    pub(crate) fn declare_own(&self, endpoints: &[stack::Endpoint]) -> Result<(), CloudError> {
        for endpoint in endpoints {
            if !is_name(&endpoint.name) {
                return Err(StackError::EndpointName(endpoint.name.clone()).into());
            }
            let value = Endpoint {
                status: Status::Creating,
                failure_reason: None,
                current: None,
                pending: Some(self.deployment_of(endpoint)),
            };
            self.write_own(endpoint, &value).map_err(|source| self.journal.unusable(source))?;
        }
        let names: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
        self.journal
            .write(|transaction| records::retain_own(transaction, &names))
            .map_err(|source| self.journal.unusable(source))
    }

    /// Starts the endpoints, which are declared, and waits until all are healthy.
    pub(crate) async fn start_own(&self, endpoints: &[stack::Endpoint]) -> Result<(), CloudError> {
        for endpoint in endpoints {
            let serving = self.launch_own(endpoint).await?;
            let value = Endpoint {
                status: Status::InService,
                failure_reason: None,
                current: Some(serving.deployment.clone()),
                pending: None,
            };
            self.write_own(endpoint, &value).map_err(|source| self.journal.unusable(source))?;
            self.host(&endpoint.name).switch(serving, &self.place().models);
        }
        Ok(())
    }

    fn deployment_of(&self, endpoint: &stack::Endpoint) -> Deployment {
        let now = self.journal.clock().now_millis();
        Deployment::new(&endpoint.name, &config(endpoint), &[model(endpoint)], now)
    }

    async fn launch_own(&self, endpoint: &stack::Endpoint) -> Result<Serving, CloudError> {
        let name = &endpoint.name;
        let image = images::find(&self.launcher.images, &endpoint.image)
            .map_err(|error| StackError::Endpoint { endpoint: name.clone(), source: error.into() })?;
        let mut program = image.program.clone();
        program.environment.extend(endpoint.environment.clone());
        let (group, stream) = stream(name, VARIANT);
        let server = Server {
            name: name.clone(),
            container: VARIANT.to_owned(),
            program,
            // Its model's files are where the stack says.
            view: None,
            startup_timeout: endpoint.startup_timeout,
            log: self.place().logs.join(format!("{name}.log")),
            stream: self.place().streams.stream(&group, &stream),
            shares_ports: false,
        };
        let server = ModelServer::start(server, self.place().clone())
            .await
            .map_err(|error| CloudError::ModelServer { endpoint: name.clone(), source: error.into() })?;
        Ok(Serving::new(self.deployment_of(endpoint), vec![Pipeline::new(vec![server])]))
    }

    fn write_own(&self, endpoint: &stack::Endpoint, value: &Endpoint) -> rusqlite::Result<()> {
        let name = &endpoint.name;
        let now = self.journal.clock().now_millis();
        self.journal.write(|transaction| {
            records::insert_own(transaction, Kind::Model, name, now, &model(endpoint))?;
            records::insert_own(transaction, Kind::EndpointConfig, name, now, &config(endpoint))?;
            records::insert_own(transaction, Kind::Endpoint, name, now, value)
        })
    }
}

fn model(endpoint: &stack::Endpoint) -> Model {
    Model {
        primary_container: Some(Container {
            image: format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{}:latest", endpoint.image),
            mode: "SingleModel".to_owned(),
            environment: endpoint.environment.clone(),
            ..Container::default()
        }),
        containers: Vec::new(),
        inference_execution_config: None,
        execution_role_arn: None,
        vpc_config: None,
        enable_network_isolation: false,
    }
}

fn config(endpoint: &stack::Endpoint) -> EndpointConfig {
    let arn = |topic: &Option<String>| topic.as_ref().map(|topic| format!("arn:aws:sns:{REGION}:{ACCOUNT}:{topic}"));
    let most = u64::try_from(endpoint.max_concurrent_invocations_per_instance).unwrap_or(u64::MAX);
    EndpointConfig {
        production_variants: vec![Variant {
            variant_name: VARIANT.to_owned(),
            model_name: endpoint.name.clone(),
            initial_instance_count: Some(1),
            instance_type: None,
            initial_variant_weight: 1.0,
            container_startup_health_check_timeout_in_seconds: Some(endpoint.startup_timeout.as_secs()),
            serverless_config: None,
            without_effect: Map::new(),
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
                without_effect: Map::new(),
            },
        }),
        without_effect: Map::new(),
    }
}
