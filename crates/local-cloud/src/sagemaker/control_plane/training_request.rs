//! The request for a training job, checked as SageMaker checks it.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Value, json};

use super::request::{ApiError, Members};
use crate::sagemaker::records::{Channel, Checkpoints, InputMode, MetricDefinition, TrainingSpec};

/// The longest a job may run: 28 days.
const LONGEST: u64 = 28 * 24 * 3600;
/// Where a program finds its files.
const BASE: &str = "/opt/ml/";

/// Reads a request. Returns the name, what to run, and the members with AWS's defaults, as a description shows them.
pub(super) fn read(mut request: Members) -> Result<(String, TrainingSpec, Value), ApiError> {
    let mut shown = request.shown();
    let name = request.name("TrainingJobName")?;
    let role = request.text("RoleArn", 2048)?;
    let role = request.required("RoleArn", role)?;
    if !(role.starts_with("arn:") && role.contains(":iam::") && role.contains(":role/")) {
        let pattern = "Member must satisfy regular expression pattern: ^arn:aws[a-z\\-]*:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+$";
        return Err(request.invalid("RoleArn", &json!(role), pattern));
    }
    let hyperparameters = hyperparameters(&mut request)?;
    let algorithm = request.structure("AlgorithmSpecification")?;
    let algorithm = Algorithm::read(request.required("AlgorithmSpecification", algorithm)?)?;
    let channels = channels(&mut request, algorithm.mode)?;
    let output = request.structure("OutputDataConfig")?;
    let (output_path, is_archive) = output_config(request.required("OutputDataConfig", output)?)?;
    let resources = request.structure("ResourceConfig")?;
    let instance_type = instance_type(request.required("ResourceConfig", resources)?)?;
    let is_spot = request.flag("EnableManagedSpotTraining")?;
    let max_runtime_seconds = max_runtime(&mut request, is_spot)?;
    let checkpoints = request.structure("CheckpointConfig")?.map(checkpoint_config).transpose()?;
    let environment = request.environment("Environment", (512, 512))?;
    if request.flag("EnableNetworkIsolation")? {
        let instead = "its jobs are processes of this machine, with its network";
        return Err(request.unsupported("EnableNetworkIsolation", instead));
    }
    // One instance has no traffic between containers, and the debugger, the profiler and the experiment are services that are not here.
    request.ignore(&[
        "DebugHookConfig",
        "DebugRuleConfigurations",
        "EnableInterContainerTrafficEncryption",
        "ExperimentConfig",
        "InfraCheckConfig",
        "ProfilerConfig",
        "ProfilerRuleConfigurations",
        "RemoteDebugConfig",
        "RetryStrategy",
        "SessionChainingConfig",
        "TensorBoardOutputConfig",
        "VpcConfig",
    ]);
    request.done()?;
    complete(&mut shown, max_runtime_seconds, checkpoints.as_ref());
    let spec = TrainingSpec {
        image: algorithm.image,
        entrypoint: algorithm.entrypoint,
        arguments: algorithm.arguments,
        metrics: algorithm.metrics,
        hyperparameters,
        environment,
        channels,
        output_path,
        is_archive,
        instance_type,
        max_runtime_seconds,
        checkpoints,
    };
    Ok((name, spec, shown))
}

/// Adds the defaults that clients read without looking whether they are there.
fn complete(shown: &mut Value, max_runtime_seconds: u64, checkpoints: Option<&Checkpoints>) {
    let default = |at: &mut Value, name: &str, value: Value| {
        if at[name].is_null() {
            at[name] = value;
        }
    };
    for name in ["EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"] {
        default(shown, name, json!(false));
    }
    default(&mut shown["AlgorithmSpecification"], "EnableSageMakerMetricsTimeSeries", json!(false));
    default(&mut shown["OutputDataConfig"], "KmsKeyId", json!(""));
    default(&mut shown["OutputDataConfig"], "CompressionType", json!("GZIP"));
    shown["StoppingCondition"]["MaxRuntimeInSeconds"] = json!(max_runtime_seconds);
    for channel in shown["InputDataConfig"].as_array_mut().into_iter().flatten() {
        default(channel, "CompressionType", json!("None"));
        default(channel, "RecordWrapperType", json!("None"));
        default(&mut channel["DataSource"]["S3DataSource"], "S3DataDistributionType", json!("FullyReplicated"));
    }
    if let Some(checkpoints) = checkpoints {
        default(&mut shown["CheckpointConfig"], "LocalPath", json!(format!("{BASE}{}", checkpoints.folder)));
    }
    if let Some(members) = shown.as_object_mut() {
        members.remove("Tags");
    }
}

