"""Trains a classifier by a training job of the product's image, deploys it, and classifies pictures. The argument is a folder with a
folder of pictures for each class."""

import io
import json
import pathlib
import sys
import tarfile

import boto3

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/time-traveler:latest"
ROLE = "arn:aws:iam::123456789012:role/anybody"
pictures = pathlib.Path(sys.argv[1])
s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")

for file in pictures.glob("*/*"):
    s3.upload_file(str(file), "portraits", f"pets/{file.parent.name}/{file.name}")


def train(name, hyperparameters):
    sagemaker.create_training_job(
        TrainingJobName=name,
        RoleArn=ROLE,
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "accuracy", "Regex": "accuracy: ([0-9.]+)"}, {"Name": "loss", "Regex": "total_loss: ([0-9.]+)"}],
        },
        HyperParameters=hyperparameters,
        InputDataConfig=[{
            "ChannelName": "training",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://portraits/pets/"}},
        }],
        OutputDataConfig={"S3OutputPath": "s3://portraits/jobs"},
        ResourceConfig={"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    try:
        waiter.wait(TrainingJobName=name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 3000})
    except Exception:
        pass  # A failed job ends the waiter too.
    return sagemaker.describe_training_job(TrainingJobName=name)


failed = train("refused", {"epoch": "1"})
assert failed["TrainingJobStatus"] == "Failed", failed
assert 'there is no hyperparameter "epoch"' in failed["FailureReason"], failed["FailureReason"]

tiny = {"model_arch": "resnet18", "image_size": "32", "batch_size": "4", "epochs": "12", "lr": "1e-3", "augment": "false"}
job = train("pets", tiny)
assert job["TrainingJobStatus"] == "Completed", job
metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
assert metrics["accuracy"] >= 0.75 and metrics["loss"] > 0, metrics
bucket, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").split("/", 1)
archive = tarfile.open(fileobj=io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read()))
assert {"model.safetensors", "classes.json"} <= {pathlib.Path(name).name for name in archive.getnames()}, archive.getnames()
output = s3.get_object(Bucket=bucket, Key=key.replace("model.tar.gz", "output.tar.gz"))["Body"].read()
assert {"history.csv", "training.html"} <= {pathlib.Path(n).name for n in tarfile.open(fileobj=io.BytesIO(output)).getnames()}

model = {"Image": IMAGE, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}
sagemaker.create_model(ModelName="pets", ExecutionRoleArn=ROLE, PrimaryContainer=model)
variant = {"VariantName": "AllTraffic", "ModelName": "pets", "InstanceType": "ml.c5.xlarge", "InitialInstanceCount": 1}
sagemaker.create_endpoint_config(EndpointConfigName="pets", ProductionVariants=[variant])
sagemaker.create_endpoint(EndpointName="pets", EndpointConfigName="pets")
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="pets", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
runtime = boto3.client("sagemaker-runtime")
right = 0
files = sorted(pictures.glob("*/*"))
for file in files:
    answer = runtime.invoke_endpoint(EndpointName="pets", Body=file.read_bytes(), ContentType="image/png")
    right += json.loads(answer["Body"].read())["class"] == file.parent.name
assert right >= 0.9 * len(files), (right, len(files))
