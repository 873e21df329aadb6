"""Trains an SSD from TFRecords by a training job, deploys it, and asks it as its users do: a picture in base64.

    python boto3_ssd.py FOLDER PICTURE DRAWN STEPS AP50 THRESHOLD

FOLDER has pipeline.config, label_map.pbtxt and the records. DRAWN is PICTURE with the objects whose score is THRESHOLD or more. The model
has to reach AP50 on the validation records.
"""

import base64
import csv
import io
import json
import sys
import tarfile
from pathlib import Path

import boto3
from botocore.exceptions import ClientError
from PIL import Image, ImageDraw

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/time-traveler:latest"
ROLE = "arn:aws:iam::123456789012:role/anybody"
data, photo, drawn = map(Path, sys.argv[1:4])
steps, least, threshold = sys.argv[4], float(sys.argv[5]), float(sys.argv[6])

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
    HyperParameters={"num_steps": steps, "quantize": "False", "image_size": "128", "inference_type": "FLOAT"},
    InputDataConfig=[channel],
    OutputDataConfig={"S3OutputPath": "s3://portraits/trained"},
    ResourceConfig={"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 5},
    StoppingCondition={"MaxRuntimeInSeconds": 600},
)
sagemaker.get_waiter("training_job_completed_or_stopped").wait(
    TrainingJobName="shapes", WaiterConfig={"Delay": 1, "MaxAttempts": 600}
)
job = sagemaker.describe_training_job(TrainingJobName="shapes")
assert job["TrainingJobStatus"] == "Completed", job

output = s3.get_object(Bucket="portraits", Key="trained/shapes/output/output.tar.gz")["Body"].read()
with tarfile.open(fileobj=io.BytesIO(output)) as archive:
    history = archive.extractfile("history.csv").read().decode()
rows = list(csv.DictReader(io.StringIO(history)))
best = max(rows, key=lambda row: float(row["AP"]))
print(f"AP {best['AP']}, AP50 {best['AP50']} after {len(rows)} rounds")
assert float(best["AP50"]) >= least, history

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


names = ["circle", "square", "triangle"]
image = base64.b64encode(photo.read_bytes()).decode("utf-8")
rows = invoke(json.dumps({"image": image}))["prediction"]
assert len(rows) == 100 and all(len(row) == 6 for row in rows), rows
assert all(row[0] in (0.0, 1.0, 2.0) and all(0 <= value <= 1 for value in row[1:]) for row in rows), rows
scores = [row[1] for row in rows]
assert scores == sorted(scores, reverse=True) and scores[0] > 0, scores
above = invoke(json.dumps({"image": image, "threshold": scores[0]}))["prediction"]
assert above and all(row[1] >= scores[0] for row in above), above

# As the original's notebook draws them.
picture = Image.open(photo).convert("RGB")
pen, found = ImageDraw.Draw(picture), [row for row in rows if row[1] >= threshold]
assert found, rows[:5]
for label, score, left, top, right, bottom in found:
    corners = [left * picture.width, top * picture.height, right * picture.width, bottom * picture.height]
    pen.rectangle(corners, outline="red")
    pen.text(corners[:2], f"{names[int(label)]} {score:.2f}", fill="white")
picture.save(drawn)

try:
    invoke("hello")
except ClientError as error:
    assert error.response["OriginalStatusCode"] == 400, error.response
    assert "is no JSON" in json.loads(error.response["OriginalMessage"])["reason"], error.response
else:
    raise AssertionError("no JSON was accepted")
