//! The operations on endpoint configurations.

use serde_json::{Value, json};

use super::listing::Item;
use super::request::{ApiError, Members};
use super::{ControlPlane, described, get};
use crate::sagemaker::records::{
    AsyncInferenceConfig, ClientConfig, EndpointConfig, Kind, Model, NotificationConfig, OutputConfig, Record,
    ServerlessConfig, Tag, Variant,
};

/// The most variants of a configuration.
const MOST_VARIANTS: usize = 10;

impl EndpointConfig {
    /// Reads a request. `is_topic` returns whether a topic of an ARN exists.
    fn read(mut request: Members, is_topic: impl Fn(&str) -> bool) -> Result<(String, Self, Vec<Tag>), ApiError> {
        let name = request.name("EndpointConfigName")?;
        let variants = variants(&mut request)?;
        let asynchronous = request.structure("AsyncInferenceConfig")?;
        let is_serverless = variants.iter().any(|variant| variant.serverless_config.is_some());
        if asynchronous.is_some() && is_serverless {
            return Err(ApiError::validation("An endpoint with an AsyncInferenceConfig cannot be serverless."));
        }
        if variants.len() > 1 && is_serverless {
            return Err(ApiError::validation("An endpoint with a serverless variant cannot have another variant."));
        }
        if variants.len() > 1 && asynchronous.is_some() {
            return Err(request.unsupported("AsyncInferenceConfig", "an asynchronous endpoint has one variant here"));
        }
        let config = Self {
            production_variants: variants,
            async_inference_config: asynchronous
                .map(|config| AsyncInferenceConfig::read(config, is_topic))
                .transpose()?,
            // Encryption, network and permissions are those of this machine.
            without_effect: request.keep(&["KmsKeyId", "ExecutionRoleArn", "VpcConfig"]),
        };
        if request.flag("EnableNetworkIsolation")? {
            let instead = "its model servers are processes of this machine, with its network";
            return Err(request.unsupported("EnableNetworkIsolation", instead));
        }
        let tags = request.tags("Tags")?;
        request.done()?;
        Ok((name, config, tags))
    }
}

/// The variants of a configuration: 1 to 10, with different names.
fn variants(request: &mut Members) -> Result<Vec<Variant>, ApiError> {
    let given = request.structures("ProductionVariants")?;
    match given.len() {
        0 => return request.required("ProductionVariants", None),
        1..=MOST_VARIANTS => {}
        count => {
            let constraint = format!("Member must have length less than or equal to {MOST_VARIANTS}");
            return Err(request.invalid("ProductionVariants", &json!(count), &constraint));
        }
    }
    let variants = given.into_iter().map(Variant::read).collect::<Result<Vec<_>, _>>()?;
    for (number, variant) in variants.iter().enumerate() {
        let name = &variant.variant_name;
        if variants[..number].iter().any(|other| other.variant_name == *name) {
            let constraint = "Member must have unique variant names";
            return Err(request.invalid("ProductionVariants", &json!(name), constraint));
        }
    }
    Ok(variants)
}

impl Variant {
    fn read(mut variant: Members) -> Result<Self, ApiError> {
        let variant_name = variant.name("VariantName")?;
        let model_name = variant.name("ModelName")?;
        let serverless = variant.structure("ServerlessConfig")?.map(ServerlessConfig::read).transpose()?;
        let instances = variant.integer("InitialInstanceCount", 1..=u64::from(u32::MAX))?;
        let instance_type = variant.text("InstanceType", 63)?;
        if serverless.is_none() {
            variant.required("InitialInstanceCount", instances)?;
            variant.required("InstanceType", instance_type.clone())?;
        } else if instances.is_some() || instance_type.is_some() {
            let variant = variant_name;
            return Err(ApiError::validation(format!(
                "The variant {variant} has a ServerlessConfig: InstanceType and InitialInstanceCount cannot be given with it."
            )));
        }
        let weight = variant.weight("InitialVariantWeight")?.unwrap_or(1.0);
        let read = Self {
            variant_name,
            model_name,
            initial_instance_count: instances,
            instance_type,
            initial_variant_weight: weight,
            container_startup_health_check_timeout_in_seconds: variant
                .integer("ContainerStartupHealthCheckTimeoutInSeconds", 60..=3600)?,
            serverless_config: serverless,
            // The instance is this machine, with its disk and drivers, and the variant's only target of routing.
            without_effect: variant.keep(&[
                "VolumeSizeInGB",
                "ModelDataDownloadTimeoutInSeconds",
                "EnableSSMAccess",
                "InferenceAmiVersion",
                "RoutingConfig",
            ]),
        };
        variant.done()?;
        Ok(read)
    }
}

