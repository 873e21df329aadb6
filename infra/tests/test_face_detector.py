"""The template of the face detector: by itself, and as a stack on a simulated AWS (moto)."""

import re
import subprocess
import sys

import pytest
from conftest import INFRA, create, made
from samtranslator.yaml_helper import yaml_parse
from test_stack import permissions
from test_template import statements, too_wide

PARAMETERS = {
    "ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/time-traveler:v1",
    "ModelDataUrl": "s3://models/faces/model.tar.gz",
    "Bucket": "photographs",
}
# The permissions without a resource of this stack, each with the reason why AWS allows nothing narrower.
WIDE = {("Role", "Allow", "ecr:GetAuthorizationToken", "Resource"): "AWS defines no resource for this action"} | {
    ("Role", "Allow", f"logs:{action}", "Resource"): "SageMaker prescribes one log group for all transform jobs"
    for action in ("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents")
}


@pytest.fixture(scope="module")
def detector():
    return yaml_parse((INFRA / "face-detector.yaml").read_text())


@pytest.fixture(scope="module")
def deployed(server, detector):
    return create(server, "faces", detector, PARAMETERS)


def test_cfn_lint_finds_nothing():
    run = "from cfnlint.runner import main; main()"
    command = [sys.executable, "-c", run, "--regions", "us-east-1", "eu-central-1", "--template", INFRA / "face-detector.yaml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_permission_is_named(detector):
    found = []
    for name, resource in detector["Resources"].items():
        for statement in statements(resource["Properties"]):
            assert statement.get("Sid") or "Principal" in statement, (name, statement)
            found += too_wide(name, statement)
    assert set(found) == set(WIDE)


def test_the_model_has_only_variables_that_the_container_reads(detector):
    source = (INFRA.parent / "container/src/handlers/face_detector/settings.rs").read_text().split("#[cfg(test)]")[0]
    source += (INFRA.parent / "container/src/environment.rs").read_text().split("#[cfg(test)]")[0]
    source += (INFRA.parent / "container/src/model_kind.rs").read_text().split("#[cfg(test)]")[0]
    given = detector["Resources"]["Model"]["Properties"]["PrimaryContainer"]["Environment"]
    assert set(given) <= set(re.findall(r'"([A-Z]+(?:_[A-Z_]+)?)"', source))
    wire = (INFRA.parent / "container/src/handlers/face_detector/wire.rs").read_text()
    names = re.findall(r'FaceNetwork::\w+ => "(\w+)"', wire)
    assert names and set(detector["Parameters"]["ModelName"]["AllowedValues"]) == set(names)


def test_the_endpoint_is_real_time(deployed, detector):
    # moto gives the endpoint another name.
    assert detector["Resources"]["Endpoint"]["Properties"] == {
        "EndpointName": {"Fn::Sub": "${AWS::StackName}-face-detector"},
        "EndpointConfigName": {"Fn::GetAtt": ["EndpointConfig", "EndpointConfigName"]},
    }
    assert deployed.id("Endpoint")
    sagemaker = deployed.client("sagemaker")
    config = sagemaker.describe_endpoint_config(EndpointConfigName=deployed.id("EndpointConfig").rsplit("/", 1)[-1])
    (variant,) = config["ProductionVariants"]
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.c5.xlarge", 1)
    assert "AsyncInferenceConfig" not in detector["Resources"]["EndpointConfig"]["Properties"]
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    assert model["PrimaryContainer"]["ModelDataUrl"] == "s3://models/faces/model.tar.gz"
    assert not model.get("EnableNetworkIsolation"), "the container could not read photographs"
    environment = model["PrimaryContainer"]["Environment"]
    assert (environment["MODEL_NAME"], environment["WITH_LANDMARKS"]) == ("RetinaNetMobileNetV1", "FALSE")
    assert model["ExecutionRoleArn"].endswith(f"/{deployed.id('Role')}")


def test_the_role_may_read_one_bucket_and_write_to_one_folder(deployed):
    allowed = {(action, over) for action, over in permissions(deployed, "Role") if action.startswith("s3:")}
    assert allowed == {
        ("s3:ListBucket", "arn:aws:s3:::photographs"),
        ("s3:GetObject", "arn:aws:s3:::photographs/*"),
        ("s3:GetObject", "arn:aws:s3:::models/faces/model.tar.gz"),
        ("s3:PutObject", "arn:aws:s3:::photographs/faces/*"),
        ("s3:AbortMultipartUpload", "arn:aws:s3:::photographs/faces/*"),
    }


def test_the_log_of_the_endpoint_expires(deployed):
    groups = {group["logGroupName"]: group for group in deployed.client("logs").describe_log_groups()["logGroups"]}
    assert groups["/aws/sagemaker/Endpoints/faces-face-detector"]["retentionInDays"] == 14


def test_without_instances_there_is_only_the_model(detector):
    there = made(detector, PARAMETERS | {"InstanceCount": "0"})
    kinds = {resource["Type"] for resource in there.values()}
    assert kinds == {"AWS::SageMaker::Model", "AWS::IAM::Role", "AWS::Logs::LogGroup"}


@pytest.mark.parametrize(
    "name, wrong",
    [("Bucket", "s3://photographs"), ("Bucket", "photographs/2026"), ("ModelDataUrl", ""), ("OutputPrefix", "faces/"), ("OutputPrefix", "*")],
)
def test_a_wrong_parameter_is_refused(detector, name, wrong):
    assert not re.fullmatch(detector["Parameters"][name]["AllowedPattern"], wrong)
