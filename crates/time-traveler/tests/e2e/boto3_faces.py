"""Deploys a face detector with boto3 and calls it as its users do: by bucket and key.

The arguments are the model's checkpoint, a photo, and a JSON file with what the reference code finds in it.
"""

import io
import json
import sys
import tarfile

import boto3
from botocore.exceptions import ClientError

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/time-traveler:latest"
ROLE = "arn:aws:iam::123456789012:role/anybody"
checkpoint, photo, expected = sys.argv[1:]

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")

buffer = io.BytesIO()
with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
    archive.add(checkpoint, "faces.safetensors")
s3.put_object(Bucket="portraits", Key="models/faces.tar.gz", Body=buffer.getvalue())
s3.put_object(Bucket="portraits", Key="people/a photo.png", Body=open(photo, "rb").read())

environment = {"SAGEMAKER_PROGRAM": "inference.py", "MODEL_NAME": "RetinaNetMobileNetV1", "WITH_LANDMARKS": "TRUE"}
container = {"Image": IMAGE, "ModelDataUrl": "s3://portraits/models/faces.tar.gz", "Environment": environment}
sagemaker.create_model(ModelName="faces", ExecutionRoleArn=ROLE, PrimaryContainer=container)
variant = {"VariantName": "AllTraffic", "ModelName": "faces", "InstanceType": "ml.c5.xlarge", "InitialInstanceCount": 1}
sagemaker.create_endpoint_config(EndpointConfigName="faces", ProductionVariants=[variant])
sagemaker.create_endpoint(EndpointName="faces", EndpointConfigName="faces")
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="faces", WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def invoke(body, content_type):
    result = runtime.invoke_endpoint(EndpointName="faces", Body=body, ContentType=content_type)
    assert result["ContentType"] == "application/json", result
    return json.loads(result["Body"].read())


answer = json.load(open(expected))
boxes, landmarks = invoke("portraits/people/a photo.png", "text/csv")
assert len(boxes) == len(landmarks) == 1
assert len(boxes[0]) == len(landmarks[0]) == len(answer["detections"]) > 3
for found, wanted in zip(boxes[0], answer["detections"]):
    assert len(found) == 5 and all(abs(one - other) < 0.02 for one, other in zip(found, wanted)), (found, wanted)
for found, wanted in zip(landmarks[0], answer["landmarks"]):
    assert all(abs(a - b) < 0.02 for one, other in zip(found, wanted) for a, b in zip(one, other)), (found, wanted)
body = json.dumps({"bucket": "portraits", "key": "people/a photo.png"})
assert invoke(body, "application/json") == [boxes, landmarks]

for body, status, code in [
    ("portraits/people/absent.png", 404, "NO_SUCH_KEY"),
    ("no-such-bucket-here/photo.png", 404, "NO_SUCH_BUCKET"),
    ("portraits/models/faces.tar.gz", 415, "UNSUPPORTED_IMAGE"),
    ("portraits", 400, "BAD_REFERENCE"),
]:
    try:
        invoke(body, "text/csv")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ModelError", error.response
        assert error.response["OriginalStatusCode"] == status, error.response
        assert json.loads(error.response["OriginalMessage"])["code"] == code, error.response
    else:
        raise AssertionError(f"{body} was accepted")