impl ServerlessConfig {
    fn read(mut config: Members) -> Result<Self, ApiError> {
        let memory = config.integer("MemorySizeInMB", 1024..=6144)?;
        let memory = config.required("MemorySizeInMB", memory)?;
        if memory % 1024 != 0 {
            return Err(config.invalid("MemorySizeInMB", &json!(memory), "it must be a multiple of 1024"));
        }
        let most = config.integer("MaxConcurrency", 1..=200)?;
        let read = Self {
            memory_size_in_mb: memory,
            max_concurrency: config.required("MaxConcurrency", most)?,
            provisioned_concurrency: config.integer("ProvisionedConcurrency", 1..=200)?,
        };
        config.done()?;
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
        let without_effect = output.keep(&["KmsKeyId"]);
        output.done()?;
        let output_config = OutputConfig {
            s3_output_path: output_path,
            s3_failure_path: failure_path,
            notification_config,
            without_effect,
        };
        Ok(Self { client_config, output_config })
    }
}

pub(super) fn create(plane: &ControlPlane, request: Members) -> Result<Value, ApiError> {
    let (name, config, tags) = EndpointConfig::read(request, |arn| plane.sns.is_topic(arn))?;
    plane.journal.read(|connection| {
        config.production_variants.iter().try_for_each(|variant| {
            let model = get::<Model>(connection, Kind::Model, &variant.model_name)?;
            let is_pipeline = model.value.containers.len() > 1;
            match variant.serverless_config.is_some() && is_pipeline {
                true => Err(ApiError::validation("A serverless variant cannot have a model with several Containers.")),
                false => Ok(()),
            }
        })
    })?;
    plane.create(Kind::EndpointConfig, &name, &config, &tags)?;
    Ok(json!({"EndpointConfigArn": Kind::EndpointConfig.arn(&name)}))
}

pub(super) fn describe(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let name = request.name("EndpointConfigName")?;
    request.done()?;
    let record = plane.journal.read(|connection| get::<EndpointConfig>(connection, Kind::EndpointConfig, &name))?;
    let mut shown = described(&record);
    shown["EndpointConfigName"] = json!(record.name);
    shown["EndpointConfigArn"] = json!(Kind::EndpointConfig.arn(&record.name));
    Ok(shown)
}

pub(super) fn list(plane: &ControlPlane, request: Members) -> Result<Value, ApiError> {
    let item = |record: &Record<EndpointConfig>, _: &mut Value| Item::new(record, "");
    plane.list(Kind::EndpointConfig, "EndpointConfig", request, item)
}