fn hyperparameters(request: &mut Members) -> Result<BTreeMap<String, String>, ApiError> {
    let values = request.texts("HyperParameters")?;
    let refused = |shown: &str, most: usize, of: &str| {
        let constraint =
            format!("Map {of} must satisfy constraint: [Member must have length less than or equal to {most}]");
        Err(request.invalid("HyperParameters", &json!(shown), &constraint))
    };
    if values.len() > 100 {
        let constraint = "Member must have length less than or equal to 100";
        return Err(request.invalid("HyperParameters", &json!(values), constraint));
    }
    for (name, value) in &values {
        if name.chars().count() > 256 {
            return refused(name, 256, "keys");
        }
        if value.chars().count() > 2500 {
            return refused(value, 2500, "values");
        }
    }
    Ok(values)
}

struct Algorithm {
    image: String,
    mode: &'static str,
    entrypoint: Vec<String>,
    arguments: Vec<String>,
    metrics: Vec<MetricDefinition>,
}

const MODES: [&str; 3] = ["Pipe", "File", "FastFile"];

impl Algorithm {
    fn read(mut members: Members) -> Result<Self, ApiError> {
        if members.take("AlgorithmName").is_some() {
            return Err(members.unsupported("AlgorithmName", "give a TrainingImage"));
        }
        let image = members.text("TrainingImage", 255)?.filter(|image| !image.is_empty());
        let image = members.required("TrainingImage", image)?;
        let mode = members.one_of("TrainingInputMode", &MODES)?;
        let mode = members.required("TrainingInputMode", mode)?;
        let entrypoint = members.words("ContainerEntrypoint", 100, 256)?;
        let arguments = members.words("ContainerArguments", 100, 256)?;
        let definitions = members.structures("MetricDefinitions")?;
        if definitions.len() > 40 {
            let constraint = "Member must have length less than or equal to 40";
            return Err(members.invalid("MetricDefinitions", &json!(definitions.len()), constraint));
        }
        let metrics = definitions.into_iter().map(metric).collect::<Result<_, _>>()?;
        members.flag("EnableSageMakerMetricsTimeSeries")?;
        members.ignore(&["TrainingImageConfig"]);
        members.done()?;
        Ok(Self { image, mode, entrypoint, arguments, metrics })
    }
}

fn metric(mut members: Members) -> Result<MetricDefinition, ApiError> {
    let name = members.text("Name", 255)?;
    let name = members.required("Name", name)?;
    let regex = members.text("Regex", 500)?;
    let regex = members.required("Regex", regex)?;
    if let Err(error) = Regex::new(&regex) {
        let last = error.to_string();
        let problem = last.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let constraint = format!("an expression without look-around and back-references works here ({problem})");
        return Err(members.invalid("Regex", &json!(regex), &constraint));
    }
    members.done()?;
    Ok(MetricDefinition { name, regex })
}

fn channels(request: &mut Members, mode: &'static str) -> Result<Vec<Channel>, ApiError> {
    let given = request.structures("InputDataConfig")?;
    if given.len() > 20 {
        let constraint = "Member must have length less than or equal to 20";
        return Err(request.invalid("InputDataConfig", &json!(given.len()), constraint));
    }
    let channels = given.into_iter().map(|members| channel(members, mode)).collect::<Result<Vec<_>, _>>()?;
    for (number, channel) in channels.iter().enumerate() {
        if channels[..number].iter().any(|other| other.name == channel.name) {
            let constraint = "Member must have unique channel names";
            return Err(request.invalid("InputDataConfig", &json!(channel.name), constraint));
        }
    }
    Ok(channels)
}

