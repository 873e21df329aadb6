"""What a page of another origin needs of both APIs (CORS): with PageOrigin it is there, without it nothing of it."""

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
    """The headers of an answer that a browser minds."""
    parameters = response.get("ResponseParameters", {}).items()
    named = {name.removeprefix(f"{prefix}.response.header."): value for name, value in parameters}
    return {name: value for name, value in named.items() if name.startswith("Access-Control-") or name == "Vary"}


def test_without_a_page_there_is_nothing_of_it(template):
    written = json.dumps(made(template, {})).lower()
    for word in ("access-control", "cors", "options", "mock", '"response.header.vary', "default_4xx", "default_5xx"):
        assert word not in written, word
    assert '"responseparameters": {}' not in written


def test_every_answer_says_that_the_page_may_read_it(there):
    for logical, special in [
        ("PutImage", {"200": {"Access-Control-Expose-Headers": "'ETag'"}}),
        ("GetImage", {status: {"Vary": "'Origin'"} for status in ("200", "206", "304")}),
    ]:
        properties = there[logical]["Properties"]
        declared = {response["StatusCode"]: response for response in properties["MethodResponses"]}
        for response in properties["Integration"]["IntegrationResponses"]:
            status = response["StatusCode"]
            assert headers(response) == ORIGIN | special.get(status, {}), (logical, status)
            # API Gateway sends none that is not declared.
            assert headers(declared[status]) == dict.fromkeys(headers(response), True), (logical, status)


def test_what_api_gateway_says_itself_can_be_read(there):
    said = kind(there, "AWS::ApiGateway::GatewayResponse")
    sent = {response["ResponseType"]: response["ResponseParameters"] for response in said}
    parameters = {"gatewayresponse.header.Access-Control-Allow-Origin": f"'{PAGE}'"}
    assert sent == dict.fromkeys(["DEFAULT_4XX", "DEFAULT_5XX", "REQUEST_TOO_LARGE"], parameters)
    # A status of their own would be that of all of them.
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
        # Beside BinaryMediaTypes of */* a template takes nothing else.
        assert integration["ContentHandling"] == "CONVERT_TO_TEXT"
        assert integration["RequestTemplates"] == {"application/json": '{"statusCode": 204}'}


def test_the_http_api_answers_by_itself(there):
    (api,) = kind(there, "AWS::ApiGatewayV2::Api")
    cors = api["CorsConfiguration"]
    assert cors == {"AllowOrigins": [PAGE], "AllowMethods": ["GET", "POST", "DELETE"], "AllowHeaders": ["authorization"], "MaxAge": 7200}
    # A route for everything would get the preflights instead.
    routes = [route["RouteKey"].split(" ")[0] for route in kind(there, "AWS::ApiGatewayV2::Route")]
    assert set(routes) == set(cors["AllowMethods"])


def test_a_host_is_told_the_headers_of_up():
    source = re.sub(r"\\\n\s*", "", (INFRA.parent / "crates/web/src/lib.rs").read_text())
    (sent,) = re.findall(r"HEADERS: [^=]*= \[\n(.*?)\n\];", source, re.DOTALL)
    (told,) = re.findall(r"```text\n(Content-Security-Policy: .*?)```", (INFRA.parent / "docs/deploy.md").read_text(), re.DOTALL)
    told = [line.replace(" REST", "").replace(" HTTP", "").split(": ", 1) for line in told.splitlines()]
    assert [(name.lower(), value) for name, value in told] == re.findall(r'\(\s*"(.*?)",\s*"(.*?)",?\s*\)', sent)


@pytest.mark.parametrize(
    "origin", ["", PAGE, "https://d111111abcdef8.cloudfront.net", "https://example.com:8443", "http://localhost:8000"]
)
def test_what_an_origin_is(template, origin):
    assert re.fullmatch(template["Parameters"]["PageOrigin"]["AllowedPattern"], origin)


@pytest.mark.parametrize(
    "origin",
    ["*", "null", f"{PAGE}/", f"{PAGE}/page", f"{PAGE},{PAGE}", f"{PAGE} {PAGE}", "https://'", "https://Example.com", "https://",
     "http://example.com", "http://localhost", "http://localhost:8000/", "portraits.example.com", "https://*.example.com"],
)  # fmt: skip
def test_what_no_origin_is(template, origin):
    assert not re.fullmatch(template["Parameters"]["PageOrigin"]["AllowedPattern"], origin)