pub(super) fn delete(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let name = request.name("EndpointConfigName")?;
    request.done()?;
    plane.delete::<EndpointConfig>(Kind::EndpointConfig, &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:done";

    fn read(request: &Value) -> Result<(String, EndpointConfig), ApiError> {
        let request = Members::parse(request.to_string().as_bytes()).unwrap();
        EndpointConfig::read(request, |arn| arn == TOPIC).map(|(name, config, _)| (name, config))
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
    fn a_configuration_is_described_as_it_was_created() {
        let vpc = json!({"Subnets": ["s"], "SecurityGroupIds": ["g"]});
        let mut routed = variant();
        routed["RoutingConfig"] = json!({"RoutingStrategy": "RANDOM"});
        routed["VolumeSizeInGB"] = json!(30);
        let without_effect = [("KmsKeyId", json!("k")), ("VpcConfig", vpc), ("ProductionVariants", json!([routed]))];
        let (_, plain) = read(&config(&[&[("Tags", json!([]))][..], &without_effect[..]].concat())).unwrap();
        assert_eq!(plain.production_variants[0].startup_timeout_seconds(), 480);
        for (name, value) in &without_effect[..2] {
            assert_eq!(&json!(plain)[name], value, "{name}");
        }
        let described = &json!(plain)["ProductionVariants"][0];
        assert_eq!((&described["RoutingConfig"], &described["VolumeSizeInGB"]), (&routed["RoutingConfig"], &json!(30)));
        assert_eq!(serde_json::from_value::<EndpointConfig>(json!(plain)).unwrap(), plain, "as the journal has it");
        assert_eq!(json!(plain)["ProductionVariants"][0]["InitialVariantWeight"], 1.0);
        let asynchronous = json!({
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2},
            "OutputConfig": {
                "S3OutputPath": "s3://b/out",
                "S3FailurePath": "s3://b",
                "NotificationConfig": {"SuccessTopic": TOPIC},
                "KmsKeyId": "k",
            },
        });
        let (_, read) = read(&config(&[("AsyncInferenceConfig", asynchronous.clone())])).unwrap();
        assert_eq!(json!(read)["AsyncInferenceConfig"], asynchronous);
    }

    #[test]
    fn instances_are_counted_and_serverless_variants_have_none() {
        let variants = |variant: Value| config(&[("ProductionVariants", json!([variant]))]);
        let mut two = variant();
        two["InitialInstanceCount"] = json!(2);
        let (_, two) = read(&variants(two)).unwrap();
        assert_eq!(json!(two)["ProductionVariants"][0]["InitialInstanceCount"], 2);
        let serverless = json!({"MemorySizeInMB": 2048, "MaxConcurrency": 5});
        let variant = json!({"VariantName": "v", "ModelName": "m", "ServerlessConfig": serverless});
        let (_, read_back) = read(&variants(variant.clone())).unwrap();
        let shown = &json!(read_back)["ProductionVariants"][0];
        assert_eq!((&shown["ServerlessConfig"], shown.get("InitialInstanceCount")), (&serverless, None));
        let asynchronous = json!({"OutputConfig": {"S3OutputPath": "s3://b"}});
        let mut both = variants(variant.clone());
        both["AsyncInferenceConfig"] = asynchronous.clone();
        assert!(read(&both).unwrap_err().to_string().contains("cannot be serverless"));
        let beside = |mut other: Value| {
            other["VariantName"] = json!("w");
            config(&[("ProductionVariants", json!([super::tests::variant(), other]))])
        };
        assert!(read(&beside(variant)).unwrap_err().to_string().contains("cannot have another variant"));
        let mut two = beside(super::tests::variant());
        assert_eq!(read(&two).unwrap().1.production_variants.len(), 2);
        two["AsyncInferenceConfig"] = asynchronous;
        assert!(read(&two).unwrap_err().to_string().contains("asyncInferenceConfig is not supported"));
    }

    #[test]
    fn unsupported_members_are_refused_by_name() {
        let variants = |variants: Value| config(&[("ProductionVariants", variants)]);
        let with = |name: &str, value: Value| {
            let mut variant = variant();
            variant[name] = value;
            variants(json!([variant]))
        };
        let include = json!({"S3OutputPath": "s3://b", "NotificationConfig": {"IncludeInferenceResponseIn": []}});
        for (request, named) in [
            (variants(json!([])), "productionVariants"),
            (variants(json!([variant(), variant()])), "unique variant names"),
            (variants(json!(vec![variant(); 11])), "less than or equal to 10"),
            (with("ServerlessConfig", json!({"MemorySizeInMB": 1024})), "serverlessConfig.maxConcurrency"),
            (with("ServerlessConfig", json!({"MemorySizeInMB": 1025, "MaxConcurrency": 1})), "a multiple of 1024"),
            (with("ServerlessConfig", json!({"MemorySizeInMB": 1024, "MaxConcurrency": 1})), "cannot be given with it"),
            (with("InitialInstanceCount", json!(0)), "productionVariants.1.member.initialInstanceCount"),
            (with("InstanceType", json!(null)), "productionVariants.1.member.instanceType"),
            (with("InitialVariantWeight", json!(-1)), "initialVariantWeight"),
            (with("InitialVariantWeight", json!(1e39)), "initialVariantWeight"),
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