fn channel(mut members: Members, mode: &'static str) -> Result<Channel, ApiError> {
    let name = members.text("ChannelName", 64)?;
    let name = members.required("ChannelName", name)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if name.is_empty() || !name.bytes().all(allowed) || matches!(name.as_str(), "." | "..") {
        let pattern = "Member must satisfy regular expression pattern: [A-Za-z0-9\\.\\-_]+";
        return Err(members.invalid("ChannelName", &json!(name), pattern));
    }
    let mode = match members.one_of("InputMode", &MODES)?.unwrap_or(mode) {
        "File" => InputMode::File,
        "FastFile" => InputMode::FastFile,
        _ => return Err(members.unsupported("InputMode", "File and FastFile work, Pipe does not")),
    };
    let content_type = members.text("ContentType", 256)?;
    if members.one_of("CompressionType", &["None", "Gzip"])? == Some("Gzip") {
        return Err(members.unsupported("CompressionType", "None works: Gzip is of the mode Pipe"));
    }
    if members.one_of("RecordWrapperType", &["None", "RecordIO"])? == Some("RecordIO") {
        return Err(members.unsupported("RecordWrapperType", "None works: RecordIO is of the mode Pipe"));
    }
    // It is the order in which a pipe delivers records, and files have none.
    members.ignore(&["ShuffleConfig"]);
    let source = members.structure("DataSource")?;
    let mut source = members.required("DataSource", source)?;
    if source.take("FileSystemDataSource").is_some() {
        return Err(source.unsupported("FileSystemDataSource", "give an S3DataSource"));
    }
    let data = source.structure("S3DataSource")?;
    let mut data = source.required("S3DataSource", data)?;
    source.done()?;
    let kinds = ["ManifestFile", "S3Prefix", "AugmentedManifestFile", "Converse"];
    let is_manifest = match data.one_of("S3DataType", &kinds)? {
        Some("S3Prefix") => false,
        Some("ManifestFile") if mode == InputMode::File => true,
        Some("ManifestFile") => return Err(data.unsupported("S3DataType", "FastFile takes an S3Prefix")),
        Some(_) => return Err(data.unsupported("S3DataType", "S3Prefix and ManifestFile work")),
        None => return data.required("S3DataType", None),
    };
    let uri = data.text("S3Uri", 1024)?;
    let uri = data.required("S3Uri", uri)?;
    check_s3_uri(&data, "S3Uri", &uri)?;
    let distribution = data.one_of("S3DataDistributionType", &["FullyReplicated", "ShardedByS3Key"])?;
    data.done()?;
    members.done()?;
    let distribution = distribution.unwrap_or("FullyReplicated").to_owned();
    Ok(Channel { name, content_type, mode, uri, is_manifest, distribution })
}

fn output_config(mut members: Members) -> Result<(String, bool), ApiError> {
    let path = members.text("S3OutputPath", 1024)?;
    let path = members.required("S3OutputPath", path)?;
    check_s3_uri(&members, "S3OutputPath", &path)?;
    members.ignore(&["KmsKeyId"]);
    let compression = members.one_of("CompressionType", &["GZIP", "NONE"])?;
    members.done()?;
    Ok((path.trim_end_matches('/').to_owned(), compression != Some("NONE")))
}

fn check_s3_uri(members: &Members, name: &str, uri: &str) -> Result<(), ApiError> {
    if uri.strip_prefix("s3://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')) {
        return Ok(());
    }
    let pattern = "Member must satisfy regular expression pattern: ^(https|s3)://([^/]+)/?(.*)$; s3:// works here";
    Err(members.invalid(name, &json!(uri), pattern))
}

