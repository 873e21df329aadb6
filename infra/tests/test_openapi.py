"""The descriptions of both APIs are valid, and match the template and the code."""

import re

import pytest
import yaml
from conftest import INFRA
from openapi_spec_validator import validate

NAMES = ["rest-api", "http-api"]
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def document(name):
    return yaml.safe_load((INFRA / "openapi" / f"{name}.yaml").read_text())


def described(name):
    return {(method.upper(), path) for path, item in document(name)["paths"].items() for method in item if method in METHODS}


@pytest.mark.parametrize("name", NAMES)
def test_the_description_is_valid(name):
    validate(document(name))


def test_the_rest_api_has_the_described_methods(template):
    resources = template["Resources"]

    def path(logical):
        properties = resources[logical]["Properties"]
        parent = properties["ParentId"]
        return (path(parent["Ref"]) if "Ref" in parent else "") + "/" + properties["PathPart"]

    # Preflights are left out, since only browsers send them.
    methods = {
        (resource["Properties"]["HttpMethod"], path(resource["Properties"]["ResourceId"]["Ref"]))
        for resource in resources.values()
        if resource["Type"] == "AWS::ApiGateway::Method" and resource["Properties"]["HttpMethod"] != "OPTIONS"
    }
    assert methods == described("rest-api")


def test_the_http_api_has_the_described_routes(template):
    routes = {
        tuple(resource["Properties"]["RouteKey"].split(" "))
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::ApiGatewayV2::Route"
    }
    assert routes == described("http-api")


def test_every_answer_of_the_rest_api_is_described(template):
    operations = {("PutImage", "/images/{id}", "put"), ("GetImage", "/images/{id}/{revision}/{file}", "get")}
    for logical, path, method in operations:
        responses = template["Resources"][logical]["Properties"]["Integration"]["IntegrationResponses"]
        assert {response["StatusCode"] for response in responses} <= set(document("rest-api")["paths"][path][method]["responses"])


def test_error_codes_are_those_of_the_code():
    source = (INFRA.parent / "crates/pipeline/src/error_code.rs").read_text()
    codes = set(re.findall(r'=> "([A-Z_]+)"', source))
    assert codes == set(document("http-api")["components"]["schemas"]["JobError"]["properties"]["code"]["enum"])
    source = (INFRA.parent / "lambda/src/job_tracker.rs").read_text()
    codes = set(re.findall(r'error\(\s*\d+,\s*"([A-Z_]+)"', source)) | {"INVALID_AGES"}
    assert codes == set(document("http-api")["components"]["schemas"]["Error"]["properties"]["code"]["enum"])


def test_states_are_those_of_the_code():
    sources = (path.read_text() for path in (INFRA.parent / "crates/pipeline/src").rglob("*.rs"))
    (source,) = (source for source in sources if "pub enum Status" in source)
    states = set(re.findall(r'Self::\w+ => "([A-Z]+)"', source))
    assert states == set(document("http-api")["components"]["schemas"]["Status"]["enum"])
