"""Creates a training job with checkpoints with boto3, or waits until it has ended: `create` or `ended`, and the file of notes."""

import io
import sys
import tarfile

import boto3

NAME = "counting"
s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")

if sys.argv[1] == "create":
    sagemaker.create_training_job(
        TrainingJobName=NAME,
        RoleArn="arn:aws:iam::123456789012:role/anybody",
        AlgorithmSpecification={"TrainingImage": "counting:1", "TrainingInputMode": "File"},
        HyperParameters={"notes": sys.argv[2]},
        OutputDataConfig={"S3OutputPath": "s3://portraits/jobs"},
        CheckpointConfig={"S3Uri": "s3://portraits/points"},
        EnableManagedSpotTraining=True,
        ResourceConfig={"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 1200},
    )
else:
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName=NAME, WaiterConfig={"Delay": 0.2, "MaxAttempts": 600})
    job = sagemaker.describe_training_job(TrainingJobName=NAME)
    assert job["TrainingJobStatus"] == "Completed", job
    statuses = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert statuses[-3:] == ["Training", "Uploading", "Completed"] and "Interrupted" in statuses, statuses
    bucket, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").split("/", 1)
    archive = tarfile.open(fileobj=io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read()))
    assert archive.extractfile("steps").read() == b"60"
    (summary,) = sagemaker.list_training_jobs(StatusEquals="Completed")["TrainingJobSummaries"]
    assert summary["TrainingJobName"] == NAME and summary["SecondaryStatus"] == "Completed", summary