fn instance_type(mut members: Members) -> Result<String, ApiError> {
    if members.take("InstanceGroups").is_some() {
        return Err(members.unsupported("InstanceGroups", "give InstanceType and an InstanceCount of 1"));
    }
    let count = members.integer("InstanceCount", 0..=u64::from(u32::MAX))?;
    if members.required("InstanceCount", count)? != 1 {
        return Err(members.unsupported("InstanceCount", "a training job has one instance here"));
    }
    let kind = members.text("InstanceType", 63)?;
    let kind = members.required("InstanceType", kind)?;
    if !kind.starts_with("ml.") {
        let constraint = "Member must satisfy enum value set: [ml.m5.large, ml.m5.xlarge, ...]: every type that begins with ml. works here";
        return Err(members.invalid("InstanceType", &json!(kind), constraint));
    }
    members.integer("VolumeSizeInGB", 0..=u64::from(u32::MAX))?;
    members.integer("KeepAlivePeriodInSeconds", 0..=21_600)?;
    members.ignore(&["VolumeKmsKeyId", "TrainingPlanArn"]);
    members.done()?;
    Ok(kind)
}

fn max_runtime(request: &mut Members, is_spot: bool) -> Result<u64, ApiError> {
    let Some(mut members) = request.structure("StoppingCondition")? else { return Ok(24 * 3600) };
    let most = members.integer("MaxRuntimeInSeconds", 1..=LONGEST)?.unwrap_or(24 * 3600);
    let wait = members.integer("MaxWaitTimeInSeconds", 1..=u64::from(u32::MAX))?;
    members.integer("MaxPendingTimeInSeconds", 1800..=2_419_200)?;
    members.done()?;
    match (is_spot, wait) {
        (true, None) => {
            Err(ApiError::validation("MaxWaitTimeInSeconds must be set when EnableManagedSpotTraining is true."))
        }
        (true, Some(wait)) if wait < most => Err(ApiError::validation(format!(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds: {wait} is less than {most}."
        ))),
        (false, Some(_)) => {
            Err(ApiError::validation("MaxWaitTimeInSeconds can only be set when EnableManagedSpotTraining is true."))
        }
        _ => Ok(most),
    }
}

