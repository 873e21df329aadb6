"""Measures what the local cloud adds to a program: the start of a training job, the records of a transform job, and memory. Where the
SageMaker SDK 2 is installed, its local mode takes turns, with the same programs. Its `docker` is the stand-in, so the start of a container
does not count; local mode sends one record at a time.

    time-traveler exec --fresh \\
        --image starts='sh -c "date +%s.%N > \\$SM_MODEL_DIR/started" sh' \\
        --image millisecond='python3 crates/time-traveler/tests/sdk/millisecond.py' \\
        -- .venv/bin/python crates/time-traveler/tests/sdk/overhead.py
"""

import importlib.util
import io
import os
import socket
import statistics
import tarfile
import time

import boto3

JOBS, ROUNDS, FEW, MANY = 10, 3, 100, 1100
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


def started(body):
    """When the program began, from its model."""
    return float(tarfile.open(fileobj=io.BytesIO(body)).extractfile("started").read())


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
    return started(body) - begun, ended - begun


def transform(records, most, round):
    """Seconds of a job."""
    name = f"records-{records}-{most}-{round}"
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


class LocalMode:
    """The same jobs by the local mode of the SageMaker SDK."""

    def __init__(self):
        from sagemaker.local import LocalSession

        self.session = LocalSession()
        # Port 8080 may be in use.
        self.session.config = {"local": {"serving_port": free_port()}}

    def training(self, number):
        from sagemaker.estimator import Estimator

        begun = time.time()
        estimator = Estimator("starts", ROLE, 1, "local", output_path="s3://overhead/local", sagemaker_session=self.session)
        estimator.fit(job_name=f"local-{number}", logs=False)
        ended = time.time()
        self.model = estimator.model_data
        key = self.model.removeprefix("s3://overhead/")
        return started(s3.get_object(Bucket="overhead", Key=key)["Body"].read()) - begun, ended - begun

    def transform(self, records):
        from sagemaker.model import Model

        s3.put_object(Bucket="overhead", Key=f"local-{records}/in", Body="".join(f"{n}\n" for n in range(records)))
        model = Model("millisecond", self.model, ROLE, sagemaker_session=self.session)
        model.create(instance_type="local")
        begun = time.time()
        transformer = model.transformer(
            1, "local", strategy="SingleRecord", assemble_with="Line", output_path="s3://overhead/local-answers"
        )
        transformer.transform(f"s3://overhead/local-{records}/", content_type="text/plain", split_type="Line")
        return time.time() - begun


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def report_training(what, times):
    for name, column in zip(["to the start of the program", "to the end of the job"], zip(*times)):
        print(
            f"{what}, from the request {name}: median {1000 * statistics.median(column):.0f} ms, "
            f"largest {1000 * max(column):.0f} ms"
        )


def report_transform(what, runs):
    """Runs are the seconds of a few records and of many: the difference leaves out the start of the server."""
    rates = [(MANY - FEW) / (many - few) for few, many in runs]
    first = statistics.median(few for few, _ in runs)
    print(f"{what}: {statistics.median(rates):.0f} records a second; {FEW} records with the start of the server {first:.2f} s")


local = LocalMode() if importlib.util.find_spec("sagemaker") else None
times, local_times = [], []
for number in range(JOBS):
    times.append(training(number))
    if local:
        local_times.append(local.training(number))
report_training("training job", times)
if local:
    report_training("training in local mode", local_times)
sagemaker.create_model(ModelName="millisecond", PrimaryContainer={"Image": "millisecond"}, ExecutionRoleArn=ROLE)
kinds = {f"transform job, {most} at once": lambda records, round, most=most: transform(records, most, round) for most in [1, 4]}
if local:
    kinds["transform in local mode, 1 at once"] = lambda records, round: local.transform(records)
runs = {kind: [] for kind in kinds}
for round in range(ROUNDS):
    for kind, run in kinds.items():
        runs[kind].append((run(FEW, round), run(MANY, round)))
for kind in kinds:
    report_transform(kind, runs[kind])
print(f"peak memory of the cloud: {peak(os.getppid()):.0f} MB")
