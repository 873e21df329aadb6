"""The template by itself: it is valid, its permissions are narrow, and it matches the rest of the project."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib

import pytest
from conftest import INFRA, PAGE, made

# The uses of `*` alone, each with the reason why AWS allows nothing narrower.
EVERYTHING = {
    ("EndpointRole", "Allow", "ecr:GetAuthorizationToken", "Resource"): "AWS defines no resource for this action",
}


def resources(template, kind):
    return {name: resource for name, resource in template["Resources"].items() if resource["Type"] == kind}


def test_cfn_lint_finds_nothing():
    run = "from cfnlint.runner import main; main()"
    command = [sys.executable, "-c", run, "--regions", "us-east-1", "eu-central-1", "--template", INFRA / "template.yaml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    source = (INFRA / "template.yaml").read_text()
    assert "cfn-lint" not in source, "a rule is ignored"


def test_sam_translates_the_template(translated):
    kinds = {resource["Type"] for resource in translated["Resources"].values()}
    assert not [kind for kind in kinds if kind.startswith("AWS::Serverless::")]
    assert len(resources(translated, "AWS::Lambda::Function")) == 2
    # All roles are in the template, since those that SAM generates may write to any log.
    roles = set(resources(translated, "AWS::IAM::Role"))
    assert roles == {"ImageProcessorRole", "JobTrackerRole", "EndpointRole", "RestApiRole"}
    assert not [name for name in roles if translated["Resources"][name]["Properties"].get("ManagedPolicyArns")]


def statements(value):
    """Every policy statement below a value, including those in `Fn::If`."""
    if isinstance(value, dict):
        if "Effect" in value:
            yield value
        for child in value.values():
            yield from statements(child)
    elif isinstance(value, list):
        for child in value:
            yield from statements(child)


def strings(value):
    """The strings of an element of a statement. Templates of `Fn::Sub` count, its variables do not."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for child in value:
            yield from strings(child)
    elif isinstance(value, dict):
        if "Fn::Sub" in value:
            sub = value["Fn::Sub"]
            yield sub if isinstance(sub, str) else sub[0]
        elif not {"Ref", "Fn::GetAtt"} & value.keys():
            for child in value.values():
                yield from strings(child)


def only_tls(statement):
    """Whether a statement is the denial of requests without TLS, the only one that names everybody."""
    return statement["Effect"] == "Deny" and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}


def too_wide(name, statement):
    """The parts of a statement that allow more than named actions, principals and resources."""
    if only_tls(statement):
        return
    assert not {"NotAction", "NotResource", "NotPrincipal"} & statement.keys(), (name, statement)
    for action in strings(statement["Action"]):
        if "*" in action or "?" in action:
            yield name, statement["Effect"], action, "Action"
    for principal in strings(statement.get("Principal", [])):
        if "*" in principal:
            yield name, statement["Effect"], principal, "Principal"
    for resource in strings(statement.get("Resource", [])):
        # A wildcard may stand for the contents of a resource of this stack, as in `${Bucket.Arn}/uploads/*`, never for a name.
        named = re.fullmatch(r"[^*?]*\$\{(?!AWS::(Partition|Region|AccountId))[^}]+\}[^*?]*[/:]\*", resource)
        if "*" in resource and not named or "?" in resource:
            for action in strings(statement["Action"]):
                yield name, statement["Effect"], action, "Resource"


