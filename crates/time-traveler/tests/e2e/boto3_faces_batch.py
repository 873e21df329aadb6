"""Finds the faces of 200 photographs in a bucket by a transform job. Five of them are broken.

The arguments are `create`, `begun`, or `ended` after the cloud was killed, the model's checkpoint, a photo, and a JSON file with what
the reference code finds in it.
"""

import io
import json
import sys
import tarfile
import time

import boto3
from PIL import Image

step, checkpoint, photo, expected = sys.argv[1:]
s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/time-traveler:latest"
ROLE = "arn:aws:iam::123456789012:role/anybody"
BROKEN = {7: "UNSUPPORTED_IMAGE", 50: "CORRUPT_IMAGE", 51: "UNSUPPORTED_IMAGE", 120: "CORRUPT_IMAGE", 199: "UNSUPPORTED_IMAGE"}
KEYS = [f"photos/{number:03}.png" for number in range(200)]


def picture(number):
    """The photo itself, or one of nineteen smaller crops of it."""
    whole = open(photo, "rb").read()
    if BROKEN.get(number) == "CORRUPT_IMAGE":
        return whole[: len(whole) // 2]
    if number in BROKEN:
        return b"no picture"
    if number % 20 == 0:
        return whole
    buffer = io.BytesIO()
    side = 40 + number % 20
    Image.open(photo).convert("RGB").crop((0, 0, side, side + 7)).save(buffer, "PNG")
    return buffer.getvalue()


def create():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(checkpoint, "faces.safetensors")
    s3.create_bucket(Bucket="batch")
    s3.put_object(Bucket="batch", Key="models/faces.tar.gz", Body=buffer.getvalue())
    for number, key in enumerate(KEYS):
        s3.put_object(Bucket="batch", Key=key, Body=picture(number))
    container = {"Image": IMAGE, "ModelDataUrl": "s3://batch/models/faces.tar.gz", "Environment": {"WITH_LANDMARKS": "TRUE"}}
    sagemaker.create_model(ModelName="faces", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://batch/photos/"}}
    sagemaker.create_transform_job(
        TransformJobName="faces",
        ModelName="faces",
        MaxConcurrentTransforms=2,
        TransformInput={"DataSource": source, "ContentType": "image/png", "SplitType": "None"},
        TransformOutput={"S3OutputPath": "s3://batch/faces"},
        TransformResources={"InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
        Tags=[{"Key": "local-cloud:bad-records", "Value": "skip"}],
    )


def outputs():
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="batch", Prefix="faces/")
    return [entry["Key"] for page in pages for entry in page.get("Contents", []) if entry["Key"].endswith(".out")]


def begun():
    """Waits until some photographs are done, and others are not."""
    while len(outputs()) < 20:
        assert sagemaker.describe_transform_job(TransformJobName="faces")["TransformJobStatus"] == "InProgress"
        time.sleep(0.05)
    assert len(outputs()) < 190, "the job was too fast for a kill in its middle"


def ended():
    waiter = sagemaker.get_waiter("transform_job_completed_or_stopped")
    waiter.wait(TransformJobName="faces", WaiterConfig={"Delay": 0.2, "MaxAttempts": 1500})
    job = sagemaker.describe_transform_job(TransformJobName="faces")
    assert job["TransformJobStatus"] == "Completed", job
    good = [f"faces/{key.removeprefix('photos/')}.out" for number, key in enumerate(KEYS) if number not in BROKEN]
    assert sorted(outputs()) == good, outputs()
    answers = {}
    for key in good:
        number = int(key.removeprefix("faces/").removesuffix(".png.out"))
        boxes, landmarks = json.loads(s3.get_object(Bucket="batch", Key=key)["Body"].read())
        assert len(boxes) == len(landmarks) == 1 and len(boxes[0]) == len(landmarks[0]), key
        # The same picture has the same faces, before the kill and after it.
        assert answers.setdefault(number % 20, boxes) == boxes, key
    wanted = json.load(open(expected))["detections"]
    assert len(answers[0][0]) == len(wanted) > 3
    for found, one in zip(answers[0][0], wanted):
        assert all(abs(a - b) < 0.02 for a, b in zip(found, one)), (found, one)

    lines = s3.get_object(Bucket="batch", Key="faces/_records.jsonl")["Body"].read().decode().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["object"] for record in records] == [f"s3://batch/{key}" for key in KEYS], records
    for number, record in enumerate(records):
        if number in BROKEN:
            assert record["status"] == "failed" and BROKEN[number] in record["error"], record
        else:
            assert record["status"] == "answered", record


{"create": create, "begun": begun, "ended": ended}[step]()
