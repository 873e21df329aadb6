//! Inputs that the control plane of SageMaker takes, one for each operation.

use serde_json::{Value, json};

/// The input of an operation. `None`: it has none here, and its members are not looked at.
///
/// They are called in the order of AWS's names: `Create…`, `Delete…`, `Describe…`, `List…`, `Stop…`, `Update…`. So what is deleted
/// must be something else than what is described: `gone`, which [`before`] makes.
pub(crate) fn input(operation: &str) -> Option<Value> {
    let container = json!({"Image": "model"});
    let variant =
        json!({"VariantName": "v", "ModelName": "kept", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"});
    let model = |name: &str| json!({"ModelName": name, "PrimaryContainer": container});
    let config = |name: &str| json!({"EndpointConfigName": name, "ProductionVariants": [variant]});
    let endpoint = |name: &str| json!({"EndpointName": name, "EndpointConfigName": "kept"});
    let training = |name: &str| {
        json!({"TrainingJobName": name, "AlgorithmSpecification": {"TrainingImage": "model", "TrainingInputMode": "File"},
            "RoleArn": "arn:aws:iam::000000000000:role/r", "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60}})
    };
    let transform = |name: &str| {
        json!({"TransformJobName": name, "ModelName": "kept", "TransformOutput": {"S3OutputPath": "s3://bucket/out"},
            "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/data/"}}},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1}})
    };
    let arn = "arn:aws:sagemaker:us-east-1:000000000000:model/kept";
    Some(match operation {
        "CreateModel" => model("new"),
        "CreateEndpointConfig" => config("new"),
        "CreateEndpoint" => endpoint("new"),
        "CreateTrainingJob" => training("new"),
        "CreateTransformJob" => transform("new"),
        "DescribeModel" => json!({"ModelName": "kept"}),
        "DescribeEndpointConfig" => json!({"EndpointConfigName": "kept"}),
        "DescribeEndpoint" => json!({"EndpointName": "own"}),
        "DescribeTrainingJob" => json!({"TrainingJobName": "new"}),
        "DescribeTransformJob" => json!({"TransformJobName": "new"}),
        "DeleteModel" => json!({"ModelName": "gone"}),
        "DeleteEndpointConfig" => json!({"EndpointConfigName": "gone"}),
        "ListModels" | "ListEndpointConfigs" | "ListEndpoints" | "ListTrainingJobs" | "ListTransformJobs" => json!({}),
        // The members are read before what they name is looked for.
        "DeleteEndpoint" => json!({"EndpointName": "none"}),
        "StopTrainingJob" => json!({"TrainingJobName": "none"}),
        "StopTransformJob" => json!({"TransformJobName": "none"}),
        "UpdateEndpoint" => endpoint("none"),
        "UpdateEndpointWeightsAndCapacities" => {
            json!({"EndpointName": "none", "DesiredWeightsAndCapacities": [{"VariantName": "v", "DesiredWeight": 1}]})
        }
        "AddTags" => json!({"ResourceArn": arn, "Tags": [{"Key": "a", "Value": "1"}]}),
        "ListTags" => json!({"ResourceArn": arn}),
        "DeleteTags" => json!({"ResourceArn": arn, "TagKeys": ["a"]}),
        _ => return None,
    })
}

/// What the operations need, with the operation that makes it.
pub(crate) fn before() -> Vec<(&'static str, Value)> {
    let mut made = Vec::new();
    for name in ["kept", "gone"] {
        for (operation, member) in [("CreateModel", "ModelName"), ("CreateEndpointConfig", "EndpointConfigName")] {
            let mut input = input(operation).unwrap();
            input[member] = json!(name);
            made.push((operation, input));
        }
    }
    made
}
