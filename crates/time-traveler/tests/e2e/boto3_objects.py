"""Deploys a model.pth of one's own, packed with the service's programs as its guide says, and asks it as its users do.

The arguments are the archive, a photo, and a JSON file with what the reference code finds in it.
"""

import json
import sys

import boto3
from botocore.exceptions import ClientError

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/time-traveler:latest"
ROLE = "arn:aws:iam::123456789012:role/anybody"
archive, photo, expected = sys.argv[1:]

s3, sagemaker, runtime = boto3.client("s3"), boto3.client("sagemaker"), boto3.client("sagemaker-runtime")
s3.upload_file(archive, "portraits", "own/model.tar.gz")
container = {
    "Image": IMAGE,
    "ModelDataUrl": "s3://portraits/own/model.tar.gz",
    "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "s3://portraits/own/model.tar.gz"},
}
sagemaker.create_model(ModelName="objects", ExecutionRoleArn=ROLE, PrimaryContainer=container)
variant = {"VariantName": "AllTraffic", "ModelName": "objects", "InstanceType": "ml.c5.xlarge", "InitialInstanceCount": 1}
sagemaker.create_endpoint_config(EndpointConfigName="objects", ProductionVariants=[variant])
sagemaker.create_endpoint(EndpointName="objects", EndpointConfigName="objects")
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="objects", WaiterConfig={"Delay": 1, "MaxAttempts": 120})

result = runtime.invoke_endpoint(EndpointName="objects", Body=open(photo, "rb").read(), ContentType="image/png", Accept="application/json")
assert result["ContentType"] == "application/json", result
found, wanted = json.loads(result["Body"].read()), json.load(open(expected))
assert list(found) == ["pred_boxes", "scores", "pred_classes", "image_size"], found
assert found["image_size"] == wanted["image_size"], found["image_size"]
count = sum(score > 0.3 for score in wanted["scores"])
assert count > 10, count
assert abs(sum(score > 0.3 for score in found["scores"]) - count) <= 1, found["scores"]
assert min(found["scores"]) > 0.2
for box, score, name in list(zip(wanted["pred_boxes"], wanted["scores"], wanted["pred_classes"]))[:count]:
    near = [
        other
        for other, of_other, of_class in zip(found["pred_boxes"], found["scores"], found["pred_classes"])
        if of_class == name and abs(of_other - score) < 2e-3 and all(abs(a - b) < 0.5 for a, b in zip(box, other))
    ]
    assert near, (box, score, name)

try:
    runtime.invoke_endpoint(EndpointName="objects", Body=b"hello", ContentType="application/x-npy")
except ClientError as error:
    assert error.response["OriginalStatusCode"] == 400, error.response
    assert json.loads(error.response["OriginalMessage"])["code"] == "BAD_ARRAY", error.response
else:
    raise AssertionError("no array was accepted")
