//! Endpoint configurations: which model a variant serves, on what, and how it is invoked asynchronously.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::SageMaker;
use super::control_plane::missing;
use super::models::{self, described};
use super::records::{self, Kind, Record};
use super::request::{ApiError, Members};

/// How long a container may take until its first healthy `/ping`, unless its variant says otherwise: SageMaker's 8 minutes.
const STARTUP_TIMEOUT_SECONDS: u64 = 480;

/// An endpoint configuration, by the members of AWS's own structures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EndpointConfig {
    /// There is one.
    pub(super) production_variants: [Variant; 1],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) async_inference_config: Option<AsyncInferenceConfig>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Variant {
    pub(super) variant_name: String,
    pub(super) model_name: String,
    pub(super) initial_instance_count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) instance_type: Option<String>,
    pub(super) initial_variant_weight: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) container_startup_health_check_timeout_in_seconds: Option<u64>,
}

impl Variant {
    pub(super) fn startup_timeout_seconds(&self) -> u64 {
        self.container_startup_health_check_timeout_in_seconds.unwrap_or(STARTUP_TIMEOUT_SECONDS)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AsyncInferenceConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_config: Option<ClientConfig>,
    pub(super) output_config: OutputConfig,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ClientConfig {
    pub(super) max_concurrent_invocations_per_instance: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OutputConfig {
    /// `s3://bucket` or `s3://bucket/prefix`, as is the next.
    pub(super) s3_output_path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) s3_failure_path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) notification_config: Option<NotificationConfig>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NotificationConfig {
    /// ARN of a topic, as is the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) success_topic: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error_topic: Option<String>,
}

impl EndpointConfig {
    /// `is_topic` tells whether there is a topic of that ARN.
    fn read(mut request: Members, is_topic: impl Fn(&str) -> bool) -> Result<(String, Self), ApiError> {
        let name = request.name("EndpointConfigName")?;
        let mut variants = request.structures("ProductionVariants")?;
        let variant = match (variants.pop(), variants.is_empty()) {
            (Some(variant), true) => Variant::read(variant)?,
            (Some(_), false) => {
                return Err(request.unsupported("ProductionVariants", "an endpoint has one variant here"));
            }
            (None, _) => return request.required("ProductionVariants", None),
        };
        let asynchronous = request.structure("AsyncInferenceConfig")?;
        let config = Self {
            production_variants: [variant],
            async_inference_config: asynchronous
                .map(|config| AsyncInferenceConfig::read(config, is_topic))
                .transpose()?,
        };
        // Encryption, network and permissions are the machine's own.
        request.ignore(&["Tags", "KmsKeyId", "ExecutionRoleArn", "VpcConfig"]);
        if request.flag("EnableNetworkIsolation")? {
            let instead = "its model servers are processes of this machine, with its network";
            return Err(request.unsupported("EnableNetworkIsolation", instead));
        }
        request.done()?;
        Ok((name, config))
    }
}

impl Variant {
    fn read(mut variant: Members) -> Result<Self, ApiError> {
        let variant_name = variant.name("VariantName")?;
        let model_name = variant.name("ModelName")?;
        if variant.take("ServerlessConfig").is_some() {
            return Err(variant.unsupported("ServerlessConfig", "give InitialInstanceCount and InstanceType"));
        }
        let instances = variant.integer("InitialInstanceCount", 1..=u64::from(u32::MAX))?;
        if variant.required("InitialInstanceCount", instances)? != 1 {
            return Err(variant.unsupported("InitialInstanceCount", "an endpoint has one instance here"));
        }
        let instance_type = variant.text("InstanceType", 63)?;
        let instance_type = variant.required("InstanceType", instance_type)?;
        let weight = match variant.take("InitialVariantWeight") {
            None => 1.0,
            Some(weight) => match weight.as_f64().filter(|weight| *weight >= 0.0) {
                Some(weight) => weight,
                None => return Err(variant.invalid("InitialVariantWeight", &weight, "Member must be 0 or more")),
            },
        };
        let read = Self {
            variant_name,
            model_name,
            initial_instance_count: 1,
            instance_type: Some(instance_type),
            initial_variant_weight: weight,
            container_startup_health_check_timeout_in_seconds: variant
                .integer("ContainerStartupHealthCheckTimeoutInSeconds", 60..=3600)?,
        };
        // The instance is this machine: its disk, its drivers, its only place to route to.
        variant.ignore(&[
            "VolumeSizeInGB",
            "ModelDataDownloadTimeoutInSeconds",
            "EnableSSMAccess",
            "InferenceAmiVersion",
            "RoutingConfig",
        ]);
        variant.done()?;
        Ok(read)
    }
}

impl AsyncInferenceConfig {
    fn read(mut config: Members, is_topic: impl Fn(&str) -> bool) -> Result<Self, ApiError> {
        let client_config = match config.structure("ClientConfig")? {
            None => None,
            Some(mut client) => {
                let most = client.integer("MaxConcurrentInvocationsPerInstance", 1..=1000)?;
                client.done()?;
                most.map(|most| ClientConfig { max_concurrent_invocations_per_instance: most })
            }
        };
        let output = config.structure("OutputConfig")?;
        let mut output = config.required("OutputConfig", output)?;
        config.done()?;
        let path = output.text("S3OutputPath", 512)?;
        let output_path = output.required("S3OutputPath", path)?;
        let failure_path = output.text("S3FailurePath", 512)?;
        for (name, path) in [("S3OutputPath", Some(&output_path)), ("S3FailurePath", failure_path.as_ref())] {
            if let Some(path) = path
                && !path.strip_prefix("s3://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
            {
                return Err(output.invalid(name, &json!(path), "it must be s3://bucket or s3://bucket/prefix here"));
            }
        }
        let notification_config = match output.structure("NotificationConfig")? {
            None => None,
            Some(mut notices) => {
                let mut topic = |name: &str| match notices.text(name, 2048)? {
                    Some(arn) if !is_topic(&arn) => {
                        Err(notices.invalid(name, &json!(arn), "there is no such topic here"))
                    }
                    arn => Ok(arn),
                };
                let config =
                    NotificationConfig { success_topic: topic("SuccessTopic")?, error_topic: topic("ErrorTopic")? };
                notices.done()?;
                Some(config)
            }
        };
        output.ignore(&["KmsKeyId"]);
        output.done()?;
        let output_config =
            OutputConfig { s3_output_path: output_path, s3_failure_path: failure_path, notification_config };
        Ok(Self { client_config, output_config })
    }
}

impl SageMaker {
    pub(super) fn create_endpoint_config(&self, request: Members) -> Result<Value, ApiError> {
        let (name, config) = EndpointConfig::read(request, |arn| self.sns.is_topic(arn))?;
        let model = &config.production_variants[0].model_name;
        self.journal.read(|connection| models::get(connection, model))?;
        self.create(Kind::EndpointConfig, &name, &config)?;
        Ok(json!({"EndpointConfigArn": Kind::EndpointConfig.arn(&name)}))
    }

    pub(super) fn describe_endpoint_config(&self, mut request: Members) -> Result<Value, ApiError> {
        let name = request.name("EndpointConfigName")?;
        request.done()?;
        let record = self.journal.read(|connection| get(connection, &name))?;
        let mut shown = described(&record.value, record.created);
        shown["EndpointConfigName"] = json!(record.name);
        shown["EndpointConfigArn"] = json!(Kind::EndpointConfig.arn(&record.name));
        Ok(shown)
    }

    pub(super) fn list_endpoint_configs(&self, request: Members) -> Result<Value, ApiError> {
        self.list::<EndpointConfig>(Kind::EndpointConfig, "EndpointConfig", request, |record, _| record.item())
    }

    pub(super) fn delete_endpoint_config(&self, mut request: Members) -> Result<Value, ApiError> {
        let name = request.name("EndpointConfigName")?;
        request.done()?;
        self.delete::<EndpointConfig>(Kind::EndpointConfig, &name)
    }
}

/// The endpoint configuration of this name.
pub(super) fn get(connection: &rusqlite::Connection, name: &str) -> Result<Record<EndpointConfig>, ApiError> {
    records::get(connection, Kind::EndpointConfig, name)?.ok_or_else(|| missing(Kind::EndpointConfig, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:done";

    fn read(request: &Value) -> Result<(String, EndpointConfig), ApiError> {
        EndpointConfig::read(Members::parse(request.to_string().as_bytes()).unwrap(), |arn| arn == TOPIC)
    }

    fn variant() -> Value {
        json!({"VariantName": "AllTraffic", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"})
    }

    fn config(more: &[(&str, Value)]) -> Value {
        let mut config = json!({"EndpointConfigName": "c", "ProductionVariants": [variant()]});
        more.iter().for_each(|(name, value)| config[*name] = value.clone());
        config
    }

    fn with_output(output: Value) -> Value {
        config(&[("AsyncInferenceConfig", json!({"OutputConfig": output}))])
    }

    #[test]
    fn what_is_taken_is_described_as_it_was_given() {
        let (_, plain) = read(&config(&[("Tags", json!([])), ("KmsKeyId", json!("k"))])).unwrap();
        assert_eq!(plain.production_variants[0].startup_timeout_seconds(), 480);
        assert_eq!(json!(plain)["ProductionVariants"][0]["InitialVariantWeight"], 1.0);
        let asynchronous = json!({
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2},
            "OutputConfig": {
                "S3OutputPath": "s3://b/out",
                "S3FailurePath": "s3://b",
                "NotificationConfig": {"SuccessTopic": TOPIC},
            },
        });
        let (_, read) = read(&config(&[("AsyncInferenceConfig", asynchronous.clone())])).unwrap();
        assert_eq!(json!(read)["AsyncInferenceConfig"], asynchronous);
    }

    #[test]
    fn what_is_refused_is_named() {
        let variants = |variants: Value| config(&[("ProductionVariants", variants)]);
        let with = |name: &str, value: Value| {
            let mut variant = variant();
            variant[name] = value;
            variants(json!([variant]))
        };
        let include = json!({"S3OutputPath": "s3://b", "NotificationConfig": {"IncludeInferenceResponseIn": []}});
        for (request, named) in [
            (variants(json!([])), "productionVariants"),
            (variants(json!([variant(), variant()])), "productionVariants is not supported"),
            (with("ServerlessConfig", json!({"MemorySizeInMB": 1024})), "productionVariants.1.member.serverlessConfig"),
            (with("InitialInstanceCount", json!(2)), "productionVariants.1.member.initialInstanceCount"),
            (with("InstanceType", json!(null)), "productionVariants.1.member.instanceType"),
            (with("InitialVariantWeight", json!(-1)), "initialVariantWeight"),
            (with("AcceleratorType", json!("ml.eia1.large")), "productionVariants.1.member.acceleratorType"),
            (with("ContainerStartupHealthCheckTimeoutInSeconds", json!(59)), "60 to 3600"),
            (config(&[("DataCaptureConfig", json!({"EnableCapture": true}))]), "dataCaptureConfig"),
            (config(&[("ShadowProductionVariants", json!([variant()]))]), "shadowProductionVariants"),
            (config(&[("AsyncInferenceConfig", json!({}))]), "asyncInferenceConfig.outputConfig"),
            (with_output(json!({})), "asyncInferenceConfig.outputConfig.s3OutputPath"),
            (with_output(json!({"S3OutputPath": "/tmp"})), "s3://bucket"),
            (with_output(json!({"S3OutputPath": "s3://b", "S3FailurePath": "s3:///x"})), "s3FailurePath"),
            (with_output(include), "notificationConfig.includeInferenceResponseIn"),
            (
                with_output(json!({"S3OutputPath": "s3://b", "NotificationConfig": {"ErrorTopic": "arn:x"}})),
                "there is no such topic",
            ),
        ] {
            let words = read(&request).unwrap_err().to_string();
            assert!(words.contains(named), "{request}: {words}");
        }
    }
}
