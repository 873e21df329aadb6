"""Creates models, endpoint configurations and endpoints with boto3, as a notebook does.

The argument is `create`, or `restarted` after the cloud was restarted.
"""

import io
import sys
import tarfile
import time

import boto3
import numpy as np
from botocore.exceptions import ClientError, WaiterError
from eventually import eventually

REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/time-traveler"
ROLE = "arn:aws:iam::123456789012:role/anybody"
TOPIC = "arn:aws:sns:us-east-1:000000000000:face-aging-success"
PHOTO = open("examples/astronaut.png", "rb").read()
DETECTOR = open("crates/face/models/detector.svm", "rb").read()

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")


def wait(waiter, name):
    sagemaker.get_waiter(waiter).wait(EndpointName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 1200})


def refused(call, code="ValidationException", status=400, **arguments):
    """Asserts that a call is refused, and returns the message."""
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status, error.response
        return error.response["Error"]["Message"]
    raise AssertionError(f"{arguments} was accepted")


def put_archive(key, files):
    """Uploads a `model.tar.gz` of these files and an empty `code/`, and returns its location."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        code = tarfile.TarInfo("code")
        code.type, code.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(code)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    s3.put_object(Bucket="portraits", Key=key, Body=buffer.getvalue())
    return f"s3://portraits/{key}"


def create_model(name, data, image=f"{REPOSITORY}:latest", **environment):
    container = {"Image": image, "ModelDataUrl": data, "Environment": environment}
    arn = sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)["ModelArn"]
    assert arn == f"arn:aws:sagemaker:us-east-1:000000000000:model/{name}", arn


def create_config(name, asynchronous=True):
    """Creates a configuration for the model of the same name."""
    more = {}
    if asynchronous:
        more["AsyncInferenceConfig"] = {
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2},
            "OutputConfig": {
                "S3OutputPath": f"s3://time-traveler/by-{name}",
                "S3FailurePath": f"s3://time-traveler/not-by-{name}",
                "NotificationConfig": {"SuccessTopic": TOPIC},
            },
        }
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InstanceType": "ml.g5.xlarge",
        "InitialInstanceCount": 1,
        "ContainerStartupHealthCheckTimeoutInSeconds": 120,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], **more)


def strip(endpoint, **arguments):
    """The key and the pixels of the strip that an endpoint makes of the sample portrait. Both go through S3."""
    s3.put_object(Bucket="portraits", Key="mine/photo.png", Body=PHOTO)
    queued = runtime.invoke_endpoint_async(
        EndpointName=endpoint, InputLocation="s3://portraits/mine/photo.png", ContentType="image/png", **arguments
    )
    bucket, key = queued["OutputLocation"].removeprefix("s3://").split("/", 1)

    def output():
        try:
            return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except s3.exceptions.NoSuchKey:
            return None

    return key, np.load(io.BytesIO(eventually(output)))


def names(answer, kind):
    return [item[f"{kind}Name"] for item in answer[f"{kind}s"]]


def an_endpoint_comes_into_service():
    create_model("one", put_archive("models/one.tar.gz", {}), DEFAULT_AGES="30")
    create_config("one")
    started = time.monotonic()
    sagemaker.create_endpoint(EndpointName="first", EndpointConfigName="one")
    assert time.monotonic() - started < 1, "create_endpoint blocked"
    assert sagemaker.describe_endpoint(EndpointName="first")["EndpointStatus"] == "Creating"
    assert "in-progress" in refused(sagemaker.delete_endpoint, EndpointName="first")
    wait("endpoint_in_service", "first")
    key, pixels = strip("first")
    assert key.startswith("by-one/") and pixels.shape == (1024, 2048, 3) and pixels.dtype == np.uint8, pixels.shape
    _, pixels = strip("first", CustomAttributes="ages=20,70")
    assert pixels.shape == (1024, 3072, 3), pixels.shape
    answer = runtime.invoke_endpoint(EndpointName="first", ContentType="image/png", Body=PHOTO)
    assert answer["InvokedProductionVariant"] == "AllTraffic"


def two_endpoints_run_at_once():
    # The archive's own detector is used. An endpoint without an asynchronous configuration answers directly.
    create_model("two", put_archive("models/two.tar.gz", {"face_detector.svm": DETECTOR}), REPOSITORY + "@sha256:" + 64 * "0")
    create_config("two", asynchronous=False)
    sagemaker.create_endpoint(EndpointName="second", EndpointConfigName="two")
    wait("endpoint_in_service", "second")
    answer = runtime.invoke_endpoint(EndpointName="second", ContentType="image/png", CustomAttributes="ages=50", Body=PHOTO)
    assert np.load(io.BytesIO(answer["Body"].read())).shape == (1024, 2048, 3)
    location = "s3://portraits/mine/photo.png"
    words = refused(runtime.invoke_endpoint_async, "ValidationError", EndpointName="second", InputLocation=location)
    assert "not an asynchronous endpoint" in words, words
    assert strip("first")[1].shape == (1024, 2048, 3)


def a_failed_endpoint_has_a_reason():
    s3.put_object(Bucket="portraits", Key="models/none.tar.gz", Body=b"no archive")
    broken = put_archive("models/broken.tar.gz", {"face_detector.svm": b"no detector"})
    for name, data, image, words in [
        ("image", broken, "123456789012.dkr.ecr.us-east-1.amazonaws.com/other:1", "other:1\" does not exist here: there is time-traveler"),
        ("missing", "s3://portraits/models/gone.tar.gz", REPOSITORY, "s3://portraits/models/gone.tar.gz"),
        ("archive", "s3://portraits/models/none.tar.gz", REPOSITORY, "valid tar.gz archive"),
        ("file", broken, REPOSITORY, "face_detector.svm"),
    ]:
        create_model(name, data, image)
        create_config(name)
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        try:
            wait("endpoint_in_service", name)
            raise AssertionError(f"{name} is in service")
        except WaiterError:
            described = sagemaker.describe_endpoint(EndpointName=name)
            assert described["EndpointStatus"] == "Failed" and words in described["FailureReason"], described
            print(f"  {name}: {described['FailureReason']}")
        assert "not found" in refused(runtime.invoke_endpoint, "ValidationError", EndpointName=name, Body=b"x")


def a_failed_update_is_rolled_back():
    sagemaker.update_endpoint(EndpointName="first", EndpointConfigName="file")
    updating = sagemaker.describe_endpoint(EndpointName="first")
    assert updating["EndpointStatus"] == "Updating" and updating["EndpointConfigName"] == "one", updating
    assert updating["PendingDeploymentSummary"]["EndpointConfigName"] == "file", updating
    wait("endpoint_in_service", "first")
    back = sagemaker.describe_endpoint(EndpointName="first")
    assert back["EndpointConfigName"] == "one" and "face_detector.svm" in back["FailureReason"], back
    assert strip("first")[1].shape == (1024, 2048, 3)

    create_model("better", put_archive("models/better.tar.gz", {"face_detector.svm": DETECTOR}), DEFAULT_AGES="10,20,30")
    create_config("better")
    sagemaker.update_endpoint(EndpointName="first", EndpointConfigName="better")
    wait("endpoint_in_service", "first")
    updated = sagemaker.describe_endpoint(EndpointName="first")
    assert updated["EndpointConfigName"] == "better" and "FailureReason" not in updated, updated
    key, pixels = strip("first")
    assert key.startswith("by-better/") and pixels.shape == (1024, 4096, 3), (key, pixels.shape)


def resources_are_described_and_listed():
    model = sagemaker.describe_model(ModelName="better")
    container = model["PrimaryContainer"]
    assert container["Environment"] == {"DEFAULT_AGES": "10,20,30"} and model["ExecutionRoleArn"] == ROLE, model
    assert container["ModelDataUrl"] == "s3://portraits/models/better.tar.gz", model
    config = sagemaker.describe_endpoint_config(EndpointConfigName="better")
    assert config["AsyncInferenceConfig"]["OutputConfig"]["NotificationConfig"] == {"SuccessTopic": TOPIC}, config
    assert config["ProductionVariants"][0]["InstanceType"] == "ml.g5.xlarge", config
    age = time.time() - model["CreationTime"].timestamp()
    assert 0 <= age < 600, model["CreationTime"]

    every = names(sagemaker.list_endpoints(SortBy="Name", SortOrder="Ascending"), "Endpoint")
    assert every == ["archive", "face-aging", "file", "first", "image", "missing", "second"], every
    assert names(sagemaker.list_endpoints(StatusEquals="InService"), "Endpoint") == ["second", "first", "face-aging"]
    assert names(sagemaker.list_endpoint_configs(NameContains="t"), "EndpointConfig")[0] == "better"
    pages = sagemaker.get_paginator("list_models").paginate(PaginationConfig={"PageSize": 2})
    paged = [name for page in pages for name in names(page, "Model")]
    assert paged == ["better", "file", "archive", "missing", "image", "two", "one", "face-aging"], paged


def invalid_requests_are_refused():
    arn = "arn:aws:sagemaker:us-east-1:000000000000:"
    assert refused(sagemaker.describe_model, ModelName="no") == f'Could not find model "{arn}model/no".'
    words = refused(sagemaker.create_endpoint, EndpointName="x", EndpointConfigName="no")
    assert words == f'Could not find endpoint configuration "{arn}endpoint-config/no".', words
    words = refused(sagemaker.create_model, ModelName="one", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "x"})
    assert words == f'Cannot create already existing model "{arn}model/one".', words
    words = refused(sagemaker.create_endpoint, EndpointName="first", EndpointConfigName="one")
    assert words == f'Cannot create already existing endpoint "{arn}endpoint/first".', words
    words = refused(sagemaker.create_model, ModelName="x_y", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "x"})
    assert "failed to satisfy constraint: Member must satisfy regular expression pattern" in words, words
    for call, own in [
        (sagemaker.delete_endpoint, {"EndpointName": "face-aging"}),
        (sagemaker.update_endpoint, {"EndpointName": "face-aging", "EndpointConfigName": "one"}),
    ]:
        assert "the local cloud's own stack" in refused(call, **own)
    refused(sagemaker.list_hyper_parameter_tuning_jobs, "NotImplemented", 501)


def endpoints_survive_a_restart():
    wait("endpoint_in_service", "first")
    wait("endpoint_in_service", "second")
    assert strip("first")[1].shape == (1024, 4096, 3)
    for name in ["first", "second", "image", "missing", "archive", "file"]:
        sagemaker.delete_endpoint(EndpointName=name)
    for name in ["first", "second"]:
        wait("endpoint_deleted", name)
    # The waiter counts Failed endpoints as deleted, and these had failed before.
    eventually(lambda: names(sagemaker.list_endpoints(), "Endpoint") == ["face-aging"])
    for name in names(sagemaker.list_endpoint_configs(MaxResults=100), "EndpointConfig"):
        if name != "face-aging":
            sagemaker.delete_endpoint_config(EndpointConfigName=name)
            sagemaker.delete_model(ModelName=name)
    assert names(sagemaker.list_models(), "Model") == ["face-aging"]
    assert strip("face-aging", CustomAttributes="ages=70")[1].shape == (1024, 2048, 3)


for test in {
    "create": [
        an_endpoint_comes_into_service,
        two_endpoints_run_at_once,
        a_failed_endpoint_has_a_reason,
        a_failed_update_is_rolled_back,
        resources_are_described_and_listed,
        invalid_requests_are_refused,
    ],
    "restarted": [endpoints_survive_a_restart],
}[sys.argv[1]]:
    started = time.monotonic()
    test()
    print(f"{test.__name__}: ok after {time.monotonic() - started:.1f} seconds")
