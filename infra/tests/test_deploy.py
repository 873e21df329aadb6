"""`infra/deploy` and `infra/destroy` with stand-ins for all tools that they call. The stand-ins record their arguments."""

import os
import re
import shutil
import subprocess

import pytest
from conftest import INFRA
from samtranslator.yaml_helper import yaml_parse

ROOT = INFRA.parent
TOOLS = ["aws", "sam", "docker", "cargo", "cargo-lambda"]
DIGEST = "sha256:" + "a" * 64
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
# An account where nothing is deployed: what `aws` says, by a part of its arguments. The first that fits counts; `!` fails.
EMPTY = {
    "get-caller-identity": "210987654321",
    # A line for each page of the list.
    "list-service-quotas": "None\n2.0\nNone",
    "get-account-settings": "1000",
    "apigateway get-account": "arn:aws:iam::210987654321:role/logs",
    "describe-endpoint": "!",
    "head-bucket": "!",
    "head-object": "!",
    "get-bucket-location": "eu-central-1",
    "describe-images": DOCKER,
    "Outputs[?OutputKey=='InputBucket']": "in-bucket",
    "Outputs[?OutputKey=='OutputBucket']": "out-bucket",
    "Outputs[?OutputKey=='JobsTable']": "jobs-table",
    "Outputs[?OutputKey=='RestApiId']": "a1b2c3",
    "Outputs[?OutputKey=='RestApiUrl']": "https://a1b2c3.execute-api.eu-central-1.amazonaws.com/v1",
    "Outputs[?OutputKey=='HttpApiUrl']": "https://d4e5f6.execute-api.eu-central-1.amazonaws.com",
    "Outputs[": "something",
    "describe-stacks": "!",
}
# What only asks.
READS = re.compile(r"^aws (sts get|service-quotas list|lambda get|apigateway get|sagemaker describe|s3api (head|get)|ecr describe|cloudformation describe|configure get)")


class Account:
    """A checkout with stand-ins, and what a script did there."""

    def __init__(self, folder):
        self.folder = folder
        self.stand_ins = folder / "stand-ins"
        self.stand_ins.mkdir()
        self.root = folder / "checkout"
        (self.root / "container").mkdir(parents=True)
        shutil.copytree(INFRA, self.root / "infra", ignore=shutil.ignore_patterns("tests", "__pycache__"))
        push = self.root / "container/build_and_push.sh"
        push.write_text(f'#!/bin/sh\necho "push $*" >>"$CALLS"\n[ ! -e "$STAND_INS/no-push" ] || exit 1\n'
                        f"echo 210987654321.dkr.ecr.eu-central-1.amazonaws.com/time-traveler@{DIGEST}\n")  # fmt: skip
        push.chmod(0o755)
        for tool in TOOLS:
            self.stand_in(tool)

    def stand_in(self, tool, answers=None, fails=False):
        """Without answers, a program that says nothing."""
        lines = ["#!/bin/bash", f'echo "{tool} $*" >>"$CALLS"']
        if tool == "cargo":
            lines.append('case "$*" in *"model pack"*) echo weights >model.tar.gz;; esac')
        for part, answer in (answers or {}).items():
            lines.append(f'[[ "$*" != *"{part}"* ]] || ' + ("exit 254" if answer == "!" else f'{{ echo "{answer}"; exit; }}'))
        lines.append(f"exit {int(fails)}")
        path = self.stand_ins / tool
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o755)

    def run(self, script, *options, answers=None, environment=None):
        self.stand_in("aws", (answers or {}) | {part: said for part, said in EMPTY.items() if part not in (answers or {})})
        calls = self.folder / "calls"
        calls.write_text("")
        keep = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
        paths = {"PATH": f"{self.stand_ins}:/usr/bin:/bin", "CALLS": str(calls), "STAND_INS": str(self.stand_ins)}
        command = ["bash", str(self.root / "infra" / script), *options]
        self.done = subprocess.run(command, capture_output=True, text=True, env=keep | paths | (environment or {}))
        self.said = self.done.stdout + self.done.stderr
        self.calls = calls.read_text().splitlines()
        self.changes = [call for call in self.calls if not READS.match(call)]
        return self.done.returncode

    def parameters(self, call):
        """The parameters that a call passes."""
        words = call.split(" --parameter-overrides ", 1)[1].split(" ")
        return dict(word.split("=", 1) for word in words)