fn checkpoint_config(mut members: Members) -> Result<Checkpoints, ApiError> {
    let uri = members.text("S3Uri", 1024)?;
    let uri = members.required("S3Uri", uri)?;
    let trimmed = uri.trim_end_matches('/');
    // Whatever is deleted in the folder is deleted below the prefix, so it must not be a whole bucket.
    if crate::s3::split_uri(trimmed).is_none() {
        return Err(members.invalid("S3Uri", &json!(uri), "it must be s3://bucket/prefix here"));
    }
    let path = members.text("LocalPath", 4096)?.unwrap_or_else(|| format!("{BASE}checkpoints"));
    let folder = path.strip_prefix(BASE).map(|folder| folder.trim_matches('/').to_owned());
    let is_inside = |folder: &String| {
        let taken = ["input", "model", "output"];
        let mut parts = folder.split('/');
        folder.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
            && parts.next().is_some_and(|first| !taken.contains(&first))
    };
    let Some(folder) = folder.filter(is_inside) else {
        let constraint = "a folder below /opt/ml works here, other than input, model and output";
        return Err(members.invalid("LocalPath", &json!(path), constraint));
    };
    members.done()?;
    Ok(Checkpoints { uri: trimmed.to_owned(), folder })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Value {
        json!({
            "TrainingJobName": "job",
            "RoleArn": "arn:aws:iam::000000000000:role/r",
            "AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": "s3://b/out/"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "InputDataConfig": [{
                "ChannelName": "train",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in/"}},
            }],
        })
    }

    fn read_value(request: &Value) -> Result<(String, TrainingSpec, Value), ApiError> {
        read(Members::parse(request.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn a_request_is_shown_with_the_defaults_that_clients_read() {
        let (name, spec, shown) = read_value(&request()).unwrap();
        assert_eq!((name.as_str(), spec.output_path.as_str(), spec.max_runtime_seconds), ("job", "s3://b/out", 60));
        assert_eq!(
            shown["OutputDataConfig"],
            json!({"S3OutputPath": "s3://b/out/", "KmsKeyId": "", "CompressionType": "GZIP"})
        );
        assert_eq!(shown["EnableManagedSpotTraining"], false);
        let channel = &shown["InputDataConfig"][0];
        assert_eq!((&channel["CompressionType"], &channel["RecordWrapperType"]), (&json!("None"), &json!("None")));
        assert_eq!(channel["DataSource"]["S3DataSource"]["S3DataDistributionType"], "FullyReplicated");
        let mut spot = request();
        spot["EnableManagedSpotTraining"] = json!(true);
        spot["StoppingCondition"]["MaxWaitTimeInSeconds"] = json!(60);
        spot["CheckpointConfig"] = json!({"S3Uri": "s3://b/checkpoints/"});
        let (_, spec, shown) = read_value(&spot).unwrap();
        assert_eq!(
            spec.checkpoints,
            Some(Checkpoints { uri: "s3://b/checkpoints".into(), folder: "checkpoints".into() })
        );
        assert_eq!(shown["CheckpointConfig"]["LocalPath"], "/opt/ml/checkpoints");
    }

    #[test]
    fn bad_members_are_refused_by_their_path() {
        let channel = "/InputDataConfig/0";
        for (pointer, value, words) in [
            (
                "/TrainingJobName",
                json!("a_b"),
                "'a_b' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular",
            ),
            ("/RoleArn", json!("role"), "at 'roleArn'"),
            (
                "/ResourceConfig/InstanceType",
                json!("local"),
                "Value 'local' at 'resourceConfig.instanceType' failed to satisfy constraint: Member must satisfy enum",
            ),
            ("/ResourceConfig/InstanceCount", json!(2), "resourceConfig.instanceCount is not supported"),
            ("/ResourceConfig", json!({"InstanceGroups": []}), "instanceGroups"),
            ("/StoppingCondition/MaxRuntimeInSeconds", json!(0), "maxRuntimeInSeconds"),
            ("/StoppingCondition", json!({"MaxWaitTimeInSeconds": 9}), "EnableManagedSpotTraining"),
            (
                "/AlgorithmSpecification/TrainingInputMode",
                json!("Pipe"),
                "inputDataConfig.1.member.inputMode is not supported",
            ),
            ("/AlgorithmSpecification", json!({"AlgorithmName": "a"}), "algorithmName"),
            ("/AlgorithmSpecification/MetricDefinitions", json!([{"Name": "a", "Regex": "(?=a)"}]), "look-around"),
            ("/OutputDataConfig/S3OutputPath", json!("https://b"), "s3OutputPath"),
            ("/HyperParameters", json!({"a": 1}), "hyperParameters"),
            ("/Environment", json!({"LD_PRELOAD": "x"}), "LD_PRELOAD"),
            ("/CheckpointConfig", json!({"S3Uri": "s3://b/"}), "checkpointConfig.s3Uri"),
            ("/CheckpointConfig", json!({"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/../x"}), "localPath"),
            ("/CheckpointConfig", json!({"S3Uri": "s3://b/c", "LocalPath": "/tmp"}), "localPath"),
            ("/EnableNetworkIsolation", json!(true), "enableNetworkIsolation"),
            ("/Bogus", json!(1), "bogus is not supported"),
            (&format!("{channel}/ChannelName"), json!("../x"), "channelName"),
            (&format!("{channel}/CompressionType"), json!("Gzip"), "compressionType"),
            (&format!("{channel}/DataSource/S3DataSource/S3DataType"), json!("AugmentedManifestFile"), "s3DataType"),
            (&format!("{channel}/DataSource/S3DataSource/AttributeNames"), json!(["a"]), "attributeNames"),
        ] {
            let mut request = request();
            match request.pointer_mut(pointer) {
                Some(member) => *member = value,
                None => {
                    let (parent, name) = pointer.rsplit_once('/').unwrap();
                    request.pointer_mut(parent).unwrap()[name] = value;
                }
            }
            let error = read_value(&request).unwrap_err().to_string();
            assert!(error.contains(words), "{pointer}: {error}");
        }
        let mut twice = request();
        let channel = twice["InputDataConfig"][0].clone();
        twice["InputDataConfig"].as_array_mut().unwrap().push(channel);
        assert!(read_value(&twice).unwrap_err().to_string().contains("unique"));
    }
}