def test_every_permission_is_named(translated):
    found = []
    count = 0
    for name, resource in translated["Resources"].items():
        for statement in statements(resource.get("Properties", {})):
            count += 1
            assert statement.get("Sid") or "Principal" in statement, (name, statement)
            found += too_wide(name, statement)
            if "Principal" in statement and not only_tls(statement):
                assert statement["Principal"] != "*"
    assert count > 40, "hardly any statements were found"
    assert set(found) == set(EVERYTHING)
    # Every other permission to call a function is limited to one source.
    for name, permission in resources(translated, "AWS::Lambda::Permission").items():
        assert "SourceArn" in permission["Properties"], name


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Allow", "Action": "s3:*", "Resource": {"Ref": "X"}},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": ["arn:aws:s3:::*"]},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": {"Fn::Sub": "arn:${AWS::Partition}:s3:::*"}},
        {"Effect": "Allow", "Action": "logs:Get", "Resource": {"Fn::Sub": "arn:aws:logs:${AWS::Region}:${AWS::AccountId}:*"}},
        {"Effect": "Allow", "Action": "sns:Publish", "Principal": "*", "Resource": {"Ref": "X"}},
        {"Effect": "Allow", "Action": "sns:Publish", "Principal": {"AWS": "*"}, "Resource": {"Ref": "X"}},
        {"Effect": "Allow", "Action": "s3:Get", "Principal": "*", "Resource": {"Ref": "X"}, "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
    ],
)
def test_a_too_wide_statement_is_found(statement):
    assert list(too_wide("Role", statement))


def test_every_bucket_topic_and_queue_requires_tls(translated):
    policies = {
        "AWS::S3::Bucket": ("AWS::S3::BucketPolicy", lambda properties: [properties["Bucket"]]),
        "AWS::SNS::Topic": ("AWS::SNS::TopicPolicy", lambda properties: properties["Topics"]),
        "AWS::SQS::Queue": ("AWS::SQS::QueuePolicy", lambda properties: properties["Queues"]),
    }
    for kind, (policy_kind, targets) in policies.items():
        safe = set()
        for policy in resources(translated, policy_kind).values():
            properties = policy["Properties"]
            if any(only_tls(statement) for statement in properties["PolicyDocument"]["Statement"]):
                safe |= {target["Ref"] for target in targets(properties)}
        assert safe == set(resources(translated, kind)), kind


def test_the_table_is_that_of_the_local_cloud(template):
    wanted = json.loads((INFRA / "jobs-table.json").read_text())
    table = template["Resources"]["JobsTable"]["Properties"]
    assert table["TableName"] == {"Fn::Sub": "${AWS::StackName}-" + wanted.pop("TableName")}
    assert {name: table[name] for name in wanted} == wanted


def test_the_rule_is_that_of_the_local_cloud(template):
    wanted = json.loads((INFRA / "upload-rule.json").read_text())
    wanted["detail"]["bucket"]["name"] = [{"Ref": "InputBucket"}]
    assert template["Resources"]["UploadsRule"]["Properties"]["EventPattern"] == wanted


def test_resources_have_the_names_of_the_local_cloud(template):
    named = {
        "ImageProcessor": ("FunctionName", "image-processor"),
        "JobTracker": ("FunctionName", "job-tracker"),
        "DeadLetters": ("QueueName", "image-processor-dead-letters"),
        "SuccessTopic": ("TopicName", "face-aging-success"),
        "ErrorTopic": ("TopicName", "face-aging-error"),
        "Endpoint": ("EndpointName", "face-aging"),
        "UploadsRule": ("Name", "uploads"),
        "SweepRule": ("Name", "sweep"),
        "CollectOrphansRule": ("Name", "collect-orphans"),
    }
    for logical, (attribute, name) in named.items():
        assert template["Resources"][logical]["Properties"][attribute] == {"Fn::Sub": "${AWS::StackName}-" + name}


def test_events_of_schedules_name_their_schedule(template):
    for logical, name in [("SweepRule", "sweep"), ("CollectOrphansRule", "collect-orphans")]:
        (target,) = template["Resources"][logical]["Properties"]["Targets"]
        event = json.loads(target["Input"])
        assert event["detail-type"] == "Scheduled Event"
        assert event["resources"][0].rsplit("/", 1)[-1] == name


