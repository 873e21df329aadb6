"""Transforms 200 records with boto3, as a script for SageMaker does.

The arguments are `create`, or `ended` after the cloud was killed, and the file of the model server's notes.
"""

import sys

import boto3

step, notes = sys.argv[1:]
s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
logs = boto3.client("logs")
GROUP = "/aws/sagemaker/TransformJobs"
OBJECTS = {name: [f"{name}{number}" for number in range(100)] for name in ["a", "b"]}


def create():
    account = boto3.client("sts").get_caller_identity()["Account"]
    role = boto3.client("iam").get_role(RoleName="anybody")["Role"]
    assert role["Arn"] == f"arn:aws:iam::{account}:role/anybody", role
    statement = role["AssumeRolePolicyDocument"]["Statement"][0]
    assert statement["Principal"]["Service"] == "sagemaker.amazonaws.com", role
    s3.create_bucket(Bucket="batch")
    for name, records in OBJECTS.items():
        s3.put_object(Bucket="batch", Key=f"in/{name}.csv", Body="\n".join(records).encode())
    container = {"Image": "upper", "Environment": {"NOTES": notes, "DELAY": "0.02"}}
    sagemaker.create_model(ModelName="upper", PrimaryContainer=container, ExecutionRoleArn=role["Arn"])
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://batch/in/"}}
    job = sagemaker.create_transform_job(
        TransformJobName="upper",
        ModelName="upper",
        BatchStrategy="SingleRecord",
        MaxConcurrentTransforms=3,
        TransformInput={"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"},
        TransformOutput={"S3OutputPath": "s3://batch/out", "Accept": "text/csv", "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        Tags=[{"Key": "team", "Value": "a"}],
    )
    tags = sagemaker.list_tags(ResourceArn=job["TransformJobArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "a"}], tags


def ended():
    waiter = sagemaker.get_waiter("transform_job_completed_or_stopped")
    waiter.wait(TransformJobName="upper", WaiterConfig={"Delay": 0.1, "MaxAttempts": 1200})
    job = sagemaker.describe_transform_job(TransformJobName="upper")
    assert job["TransformJobStatus"] == "Completed", job
    for name, records in OBJECTS.items():
        output = s3.get_object(Bucket="batch", Key=f"out/{name}.csv.out")["Body"].read().decode()
        assert output == "".join(f"{record.upper()}\n" for record in records), output
    listed = sagemaker.list_transform_jobs(StatusEquals="Completed", NameContains="upp")["TransformJobSummaries"]
    assert [one["TransformJobName"] for one in listed] == ["upper"], listed
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, logStreamNamePrefix="upper/")
    events = [event for page in pages for event in page["events"]]
    assert any("MaxConcurrentTransforms=3" in event["message"] for event in events), events
    streams = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="upper/")["logStreams"]
    page = logs.get_log_events(logGroupName=GROUP, logStreamName=streams[0]["logStreamName"], startFromHead=True)
    assert page["events"], streams


{"create": create, "ended": ended}[step]()
