"""With JwtIssuer, a function says who asks the REST API."""

import json
import re

import pytest
from conftest import INFRA, ISSUER, POOL, made


def test_an_authorizer_of_an_issuer_exists_for_that_alone(template):
    its_own = {"Authorizer", "AuthorizerRole", "AuthorizerPermission", "AuthorizerAlarm", "AuthorizerUpdateAlarm", "RefusedTokens", "RestIssuerAuthorizer"}
    for given in ({}, {"UserPoolArn": POOL}, {"UserPoolArn": POOL, "JwtIssuer": ISSUER, "Tenancy": "shared"}):
        assert not its_own & set(made(template, given)), given
    for tenancy in ("auto", "owner", "shared"):
        there = made(template, {"JwtIssuer": ISSUER, "JwtAudience": "client", "Tenancy": tenancy})
        assert its_own <= set(there) and "RestAuthorizer" not in there
        # API Gateway alone may call it, and for this authorizer of this API alone.
        permission = there["AuthorizerPermission"]["Properties"]
        assert permission["SourceArn"]["Fn::Sub"].endswith(":${RestApi}/authorizers/${RestIssuerAuthorizer}")
        assert permission["Principal"] == "apigateway.amazonaws.com"
        updates = json.dumps(there["FunctionUpdateRole"])
        assert "Authorizer.Arn}:live" in updates and '["Authorizer", "Arn"]' in updates
    assert "Authorizer" not in json.dumps(made(template, {"UserPoolArn": POOL})["FunctionUpdateRole"])


def test_an_answer_of_the_authorizer_is_kept_for_its_token_alone(template):
    authorizer = made(template, {"JwtIssuer": ISSUER})["RestIssuerAuthorizer"]["Properties"]
    assert (authorizer["Type"], authorizer["IdentitySource"]) == ("TOKEN", "method.request.header.Authorization")
    # A token works for as long after its expiry.
    assert 0 < authorizer["AuthorizerResultTtlInSeconds"] <= 60
    # The answer is about the stage: what was allowed for one path is not refused for the next one.
    source = (INFRA.parent / "lambda/src/authorizer.rs").read_text()
    assert 'resource: format!("{stage}/*")' in source
    looks = authorizer["IdentityValidationExpression"]
    for token in ("a.b.c", "Bearer a-_0.b.c", "bearer  a.b.c"):
        assert re.fullmatch(looks, token), token
    for junk in ("", "Bearer", "Basic YTpi", "a.b", "a.b.", "a.b.c.d", "Bearer a.b.c x", "a.b.c\n", "é.b.c"):
        assert not re.fullmatch(looks, junk), junk


def test_bad_tokens_ring_no_alarm_of_the_authorizer(template):
    """API Gateway answers 401 for an error, which Lambda counts as one."""
    there = made(template, {"JwtIssuer": ISSUER})
    counted = there["RefusedTokens"]["Properties"]["MetricTransformations"][0]
    for name in ("AuthorizerAlarm", "AuthorizerUpdateAlarm"):
        metrics = {each["Id"]: each for each in there[name]["Properties"]["Metrics"]}
        refused = metrics["refused"]["MetricStat"]["Metric"]
        assert (refused["Namespace"], refused["MetricName"]) == (counted["MetricNamespace"], counted["MetricName"])
        assert metrics["failures"]["Expression"].endswith(" - FILL(refused, 0)") and metrics["failures"]["ReturnData"]
    # The lines are there with any LogLevel.
    source = (INFRA.parent / "lambda/src/authorizer.rs").read_text()
    assert 'tracing::warn!(%reason, "token refused")' in source
    assert set(template["Parameters"]["LogLevel"]["AllowedValues"]) == {"warn", "info", "debug"}


@pytest.mark.parametrize(
    "issuer, accepted",
    [
        ("", True),
        (ISSUER, True),
        ("https://login.example.com/0a1b2c3d/v2.0", True),
        ("http://issuer.example.com", False),
        ("https://issuer.example.com/?tenant=a", False),
        ("https://issuer.example.com/#a", False),
        ("issuer.example.com", False),
    ],
)
def test_issuers_are_https_addresses(template, issuer, accepted):
    assert bool(re.fullmatch(template["Parameters"]["JwtIssuer"]["AllowedPattern"], issuer)) == accepted