def test_functions_get_exactly_the_variables_that_they_read(template):
    source = (INFRA.parent / "lambda/src/settings.rs").read_text()
    read = set(re.findall(r'"([A-Z]+_[A-Z_]+)"', source.split("#[cfg(test)]")[0]))
    assert len(read) >= 13
    for function in ("ImageProcessor", "JobTracker"):
        given = set(template["Resources"][function]["Properties"]["Environment"]["Variables"])
        assert given - {"RUST_LOG", "MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_"} == read


def test_metrics_are_made_of_logged_lines(template):
    source = "".join(path.read_text() for path in (INFRA.parent / "lambda/src").rglob("*.rs"))
    lines = set(re.findall(r'tracing::\w+!\((?:[^;]*?, )?"([^"]+)"\)', source))
    for name, metric in resources(template, "AWS::Logs::MetricFilter").items():
        wanted = re.findall(r'\$\.fields\.message = "([^"]+)"', metric["Properties"]["FilterPattern"])
        assert wanted and set(wanted) <= lines, name


def test_objects_outlast_their_jobs_by_a_week(template):
    days = template["Mappings"]["Days"]
    assert list(days) == template["Parameters"]["RetentionDays"]["AllowedValues"]
    assert all(kept["Objects"] == int(retention) + 7 for retention, kept in days.items())


def test_a_changed_rest_api_has_a_new_deployment(template):
    kinds = ["RestApi", "Resource", "Method", "GatewayResponse", "Authorizer"]
    shown = {
        name: resource
        for name, resource in template["Resources"].items()
        if resource["Type"] in {f"AWS::ApiGateway::{kind}" for kind in kinds}
    }
    digest = hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:8]
    names = {"": f"RestDeployment{digest}", PAGE: f"RestPageDeployment{digest}"}
    assert set(resources(template, "AWS::ApiGateway::Deployment")) == set(names.values())
    for origin, name in names.items():
        there = {"Resources": made(template, {"PageOrigin": origin})}
        (deployment,) = resources(there, "AWS::ApiGateway::Deployment").items()
        (stage,) = resources(there, "AWS::ApiGateway::Stage").values()
        assert deployment[0] == name and stage["Properties"]["DeploymentId"] == {"Ref": name}
        # It is created after all its methods and responses.
        wanted = resources(there, "AWS::ApiGateway::Method") | resources(there, "AWS::ApiGateway::GatewayResponse")
        assert set(deployment[1]["DependsOn"]) == set(wanted)


def test_every_route_requires_authorization(template):
    methods = resources(template, "AWS::ApiGateway::Method").values()
    preflights = [method for method in methods if method["Properties"]["HttpMethod"] == "OPTIONS"]
    methods = [method for method in methods if method not in preflights]
    routes = resources(template, "AWS::ApiGatewayV2::Route").values()
    assert len(methods) == 2 and len(preflights) == 2 and len(routes) == 4
    # Preflights are the exception. They reach no resource.
    for method in preflights:
        assert method["Properties"]["AuthorizationType"] == "NONE"
        assert method["Properties"]["Integration"]["Type"] == "MOCK"
        assert not {"Uri", "Credentials"} & method["Properties"]["Integration"].keys()
    for method in methods:
        assert method["Properties"]["AuthorizationType"] == {"Fn::If": ["HasUserPool", "COGNITO_USER_POOLS", "AWS_IAM"]}
    for route in routes:
        assert route["Properties"]["AuthorizationType"] == {"Fn::If": ["HasTokens", "JWT", "AWS_IAM"]}


def test_the_example_parameters_are_valid(template):
    config = tomllib.loads((INFRA / "samconfig.toml").read_text())
    given = dict(pair.split("=", 1) for pair in config["default"]["deploy"]["parameters"]["parameter_overrides"])
    for name, value in given.items():
        parameter = template["Parameters"][name]
        assert re.fullmatch(parameter.get("AllowedPattern", ".*"), value), name
        assert value in [str(allowed) for allowed in parameter.get("AllowedValues", [value])], name
    required = {name for name, parameter in template["Parameters"].items() if "Default" not in parameter}
    assert required <= given.keys()
