"""Measures what the local cloud adds to a program: the start of a training job, the records of a transform job, and memory.

    time-traveler exec --fresh \\
        --image starts='sh -c "date +%s.%N > \\$SM_MODEL_DIR/started" sh' \\
        --image millisecond='python3 crates/time-traveler/tests/sdk/millisecond.py' \\
        -- .venv/bin/python crates/time-traveler/tests/sdk/overhead.py
"""

import io
import os
import statistics
import tarfile
import time

import boto3

JOBS, FEW, MANY = 20, 100, 4100
ROLE = "arn:aws:iam::000000000000:role/anybody"
s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")
s3.create_bucket(Bucket="overhead")


def wait(describe, status, **name):
    while True:
        job = describe(**name)
        if job[status] not in ("InProgress", "Stopping"):
            assert job[status] == "Completed", job
            return job
        time.sleep(0.005)


def training(number):
    """Seconds from the request to the start of the program, and to the end of the job."""
    name, begun = f"starts-{number}", time.time()
    sagemaker.create_training_job(
        TrainingJobName=name,
        RoleArn=ROLE,
        AlgorithmSpecification={"TrainingImage": "starts", "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": "s3://overhead/models"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )
    wait(sagemaker.describe_training_job, "TrainingJobStatus", TrainingJobName=name)
    ended = time.time()
    body = s3.get_object(Bucket="overhead", Key=f"models/{name}/output/model.tar.gz")["Body"].read()
    started = float(tarfile.open(fileobj=io.BytesIO(body)).extractfile("started").read())
    return started - begun, ended - begun


def transform(records, most):
    """Seconds of a job."""
    name = f"records-{records}-{most}"
    s3.put_object(Bucket="overhead", Key=f"{name}/in", Body="".join(f"{n}\n" for n in range(records)))
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://overhead/{name}/"}}
    sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName="millisecond",
        BatchStrategy="SingleRecord",
        MaxConcurrentTransforms=most,
        TransformInput={"DataSource": source, "ContentType": "text/plain", "SplitType": "Line"},
        TransformOutput={"S3OutputPath": "s3://overhead/answers", "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    job = wait(sagemaker.describe_transform_job, "TransformJobStatus", TransformJobName=name)
    return (job["TransformEndTime"] - job["TransformStartTime"]).total_seconds()


def peak(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


times = [training(number) for number in range(JOBS)]
for name, column in zip(["to the start of the program", "to the end of the job"], zip(*times)):
    print(f"training job, from the request {name}: median {1000 * statistics.median(column):.0f} ms, "
          f"largest {1000 * max(column):.0f} ms")
sagemaker.create_model(ModelName="millisecond", PrimaryContainer={"Image": "millisecond"}, ExecutionRoleArn=ROLE)
for most in [1, 4]:
    # The difference leaves out the start of the server.
    few, many = transform(FEW, most), transform(MANY, most)
    print(f"transform job, {most} at once: {(MANY - FEW) / (many - few):.0f} records a second; "
          f"{FEW} records with the start of the server {few:.2f} s")
print(f"peak memory of the cloud: {peak(os.getppid()):.0f} MB")
