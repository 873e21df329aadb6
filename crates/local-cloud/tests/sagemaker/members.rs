//! Every structure of an input is read whole: a member that nothing reads is refused by its path, however deep it lies.

use serde_json::{Value, json};

use crate::cloud::Tested;

/// Inputs with every structure that is read, and what the service says of each after it was read.
fn inputs() -> Vec<(&'static str, Value, &'static str)> {
    let role = "arn:aws:iam::000000000000:role/r";
    let source = json!({"S3Uri": "s3://bucket/m.tar.gz", "S3DataType": "S3Object", "CompressionType": "Gzip"});
    let container = json!({"Image": "model", "ModelDataSource": {"S3DataSource": source}});
    let tags = json!([{"Key": "a", "Value": "1"}]);
    let instances = json!({"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.x"});
    let serverless = json!({"VariantName": "v", "ModelName": "m",
        "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}});
    let asynchronous = json!({"ClientConfig": {"MaxConcurrentInvocationsPerInstance": 1},
        "OutputConfig": {"S3OutputPath": "s3://bucket/out", "NotificationConfig": {}}});
    let objects = |kind: &str| json!({"S3DataSource": {"S3DataType": kind, "S3Uri": "s3://bucket/none/"}});
    vec![
        (
            "CreateModel",
            json!({"ModelName": "row", "Containers": [container], "InferenceExecutionConfig": {"Mode": "Serial"}, "Tags": tags}),
            "",
        ),
        ("CreateModel", json!({"ModelName": "one", "PrimaryContainer": container}), ""),
        (
            "CreateEndpointConfig",
            json!({"EndpointConfigName": "c", "ProductionVariants": [instances], "AsyncInferenceConfig": asynchronous}),
            "Could not find model",
        ),
        (
            "CreateEndpointConfig",
            json!({"EndpointConfigName": "c", "ProductionVariants": [serverless], "Tags": tags}),
            "Could not find model",
        ),
        (
            "CreateEndpoint",
            json!({"EndpointName": "e", "EndpointConfigName": "c", "Tags": tags}),
            "Could not find endpoint configuration",
        ),
        (
            "UpdateEndpoint",
            json!({"EndpointName": "e", "EndpointConfigName": "c",
                "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}]}),
            "Could not find endpoint",
        ),
        (
            "UpdateEndpointWeightsAndCapacities",
            json!({"EndpointName": "e", "DesiredWeightsAndCapacities": [{"VariantName": "v", "DesiredWeight": 1}]}),
            "Could not find endpoint",
        ),
        (
            "CreateTrainingJob",
            json!({"TrainingJobName": "j", "RoleArn": role,
                "AlgorithmSpecification": {"TrainingImage": "model", "TrainingInputMode": "File",
                    "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}]},
                "InputDataConfig": [{"ChannelName": "train", "DataSource": objects("S3Prefix")}],
                "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
                "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
                "StoppingCondition": {"MaxRuntimeInSeconds": 60},
                "CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints"}, "Tags": tags}),
            "No S3 objects found",
        ),
        (
            "CreateTransformJob",
            json!({"TransformJobName": "j", "ModelName": "m",
                "TransformInput": {"DataSource": objects("S3Prefix"), "ContentType": "text/csv", "SplitType": "Line"},
                "TransformOutput": {"S3OutputPath": "s3://bucket/out", "Accept": "text/csv", "AssembleWith": "Line"},
                "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
                "ModelClientConfig": {"InvocationsMaxRetries": 1},
                "DataProcessing": {"InputFilter": "$[1:]"}, "Tags": tags}),
            "Could not find model",
        ),
    ]
}

/// The pointers of every structure of a value, itself among them.
fn structures(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.push(at.to_owned());
            members.iter().for_each(|(name, member)| structures(member, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(number, item)| structures(item, &format!("{at}/{number}"), found));
        }
        _ => {}
    }
}

/// A pointer as AWS writes the path of a member: `containers.1.member.ofProbe`.
fn path(structure: &str) -> String {
    let parts = structure.split('/').skip(1).chain(["OfProbe"]).map(|part| match part.parse::<usize>() {
        Ok(number) => format!("{}.member", number + 1),
        Err(_) => part[..1].to_ascii_lowercase() + &part[1..],
    });
    parts.collect::<Vec<_>>().join(".")
}

#[tokio::test]
async fn a_member_that_nothing_reads_is_refused_however_deep_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path(), "model.py").await;
    for (operation, input, words) in inputs() {
        match tested.sagemaker(operation, input.clone()).await {
            Ok(_) => assert_eq!(words, "", "{operation}"),
            Err((_, message)) => assert!(!words.is_empty() && message.starts_with(words), "{operation}: {message}"),
        }
        let mut found = Vec::new();
        structures(&input, "", &mut found);
        for structure in found {
            let mut with = input.clone();
            with.pointer_mut(&structure).unwrap()["OfProbe"] = json!("x");
            let (code, message) = tested.sagemaker(operation, with).await.unwrap_err();
            let refusal = format!("{} is not supported by the local cloud", path(&structure));
            // The source of a model's archive is read apart, without the path before it.
            let is_refused = message.starts_with(&refusal)
                || refusal.contains("modelDataSource") && message.contains("ofProbe is not supported");
            assert!(code == "ValidationException" && is_refused, "{operation} {structure}: {message}");
        }
    }
    tested.cloud.stop().await;
}
