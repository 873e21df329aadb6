"""Fixtures: the template as written, its translation by SAM, and the stack that it creates on a simulated AWS (moto)."""

import copy
import io
import json
import logging
import os
import pathlib
import re
import zipfile

# Set before any SDK reads them. No test may ever reach an account.
os.environ.update(AWS_DEFAULT_REGION="us-east-1", AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing")
for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
    os.environ.pop(name, None)

import boto3
import pytest
from moto.apigateway.models import Method, apigateway_backends
from moto.server import ThreadedMotoServer
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

INFRA = pathlib.Path(__file__).resolve().parent.parent
STACK = "portraits"
PAGE = "https://portraits.example.com"
POOL = "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_AbCdEfGhI"
ISSUER = "https://issuer.example.com/"
KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-4e5f-6789-abcd-ef0123456789"
PARAMETERS = {
    "ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/time-traveler:v1-gpu",
    "ModelDataUrl": "s3://models/sam/model.tar.gz",
    # moto's list of instance types ends before the default.
    "InstanceType": "ml.g4dn.xlarge",
}


def read_template(name="template.yaml"):
    return yaml_parse((INFRA / name).read_text())


def translate(template):
    """The template as CloudFormation gets it, after `sam deploy` has uploaded the functions."""
    template = copy.deepcopy(template)
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = {"Bucket": "code", "Key": "function.zip"}
    session = boto3.Session(region_name="us-east-1")
    return Translator(managed_policy_map={}, sam_parser=Parser(), boto_session=session).translate(
        template, parameter_values={}
    )


NOTHING = object()  # The value of AWS::NoValue.


def made(template, given):
    """The resources that exist with these parameters. Functions that depend only on parameters are evaluated."""
    parameters = {name: str(parameter.get("Default", "")) for name, parameter in template["Parameters"].items()} | given

    def holds(condition):
        ((function, of),) = condition.items()
        match function:
            case "Condition":
                return holds(template["Conditions"][of])
            case "Fn::Not":
                return not holds(of[0])
            case "Fn::Or":
                return any(holds(part) for part in of)
            case "Fn::And":
                return all(holds(part) for part in of)
            case "Fn::Equals":
                one, other = of
                return str(value(one)) == str(value(other))
        raise ValueError(f"{function} is not a supported condition")

    def value(of):
        match of:
            case {"Ref": "AWS::NoValue"}:
                return NOTHING
            case {"Ref": name} if name in parameters:
                return parameters[name]
            case {"Fn::If": [condition, yes, no]}:
                return value(yes if holds({"Condition": condition}) else no)
            case {"Fn::Sub": str(text)}:
                text = re.sub(r"\$\{(\w+)\}", lambda found: parameters.get(found[1], found[0]), text)
                return {"Fn::Sub": text} if "${" in text else text
            case dict():
                return {name: found for name, part in of.items() if (found := value(part)) is not NOTHING}
            case list():
                return [found for part in of if (found := value(part)) is not NOTHING]
        return of

    there = template["Resources"].items()
    there = {name: resource for name, resource in there if "Condition" not in resource or holds({"Condition": resource["Condition"]})}
    return value(there)


@pytest.fixture(scope="session")
def template():
    return read_template()


@pytest.fixture(scope="session")
def data_template():
    return read_template("data.yaml")


@pytest.fixture(scope="session")
def translated(template):
    return translate(template)


class Stack:
    """A stack on the server, inspected with boto3."""

    def __init__(self, endpoint, unknown, resources):
        self.endpoint, self.unknown, self.resources = endpoint, unknown, resources

    def client(self, service):
        return boto3.client(service, endpoint_url=self.endpoint)

    def id(self, logical):
        return self.resources[logical]

    def with_data(self, data):
        """This stack, with the resources of its data too."""
        return Stack(self.endpoint, self.unknown, data.resources | self.resources)


def create_method(cls, resource_name, cloudformation_json, account_id, region_name, **_):
    """Replaces moto's own version, which drops credentials, templates and responses, and so refuses S3 integrations."""
    of, backend = cloudformation_json["Properties"], apigateway_backends[account_id][region_name]
    where = of["RestApiId"], of["ResourceId"], of["HttpMethod"]
    method = backend.put_method(*where, of["AuthorizationType"], request_parameters=of.get("RequestParameters"))
    integration = of["Integration"]
    backend.put_integration(
        *where,
        integration["Type"],
        integration.get("Uri"),
        integration.get("IntegrationHttpMethod"),
        credentials=integration.get("Credentials"),
        request_templates=integration.get("RequestTemplates"),
        passthrough_behavior=integration["PassthroughBehavior"],
        request_parameters=integration.get("RequestParameters"),
        content_handling=integration.get("ContentHandling"),
    )
    for response in of["MethodResponses"]:
        backend.put_method_response(*where, response["StatusCode"], None, response.get("ResponseParameters"))
    for response in integration["IntegrationResponses"]:
        backend.put_integration_response(
            *where,
            response["StatusCode"],
            response.get("SelectionPattern"),
            response.get("ResponseTemplates", {}),
            response.get("ResponseParameters", {}),
            response.get("ContentHandling"),
        )
    return method


class Unsupported(logging.Handler):
    """Collects the resource types that moto reports as ignored."""

    def __init__(self):
        super().__init__()
        self.types = set()

    def emit(self, record):
        found = re.match(r"No Moto CloudFormation support for (\S+)", record.getMessage())
        if found:
            self.types.add(found[1])


@pytest.fixture(scope="session")
def server():
    """A server that simulates AWS, and the resource types that it ignores."""
    Method.create_from_cloudformation_json = classmethod(create_method)
    unsupported = Unsupported()
    logging.getLogger("moto").addHandler(unsupported)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    try:
        s3 = boto3.client("s3", endpoint_url=endpoint)
        s3.create_bucket(Bucket="code")
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("bootstrap", "#!/bin/sh\n")
        s3.put_object(Bucket="code", Key="function.zip", Body=archive.getvalue())
        yield endpoint, unsupported.types
    finally:
        server.stop()
        logging.getLogger("moto").removeHandler(unsupported)


def without_aliases(value):
    """A template whose references to a function's alias are references to the function, since moto creates no aliases."""
    match value:
        case {"Ref": str(name)} if name.endswith("Aliaslive"):
            return {"Fn::GetAtt": [name.removesuffix("Aliaslive"), "Arn"]}
        case dict():
            unknown = ("AWS::Lambda::Alias", "AWS::Lambda::Version")
            known = {name: part for name, part in value.items() if not (isinstance(part, dict) and part.get("Type") in unknown)}
            return {name: without_aliases(part) for name, part in known.items()}
        case list():
            return [without_aliases(part) for part in value]
    return value


def create(server, name, translated, parameters):
    endpoint, unknown = server
    cloudformation = boto3.client("cloudformation", endpoint_url=endpoint)
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(without_aliases(translated)),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    made = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    assert made["StackStatus"] == "CREATE_COMPLETE", made
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    summaries = [summary for page in pages for summary in page["StackResourceSummaries"]]
    ids = {summary["LogicalResourceId"]: summary["PhysicalResourceId"] for summary in summaries}
    return Stack(endpoint, set(unknown), ids)


def create_both(server, name, data_template, translated, parameters, data_parameters):
    """The two stacks as `infra/deploy` makes them: the outputs of the data's are parameters of the other."""
    data = create(server, f"{name}-data", data_template, {"ComputeStack": name} | data_parameters)
    described = data.client("cloudformation").describe_stacks(StackName=f"{name}-data")["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    return create(server, name, translated, outputs | parameters).with_data(data)


@pytest.fixture(scope="session")
def stack(server, data_template, translated):
    return create_both(server, STACK, data_template, translated, PARAMETERS, {})


@pytest.fixture(scope="session")
def other_stack(server, data_template, translated, stack):
    """A stack with the opposite parameters: tokens, a page, no weights, no GPU, limits, an address for alarms, a key, no scaling."""
    parameters = {
        "ImageUri": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/time-traveler@sha256:" + "0" * 64,
        "InstanceType": "ml.c5.2xlarge",
        "InferenceAmiVersion": "",
        "Architecture": "x86_64",
        "Scaling": "off",
        "KmsKeyArn": KEY,
        "RestAccessLogs": "on",
        "ImageProcessorConcurrency": "4",
        "UserPoolArn": "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_AbCdEfGhI",
        "JwtAudience": "client",
        "PageOrigin": PAGE,
        "AlarmEmail": "somebody@example.com",
        "BudgetDollars": "50",
        "AddressRate": "500",
        "Tracing": "on",
    }
    data_parameters = {"RetentionDays": "7", "LogRetentionDays": "30", "Protection": "off", "KmsKeyArn": KEY}
    return create_both(server, "other", data_template, translated, parameters, data_parameters)
