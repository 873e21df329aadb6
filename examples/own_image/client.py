"""Trains the line of `line.py`, deploys it, and asks it, with boto3. The address comes from AWS_ENDPOINT_URL."""

import time

import boto3

BUCKET, ROLE, IMAGE = "line", "arn:aws:iam::000000000000:role/anybody", "line:latest"
NAME = f"line-{int(time.time())}"

s3, sagemaker, runtime = (boto3.client(name) for name in ["s3", "sagemaker", "sagemaker-runtime"])

# The data: y = 3 x + 1.
s3.create_bucket(Bucket=BUCKET)
rows = "".join(f"{x / 10},{3 * x / 10 + 1}\n" for x in range(-10, 11))
s3.put_object(Bucket=BUCKET, Key="data/rows.csv", Body=rows)

# Train.
source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/data/"}}
sagemaker.create_training_job(
    TrainingJobName=NAME,
    RoleArn=ROLE,
    AlgorithmSpecification={
        "TrainingImage": IMAGE,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
    },
    HyperParameters={"epochs": "200", "rate": "0.3"},
    InputDataConfig=[{"ChannelName": "train", "DataSource": source}],
    OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/models"},
    ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    StoppingCondition={"MaxRuntimeInSeconds": 600},
)
waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
waiter.wait(TrainingJobName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
job = sagemaker.describe_training_job(TrainingJobName=NAME)
print(job["TrainingJobStatus"], "loss:", job["FinalMetricDataList"][0]["Value"])

# Deploy.
model = job["ModelArtifacts"]["S3ModelArtifacts"]
sagemaker.create_model(
    ModelName=NAME, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": model}
)
variant = {"VariantName": "all", "ModelName": NAME, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
sagemaker.create_endpoint_config(EndpointConfigName=NAME, ProductionVariants=[variant])
sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
waiter = sagemaker.get_waiter("endpoint_in_service")
waiter.wait(EndpointName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 120})

# Ask.
answer = runtime.invoke_endpoint(EndpointName=NAME, ContentType="text/csv", Body="0\n2\n")
print(answer["ContentType"], answer["Body"].read().decode().split())

for delete, name in [("endpoint", "EndpointName"), ("endpoint_config", "EndpointConfigName"), ("model", "ModelName")]:
    getattr(sagemaker, f"delete_{delete}")(**{name: NAME})
