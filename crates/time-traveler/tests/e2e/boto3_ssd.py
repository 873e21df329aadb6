"""Trains an SSD from TFRecords by a training job, deploys it, and asks it as its users do: a picture in base64.

The arguments are a folder with pipeline.config, label_map.pbtxt and the records, and a picture.
"""

import base64
import json
import sys
from pathlib import Path

import boto3
from botocore.exceptions import ClientError

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/time-traveler:latest"
ROLE = "arn:aws:iam::123456789012:role/anybody"
data, photo = map(Path, sys.argv[1:])

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")

for file in data.iterdir():
    if file.is_file():
        s3.upload_file(str(file), "portraits", f"shapes/{file.name}")
channel = {
    "ChannelName": "training",
    "InputMode": "File",
    "DataSource": {
        "S3DataSource": {
            "S3DataType": "S3Prefix",
            "S3Uri": "s3://portraits/shapes",
            "S3DataDistributionType": "FullyReplicated",
        }
    },
}
sagemaker.create_training_job(
    TrainingJobName="shapes",
    AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
    RoleArn=ROLE,
    HyperParameters={"num_steps": "4", "eval_steps": "2", "batch_size": "4", "image_size": "128"},
    InputDataConfig=[channel],
    OutputDataConfig={"S3OutputPath": "s3://portraits/trained"},
    ResourceConfig={"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 5},
    StoppingCondition={"MaxRuntimeInSeconds": 600},
)
sagemaker.get_waiter("training_job_completed_or_stopped").wait(
    TrainingJobName="shapes", WaiterConfig={"Delay": 1, "MaxAttempts": 300}
)
job = sagemaker.describe_training_job(TrainingJobName="shapes")
assert job["TrainingJobStatus"] == "Completed", job

container = {"Image": IMAGE, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}
sagemaker.create_model(ModelName="shapes", ExecutionRoleArn=ROLE, PrimaryContainer=container)
variant = {"VariantName": "AllTraffic", "ModelName": "shapes", "InstanceType": "ml.m4.xlarge", "InitialInstanceCount": 1}
sagemaker.create_endpoint_config(EndpointConfigName="shapes", ProductionVariants=[variant])
sagemaker.create_endpoint(EndpointName="shapes", EndpointConfigName="shapes")
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="shapes", WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def invoke(body):
    result = runtime.invoke_endpoint(EndpointName="shapes", Body=body, ContentType="application/json")
    assert result["ContentType"] == "application/json", result
    return json.loads(result["Body"].read())


image = base64.b64encode(photo.read_bytes()).decode("utf-8")
rows = invoke(json.dumps({"image": image}))["prediction"]
assert len(rows) == 100 and all(len(row) == 6 for row in rows), rows
assert all(row[0] in (0.0, 1.0, 2.0) and all(0 <= value <= 1 for value in row[1:]) for row in rows), rows
scores = [row[1] for row in rows]
assert scores == sorted(scores, reverse=True) and scores[0] > 0, scores
above = invoke(json.dumps({"image": image, "threshold": scores[0]}))["prediction"]
assert above and all(row[1] >= scores[0] for row in above), above

try:
    invoke("hello")
except ClientError as error:
    assert error.response["OriginalStatusCode"] == 400, error.response
    assert "is no JSON" in json.loads(error.response["OriginalMessage"])["reason"], error.response
else:
    raise AssertionError("no JSON was accepted")