@pytest.fixture
def account(tmp_path):
    return Account(tmp_path)


def test_shellcheck_finds_nothing():
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    scripts = [INFRA / name for name in ("deploy", "destroy", "smoke", "account.sh")]
    done = subprocess.run(["shellcheck", "-x", *scripts], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_from_nothing_to_the_first_picture(account):
    (account.root / "model").mkdir()
    assert account.run("deploy", "--region", "eu-central-1", "--model", "model", "--set", "MaxInstances=1") == 0, account.said
    kinds = [
        r"push --region eu-central-1 --gpu$",
        r"cargo run .*model pack model$",
        r"aws s3 mb s3://time-traveler-models-210987654321-eu-central-1 --region eu-central-1$",
        r"aws s3api put-public-access-block ",
        r"aws s3 cp model.tar.gz s3://time-traveler-models-210987654321-eu-central-1/model-[0-9a-f]{12}\.tar\.gz ",
        r"cargo lambda build --release --arm64 -p lambda$",
        r"aws cloudformation deploy --region eu-central-1 --stack-name time-traveler-data .*infra/data\.yaml .*ComputeStack=time-traveler$",
        r"aws cloudformation update-termination-protection .*time-traveler-data --enable-termination-protection$",
        r"sam deploy --region eu-central-1 --stack-name time-traveler .*--disable-rollback --parameter-overrides ",
        r"aws apigateway create-deployment .*--rest-api-id a1b2c3$",
        r"cargo run .*send examples/astronaut\.png --api https://a1b2c3\S+/v1 --jobs-api https://d4e5f6\S+$",
    ]
    assert len(account.changes) == len(kinds), account.changes
    for call, kind in zip(account.changes, kinds):
        assert re.match(kind, call), (kind, call)
    (deploy,) = [call for call in account.changes if call.startswith("sam")]
    given = account.parameters(deploy)
    weights = account.changes[4].split(" ")[4]
    assert given == {
        "InputBucket": "in-bucket",
        "OutputBucket": "out-bucket",
        "JobsTable": "jobs-table",
        "ImageUri": f"210987654321.dkr.ecr.eu-central-1.amazonaws.com/time-traveler@{DIGEST}",
        "ModelDataUrl": weights,
        "InstanceType": "ml.g5.xlarge",
        "InferenceAmiVersion": "al2023-ami-sagemaker-inference-gpu-4-1",
        "RestAccessLogs": "on",
        "Scaling": "on",
        "MaxInstances": "1",
    }
    parameters = yaml_parse((INFRA / "template.yaml").read_text())["Parameters"]
    for name, value in given.items():
        assert re.fullmatch(parameters[name].get("AllowedPattern", ".*"), value), (name, value)
    assert "infra/smoke --api https://a1b2c3" in account.said and "an hour of ml.g5.xlarge" in account.said
    # One region for all: no call names another one, and none goes without.
    regions = {found for call in account.calls for found in re.findall(r"--region (\S+)", call)}
    assert regions == {"eu-central-1"}


def test_without_weights_nothing_needs_a_gpu(account):
    assert account.run("deploy", "--region", "eu-central-1", "--stage", "dev", "--no-send", "--set", "RetentionDays=1") == 0, account.said
    assert "push --region eu-central-1" in account.changes
    assert not [call for call in account.changes if "send" in call or "s3 cp" in call]
    (data,) = [call for call in account.changes if "cloudformation deploy" in call]
    (compute,) = [call for call in account.changes if call.startswith("sam")]
    assert "--stack-name time-traveler-dev-data " in data and "--stack-name time-traveler-dev " in compute
    assert account.parameters(data) == {"ComputeStack": "time-traveler-dev", "RetentionDays": "1"}
    given = account.parameters(compute)
    # SAM leaves an empty value out unless it is quoted.
    assert (given["ModelDataUrl"], given["InferenceAmiVersion"]) == ('""', '""')
    assert (given["InstanceType"], given["RetentionDays"]) == ("ml.c5.2xlarge", "1")
    assert "stage=dev" in data and "stage=dev" in compute


def test_an_update_waits_for_the_endpoint_and_rolls_back(account):
    answers = {"describe-endpoint": "InService", "Parameters[?ParameterKey=='InstanceType']": "ml.c5.2xlarge", "StackStatus": "UPDATE_COMPLETE"}
    assert account.run("deploy", "--region", "eu-central-1", answers=answers) == 0, account.said
    changes = [call for call in account.changes if call.startswith(("sam", "aws sagemaker"))]
    assert len(changes) == 2 and "wait endpoint-in-service" in changes[0]
    assert "--disable-rollback" not in changes[1]


def test_another_instance_type_takes_three_deployments(account):
    answers = {
        "describe-endpoint": "InService",
        "Parameters[?ParameterKey=='InstanceType']": "ml.g5.xlarge",
        "Parameters[?ParameterKey=='InferenceAmiVersion']": "al2023-ami-sagemaker-inference-gpu-4-1",
        "Parameters[?ParameterKey=='ImageUri']": "the-old-image",
    }
    assert account.run("deploy", "--region", "eu-central-1", "--instance-type", "ml.c5.2xlarge", answers=answers) == 0, account.said
    given = [account.parameters(call) for call in account.changes if call.startswith("sam")]
    # SageMaker refuses to change the type of a variant that is a target of scaling.
    assert [(each["Scaling"], each["InstanceType"]) for each in given] == [
        ("off", "ml.g5.xlarge"),
        ("off", "ml.c5.2xlarge"),
        ("on", "ml.c5.2xlarge"),
    ]
    assert (given[0]["ImageUri"], given[0]["InferenceAmiVersion"]) == ("the-old-image", "al2023-ami-sagemaker-inference-gpu-4-1")


def test_a_dry_run_changes_nothing(account):
    (account.root / "model").mkdir()
    answers = {"Outputs[": "None"}
    assert account.run("deploy", "--region", "eu-central-1", "--model", "model", "--dry-run", answers={"Outputs[?": "!"} | answers) == 0, account.said
    assert account.changes == []
    for command in ("build_and_push.sh", "aws s3 cp model.tar.gz", "cargo lambda build", "infra/data.yaml", "sam deploy", "create-deployment"):
        assert re.search(rf"would run: .*{re.escape(command)}", account.said), command


@pytest.mark.parametrize(
    "options, answers, told, serious",
    [
        ([], {"list-service-quotas": "0.0"}, "quota of ml.c5.2xlarge for endpoint usage is 0: ask for 2", True),
        ([], {"list-service-quotas": "1.0"}, "is 1. An update needs 2, since it starts new instances", False),
        ([], {"list-service-quotas": "!"}, "cannot be read: it has to be 2 or more", False),
        (["--set", "MaxInstances=4"], {"list-service-quotas": "4.0"}, "An update needs 5", False),
        ([], {"get-account-settings": "10"}, "the account runs 10 functions at once, and HttpApiRate=10 may hold 250", False),
        (["--set", "InferenceAmiVersion=", "--instance-type", "ml.g5.xlarge"], {}, "has a GPU, and InferenceAmiVersion is empty", True),
        (["--set", "InferenceAmiVersion=al2023-ami-sagemaker-inference-gpu-4-1"], {}, "ml.c5.2xlarge has no GPU", True),
        (["--instance-type", "ml.g4dn.xlarge"], {}, "a T4 has no TF32", False),
        ([], {"Stacks[0].StackStatus": "UPDATE_IN_PROGRESS"}, "UPDATE_IN_PROGRESS. Wait", True),
        ([], {"Stacks[0].StackStatus": "ROLLBACK_COMPLETE"}, "infra/destroy would work first", True),
        (["--set", "ImageUri=210987654321.dkr.ecr.us-east-1.amazonaws.com/t@" + DIGEST], {}, "the image is in another region than eu-central-1", True),
        ([], {"describe-images": "application/vnd.oci.image.manifest.v1+json"}, "has a manifest of the type", True),
        (["--set", "ModelDataUrl=s3://b/m.tar.gz"], {"get-bucket-location": "None"}, "are in 'us-east-1', and the stack is in eu-central-1", True),
        ([], {"apigateway get-account": "None"}, "the REST API gets no access logs", False),
    ],
)  # fmt: skip
def test_the_account_is_checked_first(account, options, answers, told, serious):
    code = account.run("deploy", "--region", "eu-central-1", *options, answers=answers)
    assert told in account.said, account.said
    assert code == int(serious), account.said
    stacks = [call for call in account.changes if call.startswith(("sam", "aws cloudformation"))]
    assert bool(stacks) == (not serious)


def test_what_cannot_be_is_refused(account):
    for options, told in [
        (["--stage", "Prod"], "lower-case"),
        (["--stage", "data"], "does not end with data"),
        (["--frobnicate"], "no option --frobnicate"),
        (["--set", "Nothing=1"], "has the parameter Nothing"),
        (["--set", "MaxInstances"], "NAME=VALUE"),
        (["--region"], "needs a value"),
        (["--instance-type", "g5.xlarge"], "ml.g5.xlarge would work"),
        (["--model", "nowhere"], "a folder that exists"),
    ]:
        assert account.run("deploy", *options) == 2 and told in account.said, account.said
        assert account.calls == []
    assert account.run("deploy", answers={"configure get region": "!"}) == 1 and "no region is known" in account.said
    assert account.run("deploy", "--region", "eu-central-1", answers={"get-caller-identity": "!"}) == 1
    assert "does not know who asks" in account.said and account.changes == []
    (account.stand_ins / "sam").unlink()
    assert account.run("deploy", "--region", "eu-central-1") == 1 and "missing: sam" in account.said


def test_a_failure_ends_the_deployment(account):
    (account.stand_ins / "no-push").touch()
    assert account.run("deploy", "--region", "eu-central-1") == 1 and "the image was not pushed" in account.said
    assert not [call for call in account.changes if call.startswith(("aws", "sam"))]
    (account.stand_ins / "no-push").unlink()
    account.stand_in("sam", fails=True)
    assert account.run("deploy", "--region", "eu-central-1") == 1
    assert "/aws/sagemaker/Endpoints/time-traveler-face-aging" in account.said and "create-deployment" not in account.said


def test_destroy_leaves_the_data(account):
    there = {"describe-stacks": "CREATE_COMPLETE"}
    assert account.run("destroy", "--region", "eu-central-1", "--stage", "dev", answers=there) == 0, account.said
    assert account.changes == [
        "aws cloudformation delete-stack --region eu-central-1 --stack-name time-traveler-dev",
        "aws cloudformation wait stack-delete-complete --region eu-central-1 --stack-name time-traveler-dev",
    ]
    assert "It stays" in account.said


def test_destroy_takes_the_data_if_told_so(account):
    there = {part: said for part, said in EMPTY.items() if part.startswith("Outputs")} | {"describe-stacks": "CREATE_COMPLETE"}
    assert account.run("destroy", "--region", "eu-central-1", "--data", "--dry-run", answers=there) == 0 and account.changes == []
    assert account.run("destroy", "--region", "eu-central-1", "--data", answers=there) == 0, account.said
    assert [call.split(" --region")[0] for call in account.changes][2:] == [
        "aws s3 rb --force s3://in-bucket",
        "aws s3 rb --force s3://out-bucket",
        "aws dynamodb update-table",
        "aws dynamodb delete-table",
        "aws cloudformation update-termination-protection",
        "aws cloudformation delete-stack",
        "aws cloudformation wait stack-delete-complete",
    ]
