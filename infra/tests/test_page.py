"""With PageOrigin, both APIs have all that a page of another origin needs (CORS). Without it, they have none of it."""

import json
import re

import pytest
from conftest import INFRA, PAGE, made

ORIGIN = {"Access-Control-Allow-Origin": f"'{PAGE}'"}


@pytest.fixture(scope="module")
def there(template):
    return made(template, {"PageOrigin": PAGE})


def kind(there, name):
    return [resource["Properties"] for resource in there.values() if resource["Type"] == name]


def headers(response, prefix="method"):
    """The headers of an answer that matter for CORS."""
    parameters = response.get("ResponseParameters", {}).items()
    named = {name.removeprefix(f"{prefix}.response.header."): value for name, value in parameters}
    return {name: value for name, value in named.items() if name.startswith("Access-Control-") or name == "Vary"}


def test_without_a_page_there_is_no_cors(template):
    written = json.dumps(made(template, {})).lower()
    for word in ("access-control", "cors", "options", "mock", '"response.header.vary', "default_4xx", "default_5xx"):
        assert word not in written, word
    assert '"responseparameters": {}' not in written


def test_the_page_may_read_every_answer(there):
    for logical, special in [
        ("PutImage", {"200": {"Access-Control-Expose-Headers": "'ETag'"}}),
        ("GetImage", {status: {"Vary": "'Origin'"} for status in ("200", "206", "304")}),
    ]:
        properties = there[logical]["Properties"]
        declared = {response["StatusCode"]: response for response in properties["MethodResponses"]}
        for response in properties["Integration"]["IntegrationResponses"]:
            status = response["StatusCode"]
            assert headers(response) == ORIGIN | special.get(status, {}), (logical, status)
            # API Gateway sends only declared headers.
            assert headers(declared[status]) == dict.fromkeys(headers(response), True), (logical, status)


def test_the_page_may_read_the_errors_of_api_gateway(there):
    said = kind(there, "AWS::ApiGateway::GatewayResponse")
    sent = {response["ResponseType"]: response["ResponseParameters"] for response in said}
    parameters = {"gatewayresponse.header.Access-Control-Allow-Origin": f"'{PAGE}'"}
    assert sent == dict.fromkeys(["DEFAULT_4XX", "DEFAULT_5XX", "REQUEST_TOO_LARGE"], parameters)
    # A status in a default response would replace the status of all its errors.
    assert [response["ResponseType"] for response in said if "StatusCode" in response] == ["REQUEST_TOO_LARGE"]


def test_preflights_are_answered(there):
    methods = kind(there, "AWS::ApiGateway::Method")
    preflights = {method["ResourceId"]["Ref"]: method for method in methods if method["HttpMethod"] == "OPTIONS"}
    others = {method["ResourceId"]["Ref"]: method["HttpMethod"] for method in methods if method["HttpMethod"] != "OPTIONS"}
    assert preflights.keys() == others.keys()
    for resource, wanted in [("ImageResource", "authorization,content-type"), ("FileResource", "authorization,range")]:
        integration = preflights[resource]["Integration"]
        (response,) = integration["IntegrationResponses"]
        assert headers(response) == ORIGIN | {
            "Access-Control-Allow-Headers": f"'{wanted}'",
            "Access-Control-Allow-Methods": f"'{others[resource]}'",
            "Access-Control-Max-Age": "'7200'",
        }
        (declared,) = preflights[resource]["MethodResponses"]
        assert declared["StatusCode"] == response["StatusCode"] == "204"
        assert headers(declared) == dict.fromkeys(headers(response), True)
        # With BinaryMediaTypes of */*, a template needs this.
        assert integration["ContentHandling"] == "CONVERT_TO_TEXT"
        assert integration["RequestTemplates"] == {"application/json": '{"statusCode": 204}'}


def test_the_http_api_answers_preflights_itself(there):
    (api,) = kind(there, "AWS::ApiGatewayV2::Api")
    cors = api["CorsConfiguration"]
    assert cors == {"AllowOrigins": [PAGE], "AllowMethods": ["GET", "POST", "DELETE"], "AllowHeaders": ["authorization"], "MaxAge": 7200}
    # A catch-all route would receive the preflights.
    routes = [route["RouteKey"].split(" ")[0] for route in kind(there, "AWS::ApiGatewayV2::Route")]
    assert set(routes) == set(cors["AllowMethods"])


def test_the_deployment_guide_lists_the_headers_of_up():
    source = re.sub(r"\\\n\s*", "", (INFRA.parent / "crates/web/src/lib.rs").read_text())
    (sent,) = re.findall(r"HEADERS: [^=]*= \[\n(.*?)\n\];", source, re.DOTALL)
    (listed,) = re.findall(r"```text\n(Content-Security-Policy: .*?)```", (INFRA.parent / "docs/deploy.md").read_text(), re.DOTALL)
    listed = [line.replace(" REST", "").replace(" HTTP", "").split(": ", 1) for line in listed.splitlines()]
    assert [(name.lower(), value) for name, value in listed] == re.findall(r'\(\s*"(.*?)",\s*"(.*?)",?\s*\)', sent)


@pytest.mark.parametrize(
    "origin", ["", PAGE, "https://d111111abcdef8.cloudfront.net", "https://example.com:8443", "http://localhost:8000"]
)
def test_valid_origins_are_accepted(template, origin):
    assert re.fullmatch(template["Parameters"]["PageOrigin"]["AllowedPattern"], origin)


@pytest.mark.parametrize(
    "origin",
    ["*", "null", f"{PAGE}/", f"{PAGE}/page", f"{PAGE},{PAGE}", f"{PAGE} {PAGE}", "https://'", "https://Example.com", "https://",
     "http://example.com", "http://localhost", "http://localhost:8000/", "portraits.example.com", "https://*.example.com"],
)  # fmt: skip
def test_invalid_origins_are_refused(template, origin):
    assert not re.fullmatch(template["Parameters"]["PageOrigin"]["AllowedPattern"], origin)
