"""The template by itself: it is valid, its permissions are narrow, and it matches the rest of the project."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib

import boto3
import pytest
from conftest import INFRA, ISSUER, KEY, PAGE, POOL, made

# The uses of `*` alone, each with the reason why AWS allows nothing narrower.
EVERYTHING = {
    ("EndpointRole", "Allow", "ecr:GetAuthorizationToken", "Resource"): "AWS defines no resource for this action",
    ("ImageProcessorRole", "Allow", "xray:PutTelemetryRecords", "Resource"): "AWS defines no resource for this action",
    ("ImageProcessorRole", "Allow", "xray:PutTraceSegments", "Resource"): "AWS defines no resource for this action",
    ("JobTrackerRole", "Allow", "xray:PutTelemetryRecords", "Resource"): "AWS defines no resource for this action",
    ("JobTrackerRole", "Allow", "xray:PutTraceSegments", "Resource"): "AWS defines no resource for this action",
    ("AuthorizerRole", "Allow", "xray:PutTelemetryRecords", "Resource"): "AWS defines no resource for this action",
    ("AuthorizerRole", "Allow", "xray:PutTraceSegments", "Resource"): "AWS defines no resource for this action",
    ("EndpointRole", "Allow", "cloudwatch:PutMetricData", "Resource"): "AWS defines no resource, and a condition names the metrics",
    ("FunctionUpdateRole", "Allow", "cloudwatch:DescribeAlarms", "Resource"): "CloudWatch checks it against all alarms",
}


def resources(template, kind):
    return {name: resource for name, resource in template["Resources"].items() if resource["Type"] == kind}


@pytest.mark.parametrize("name", ["template.yaml", "data.yaml", "key.yaml", "ci/role.yaml"])
def test_cfn_lint_finds_nothing(name):
    run = "from cfnlint.runner import main; main()"
    # I3011: everything with data says what becomes of it.
    options = ["--include-checks", "I3011", "--regions", "us-east-1", "eu-central-1", "ap-south-1"]
    command = [sys.executable, "-c", run, *options, "--template", INFRA / name]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    source = (INFRA / name).read_text()
    assert "cfn-lint" not in source, "a rule is ignored"


def test_sam_translates_the_template(translated):
    kinds = {resource["Type"] for resource in translated["Resources"].values()}
    assert not [kind for kind in kinds if kind.startswith("AWS::Serverless::")]
    assert len(resources(translated, "AWS::Lambda::Function")) == 3
    # All roles are in the template, since those that SAM generates may write to any log.
    roles = set(resources(translated, "AWS::IAM::Role"))
    assert roles == {"ImageProcessorRole", "JobTrackerRole", "AuthorizerRole", "FunctionUpdateRole", "EndpointRole", "RestApiRole"}
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
    metrics = [part for part in statements(translated["Resources"]["EndpointRole"]) if part["Action"] == "cloudwatch:PutMetricData"]
    assert [part["Condition"] for part in metrics] == [{"StringEquals": {"cloudwatch:namespace": "/aws/sagemaker/Endpoints"}}]
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


def test_every_bucket_topic_and_queue_requires_tls(translated, data_template):
    both = {"Resources": translated["Resources"] | data_template["Resources"]}
    policies = {
        "AWS::S3::Bucket": ("AWS::S3::BucketPolicy", lambda properties: [properties["Bucket"]]),
        "AWS::SNS::Topic": ("AWS::SNS::TopicPolicy", lambda properties: properties["Topics"]),
        "AWS::SQS::Queue": ("AWS::SQS::QueuePolicy", lambda properties: properties["Queues"]),
    }
    for kind, (policy_kind, targets) in policies.items():
        safe = set()
        for policy in resources(both, policy_kind).values():
            properties = policy["Properties"]
            if any(only_tls(statement) for statement in properties["PolicyDocument"]["Statement"]):
                safe |= {target["Ref"] for target in targets(properties)}
        # The policy of alarms is one of three for topics.
        assert safe and safe == set(resources(both, kind)), kind


def test_the_table_is_that_of_the_local_cloud(data_template):
    wanted = json.loads((INFRA / "jobs-table.json").read_text())
    table = data_template["Resources"]["JobsTable"]["Properties"]
    # With a name of its own, a table whose key or index changes could not be replaced.
    assert wanted.pop("TableName") == "jobs" and "TableName" not in table
    assert {name: table[name] for name in wanted} == wanted


def test_the_rule_is_that_of_the_local_cloud(template):
    wanted = json.loads((INFRA / "upload-rule.json").read_text())
    wanted["detail"]["bucket"]["name"] = [{"Ref": "InputBucket"}]
    assert template["Resources"]["UploadsRule"]["Properties"]["EventPattern"] == wanted


def test_resources_have_the_names_of_the_local_cloud(template):
    named = {
        "ImageProcessor": ("FunctionName", "image-processor"),
        "JobTracker": ("FunctionName", "job-tracker"),
        "Authorizer": ("FunctionName", "authorizer"),
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
    read = set(re.findall(r'"([A-Z][A-Z_]{3,})"', source.split("#[cfg(test)]")[0]))
    assert len(read) >= 16
    for function in ("ImageProcessor", "JobTracker"):
        given = set(template["Resources"][function]["Properties"]["Environment"]["Variables"])
        assert given - {"RUST_LOG", "MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_"} == read
    source = (INFRA.parent / "lambda/src/authorizer/settings.rs").read_text()
    read = set(re.findall(r'"([A-Z][A-Z_]{3,})"', source.split("#[cfg(test)]")[0]))
    given = set(template["Resources"]["Authorizer"]["Properties"]["Environment"]["Variables"])
    assert given - {"RUST_LOG"} == read == {"JWT_ISSUER", "JWT_AUDIENCE"}


def test_metrics_are_made_of_logged_lines(template):
    source = "".join(path.read_text() for path in (INFRA.parent / "lambda/src").rglob("*.rs"))
    lines = set(re.findall(r'tracing::\w+!\((?:[^;]*?, )?"([^"]+)"\)', source))
    for name, metric in resources(template, "AWS::Logs::MetricFilter").items():
        wanted = re.findall(r'\$\.fields\.message = "([^"]+)"', metric["Properties"]["FilterPattern"])
        assert wanted and set(wanted) <= lines, name


def test_objects_outlast_their_jobs_by_a_week(template, data_template):
    days = data_template["Mappings"]["Days"]
    for part in (template, data_template):
        assert list(days) == part["Parameters"]["RetentionDays"]["AllowedValues"]
    assert all(kept["Objects"] == int(retention) + 7 for retention, kept in days.items())


def test_a_changed_rest_api_has_a_new_deployment(template):
    kinds = ["RestApi", "Resource", "Method", "GatewayResponse", "Authorizer"]
    shown = {
        name: resource
        for name, resource in template["Resources"].items()
        if resource["Type"] in {f"AWS::ApiGateway::{kind}" for kind in kinds}
    }
    digest = hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:8]
    # Another way of authorization is another deployment, or the stage would stay as it was.
    names = {
        ("", "", "", "auto"): f"RestDeployment{digest}",
        ("", "", "", "shared"): f"RestDeployment{digest}",
        ("", POOL, "", "shared"): f"RestTokenDeployment{digest}",
        ("", POOL, ISSUER, "shared"): f"RestTokenDeployment{digest}",
        ("", POOL, "", "auto"): f"RestOwnerDeployment{digest}",
        ("", POOL, "", "owner"): f"RestOwnerDeployment{digest}",
        ("", "", ISSUER, "shared"): f"RestIssuerDeployment{digest}",
        ("", "", ISSUER, "auto"): f"RestIssuerOwnerDeployment{digest}",
        ("", "", ISSUER, "owner"): f"RestIssuerOwnerDeployment{digest}",
        (PAGE, POOL, "", "shared"): f"RestPageDeployment{digest}",
        (PAGE, POOL, "", "auto"): f"RestOwnerPageDeployment{digest}",
    }
    assert set(resources(template, "AWS::ApiGateway::Deployment")) == set(names.values())
    for (origin, users, issuer, tenancy), name in names.items():
        given = {"PageOrigin": origin, "UserPoolArn": users, "JwtIssuer": issuer, "Tenancy": tenancy}
        there = {"Resources": made(template, given)}
        (deployment,) = resources(there, "AWS::ApiGateway::Deployment").items()
        (stage,) = resources(there, "AWS::ApiGateway::Stage").values()
        assert deployment[0] == name and stage["Properties"]["DeploymentId"] == {"Ref": name}
        # It is created after all its methods and responses.
        wanted = resources(there, "AWS::ApiGateway::Method") | resources(there, "AWS::ApiGateway::GatewayResponse")
        assert set(deployment[1]["DependsOn"]) == set(wanted)


@pytest.mark.parametrize(
    "given, owners",
    [
        ({}, False),
        ({"UserPoolArn": POOL}, True),
        ({"UserPoolArn": POOL, "PageOrigin": PAGE}, True),
        ({"UserPoolArn": POOL, "Tenancy": "owner"}, True),
        ({"UserPoolArn": POOL, "Tenancy": "shared"}, False),
        ({"JwtIssuer": ISSUER}, True),
        ({"JwtIssuer": ISSUER, "Tenancy": "owner"}, True),
        ({"JwtIssuer": ISSUER, "Tenancy": "shared"}, False),
        ({"JwtIssuer": ISSUER, "UserPoolArn": POOL, "Tenancy": "shared"}, False),
    ],
)
def test_the_owner_of_a_key_is_the_subject_of_the_checked_token(template, given, owners):
    there = made(template, given)
    for logical in ("PutImage", "GetImage"):
        method = there[logical]["Properties"]
        uri = method["Integration"]["Uri"]["Fn::Sub"]
        sent = method["Integration"]["RequestParameters"]
        # In the key the owner is a folder of its own, right after the prefix.
        assert ("/{owner}/{id}" in uri, uri.count("{owner}")) == (owners, int(owners))
        # It is said by the authorizer of the very same method.
        pool = "UserPoolArn" in given
        kind, said = ("COGNITO_USER_POOLS", "claims.sub") if pool else ("CUSTOM", "owner") if "JwtIssuer" in given else ("AWS_IAM", None)
        authorizer = {"Ref": "RestAuthorizer" if pool else "RestIssuerAuthorizer"} if said else None
        assert sent.get("integration.request.path.owner") == (f"context.authorizer.{said}" if owners else None)
        assert (method["AuthorizationType"], method.get("AuthorizerId")) == (kind, authorizer)
        assert not said or authorizer["Ref"] in there
        # No other path or query of a request writes a part of the key.
        named = {to for to in sent if to.startswith("integration.request.path.")} - {"integration.request.path.owner"}
        assert named == {f"integration.request.path.{name}" for name in re.findall(r"\{(\w+)\}", uri.split("s3:path/")[1]) if name in ("id", "revision", "file")}
        assert all(sent[to] == to.replace("integration", "method") for to in named)
    for function in ("ImageProcessor", "JobTracker"):
        assert there[function]["Properties"]["Environment"]["Variables"]["TENANCY"] == ("owner" if owners else "shared")
    if owners:
        # Both APIs know the same subjects: job-tracker's are of the same pool.
        tokens = there["HttpAuthorizer"]["Properties"]["JwtConfiguration"]
        if "JwtIssuer" in given:
            variables = there["Authorizer"]["Properties"]["Environment"]["Variables"]
            assert (tokens["Issuer"], tokens["Audience"]) == (variables["JWT_ISSUER"], [variables["JWT_AUDIENCE"]]) == (ISSUER, [""])
        else:
            assert "cognito-idp" in json.dumps(tokens["Issuer"])
        routes = [each["Properties"] for each in there.values() if each["Type"] == "AWS::ApiGatewayV2::Route"]
        assert {route["AuthorizationType"] for route in routes} == {"JWT"}


@pytest.mark.parametrize(
    "given, refused",
    [
        ({}, []),
        ({"UserPoolArn": POOL, "JwtAudience": "client"}, []),
        ({"Tenancy": "owner"}, ["OwnersHaveTokens"]),
        ({"Tenancy": "owner", "UserPoolArn": POOL, "JwtAudience": "client"}, []),
        ({"JwtIssuer": ISSUER, "JwtAudience": "client"}, []),
        ({"JwtIssuer": ISSUER}, ["TokensHaveAnAudience"]),
        ({"JwtIssuer": ISSUER, "JwtAudience": "client", "Tenancy": "owner"}, []),
        ({"JwtIssuer": ISSUER, "JwtAudience": "client", "Tenancy": "shared"}, []),
        ({"JwtIssuer": ISSUER, "JwtAudience": "client", "UserPoolArn": POOL}, ["OwnersAreKnownByBothApis"]),
        ({"JwtIssuer": ISSUER, "JwtAudience": "client", "UserPoolArn": POOL, "Tenancy": "owner"}, ["OwnersAreKnownByBothApis"]),
        ({"JwtIssuer": ISSUER, "JwtAudience": "client", "UserPoolArn": POOL, "Tenancy": "shared"}, []),
        ({"JwtIssuer": ISSUER, "JwtAudience": "client", "PageOrigin": PAGE}, ["PagesSendTokens"]),
    ],
)
def test_owners_that_one_api_would_not_know_are_refused(template, given, refused):
    parameters = {name: str(parameter.get("Default", "")) for name, parameter in template["Parameters"].items()} | given

    def holds(rule):
        match rule:
            case {"Fn::Not": [part]}:
                return not holds(part)
            case {"Fn::Or": parts}:
                return any(map(holds, parts))
            case {"Fn::And": parts}:
                return all(map(holds, parts))
            case {"Fn::Equals": [{"Ref": name}, value]}:
                return parameters[name] == value
        raise ValueError(f"{rule} is not supported")

    broken = [
        name
        for name, rule in template["Rules"].items()
        if holds(rule["RuleCondition"]) and not all(holds(assertion["Assert"]) for assertion in rule["Assertions"])
    ]
    assert broken == refused


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
        without = {"Fn::If": ["HasAuthorizer", "CUSTOM", "AWS_IAM"]}
        assert method["Properties"]["AuthorizationType"] == {"Fn::If": ["HasUserPool", "COGNITO_USER_POOLS", without]}
    for route in routes:
        assert route["Properties"]["AuthorizationType"] == {"Fn::If": ["HasTokens", "JWT", "AWS_IAM"]}


@pytest.mark.parametrize("stage", ["default", "dev", "prod"])
def test_the_example_parameters_are_valid(template, stage):
    config = tomllib.loads((INFRA / "samconfig.example.toml").read_text())
    parameters = config[stage]["deploy"]["parameters"]
    # The region is that of AWS_REGION alone: one here would part the stack from its image and its weights.
    assert "region" not in parameters and "region" not in config.get(stage, {}).get("global", {}).get("parameters", {})
    given = dict(pair.split("=", 1) for pair in parameters["parameter_overrides"])
    for name, value in given.items():
        parameter = template["Parameters"][name]
        assert re.fullmatch(parameter.get("AllowedPattern", ".*"), value), name
        assert value in [str(allowed) for allowed in parameter.get("AllowedValues", [value])], name
    required = {name for name, parameter in template["Parameters"].items() if "Default" not in parameter}
    assert required <= given.keys()


def test_callers_use_the_alias_of_a_function(translated):
    functions = {"ImageProcessor", "JobTracker", "Authorizer"}
    aliases = {name: alias["Properties"] for name, alias in resources(translated, "AWS::Lambda::Alias").items()}
    assert {alias["FunctionName"]["Ref"]: name for name, alias in aliases.items()} == {name: f"{name}Aliaslive" for name in functions}
    callers = ["AWS::Events::Rule", "AWS::Lambda::Permission", "AWS::SNS::Subscription", "AWS::ApiGatewayV2::Integration", "AWS::ApiGateway::Authorizer"]
    calls = [json.dumps(part) for kind in callers for part in resources(translated, kind).values()]
    calls = [call for call in calls if '"Protocol": "email"' not in call and '"COGNITO_USER_POOLS"' not in call]
    assert len(calls) == 3 + 7 + 2 + 1 + 1
    for call in calls:
        assert "Aliaslive" in call and not [name for name in functions if f'"{name}"' in call], call


def test_an_update_of_a_function_goes_back_when_its_alarm_rings(translated, template):
    for given, name in [({}, "Linear10PercentEvery1Minute"), ({"FunctionUpdates": "at-once"}, "AllAtOnce")]:
        there = made(translated, given | {"JwtIssuer": ISSUER})
        for function in ("ImageProcessor", "JobTracker", "Authorizer"):
            group = there[f"{function}DeploymentGroup"]["Properties"]
            assert group["DeploymentConfigName"]["Fn::Sub"][1] == {"ConfigName": name}
            assert group["AlarmConfiguration"] == {"Enabled": True, "Alarms": [{"Name": {"Ref": f"{function}UpdateAlarm"}}]}
            assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
            assert group["ServiceRoleArn"] == {"Fn::GetAtt": ["FunctionUpdateRole", "Arn"]}
            policy = translated["Resources"][f"{function}Aliaslive"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
            assert policy["DeploymentGroupName"] == {"Ref": f"{function}DeploymentGroup"}
            # The alarm is of the version to which the alias moves, and of no other.
            version = there[f"{function}Aliaslive"]["Properties"]["FunctionVersion"]
            alarm = there[f"{function}UpdateAlarm"]["Properties"]
            watched = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", []) if each["Id"] == "errors"] or [alarm]
            (dimensions,) = [each["Dimensions"] for each in watched]
            assert {each["Name"]: each["Value"] for each in dimensions}["ExecutedVersion"] == version
            assert version["Fn::GetAtt"][0] in there
    # The sweep calls the version meanwhile, often enough for the alarm: a tenth of ten minutes, two tenths of nine, and so on.
    sweep = template["Resources"]["SweepRule"]["Properties"]["ScheduleExpression"]
    threshold = template["Resources"]["ImageProcessorUpdateAlarm"]["Properties"]["Threshold"]
    assert sweep == "rate(1 minute)" and sum(tenths / 10 for tenths in range(6, 10)) > threshold


def test_another_setting_is_another_version_of_a_function(template):
    """A version keeps its settings, and SAM publishes one for new code only."""
    others = {"JwtIssuer": ISSUER, "DefaultAges": "30", "KmsKeyArn": KEY, "JobsTable": "other", "RetentionDays": "7", "Architecture": "x86_64", "Tracing": "on"}
    together = {"InputBucket", "OutputBucket"}  # The stack of data makes them together with the table.

    def version(function, given):
        alone = template | {"Resources": {function: template["Resources"][function]}}
        properties = made(alone, given)[function]["Properties"]
        text, parts = properties.pop("VersionDescription")["Fn::Sub"]
        at, of = parts.pop("Key")["Fn::Select"]
        separator, whole = of["Fn::Split"]
        values = {name: str(parameter.get("Default", "")) for name, parameter in template["Parameters"].items()}
        values |= given | parts | {"Key": whole.split(separator)[at]}
        said = re.sub(r"\$\{(\w+)\}", lambda found: str(values[found[1]]), text)
        assert len(said) <= 256, said
        for unversioned in ("ReservedConcurrentExecutions", "DeploymentPreference", "EventInvokeConfig"):
            properties.pop(unversioned, None)
        return json.dumps(properties, sort_keys=True), said

    most = {name: "x" * template["Parameters"][name]["MaxLength"] for name in ("JwtIssuer", "JwtAudience")}
    long = most | {"DefaultAges": ",".join(["99"] * 16), "JobsTable": "time-traveler-" + "s" * 20 + "-data-Jobs-ABCDEFGHIJKLM", "KmsKeyArn": KEY, "AdminGroup": "g" * 40}
    for function in ("ImageProcessor", "JobTracker", "Authorizer"):
        version(function, long)
        changed = set()
        for name, parameter in template["Parameters"].items():
            if (function, name) == ("Authorizer", "UserPoolArn"):
                continue  # With it, the function does not exist.
            allowed = [str(value) for value in parameter.get("AllowedValues", [])]
            other = others.get(name) or ([value for value in allowed if value != str(parameter.get("Default"))] or ["1234"])[-1]
            for base in [{"JwtIssuer": ISSUER + "other"}] if function == "Authorizer" else [{}, {"UserPoolArn": POOL}]:
                before, after = version(function, base), version(function, base | {name: other})
                # Neither changes without the other: Lambda refuses a version that is the last one again.
                assert name in together or (before[0] == after[0]) == (before[1] == after[1]), (function, name, before, after)
                changed |= {name} if before != after else set()
        its_own = {"JwtIssuer", "JwtAudience"} if function == "Authorizer" else {"Tenancy", "UserPoolArn", "DailyQuota", "RetentionDays"}
        assert its_own | {"KmsKeyArn", "Tracing", "LogLevel"} <= changed


def test_an_update_of_the_endpoint_goes_back_when_its_alarm_rings(template):
    endpoint = template["Resources"]["Endpoint"]["Properties"]
    config = endpoint["DeploymentConfig"]
    assert config["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": {"Ref": "EndpointErrorsAlarm"}}]}
    blue_green = config["BlueGreenUpdatePolicy"]
    alarm = template["Resources"]["EndpointErrorsAlarm"]
    period = alarm["Properties"]["Metrics"][1]["MetricStat"]["Period"]
    assert blue_green["TrafficRoutingConfiguration"]["WaitIntervalInSeconds"] >= period
    # A reference from the alarm to the endpoint would be a circle.
    assert '"Endpoint"' not in json.dumps(alarm) and "Endpoint.EndpointName" not in json.dumps(alarm)
    assert endpoint["EndpointName"] == {"Fn::Sub": "${AWS::StackName}-face-aging"}
    assert json.dumps(alarm).count('"Value": {"Fn::Sub": "${AWS::StackName}-face-aging"}') == 5


def test_without_scaling_the_instance_type_can_change(template):
    scaling = {"AWS::ApplicationAutoScaling::ScalableTarget", "AWS::ApplicationAutoScaling::ScalingPolicy"}
    for value, wanted in [("on", scaling), ("off", set())]:
        there = made(template, {"Scaling": value})
        assert {part["Type"] for part in there.values()} & scaling == wanted
        assert ("WakeUpAlarm" in there) == bool(wanted) and "Endpoint" in there


def test_a_gpu_that_cannot_be_used_is_an_error(template):
    parameter = template["Parameters"]["InferenceAmiVersion"]
    # The image needs CUDA 12.8 or later. This one has it, and neither the default nor gpu-3-1 has.
    assert parameter["AllowedValues"] == ["", "al2023-ami-sagemaker-inference-gpu-4-1"] == ["", parameter["Default"]]
    for image, device in [(parameter["Default"], "cuda"), ("", "cpu")]:
        there = made(template, {"InferenceAmiVersion": image})
        assert there["Model"]["Properties"]["PrimaryContainer"]["Environment"]["DEVICE"] == device


def test_the_default_instance_is_known_and_has_tensor_cores_for_float32(template):
    instance = template["Parameters"]["InstanceType"]["Default"]
    known = boto3.client("sagemaker").meta.service_model.shape_for("ProductionVariantInstanceType").enum
    assert instance in known
    # TF32 came with compute capability 8.0: A10G is 8.6, L4 8.9; T4 is 7.5.
    assert instance.split(".")[1] in {"g5", "g6"}


def test_held_requests_leave_functions_for_the_pipeline(template):
    source = (INFRA.parent / "crates/pipeline/src").rglob("*.rs")
    (wait,) = {int(found) for path in source for found in re.findall(r"MAX_WAIT_SECONDS: u64 = (\d+);", path.read_text())}
    rate, burst = (template["Parameters"][name]["Default"] for name in ("HttpApiRate", "HttpApiBurst"))
    # An account may run 1000 functions at once.
    assert rate * wait + burst <= 1000 / 3


@pytest.mark.parametrize(
    "uri, repository",
    [
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/time-traveler:v1", "time-traveler"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/team/faces@sha256:" + "0" * 64, "team/faces"),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/faces@sha256:123", None),
        ("time-traveler:v1", None),
    ],
)
def test_images_of_every_partition_are_accepted(template, uri, repository):
    accepted = re.fullmatch(template["Parameters"]["ImageUri"]["AllowedPattern"], uri)
    assert bool(accepted) == bool(repository)
    if not accepted:
        return

    def value(of):
        match of:
            case {"Ref": "ImageUri"}:
                return uri
            case {"Fn::Select": [index, rest]}:
                return value(rest)[int(index)]
            case {"Fn::Split": [at, rest]}:
                return value(rest).split(at)
            case {"Fn::Join": [between, rest]}:
                return between.join(value(rest))
        return of

    (statement,) = [part for part in statements(template["Resources"]["EndpointRole"]) if part.get("Sid") == "PullTheImage"]
    variables = statement["Resource"]["Fn::Sub"][1]
    region = uri.split(".")[3]
    assert (value(variables["Account"]), value(variables["Region"])) == ("123456789012", region)
    assert value(variables["Repository"]) == repository


def test_pictures_are_kept_by_their_own_client_alone():
    source = (INFRA.parent / "lambda/src/objects.rs").read_text()
    (said,) = re.findall(r'const IMMUTABLE: &str = "(.*)";', source)
    words = said.split(", ")
    assert "private" in words and "public" not in words and "s-maxage" not in said
    (seconds,) = [int(word.removeprefix("max-age=")) for word in words if word.startswith("max-age=")]
    assert seconds <= 86_400, "a deleted picture stays in browsers"
    assert said in (INFRA / "openapi/rest-api.yaml").read_text()


def test_budget_and_idle_instances_are_told_to_the_same_address(template):
    assert "MonthlyBudget" not in made(template, {}) and "MonthlyBudget" not in made(template, {"BudgetDollars": "50"})
    budget = made(template, {"BudgetDollars": "50", "AlarmEmail": "a@b.c"})["MonthlyBudget"]["Properties"]
    assert budget["Budget"]["BudgetLimit"] == {"Amount": "50", "Unit": "USD"}
    told = {part["SubscriptionType"]: part["Address"] for to in budget["NotificationsWithSubscribers"] for part in to["Subscribers"]}
    assert told == {"EMAIL": "a@b.c"}
    idle = template["Resources"]["IdleInstanceAlarm"]["Properties"]
    assert idle["EvaluationPeriods"] * idle["Metrics"][1]["MetricStat"]["Period"] == 3600


def test_access_logs_name_neither_portraits_nor_callers(template):
    there = made(template, {"RestAccessLogs": "on"})
    formats = [
        there["RestStage"]["Properties"]["AccessLogSetting"]["Format"],
        there["HttpStage"]["Properties"]["AccessLogSettings"]["Format"],
    ]
    for written in formats:
        said = set(re.findall(r"\$context\.([\w.]+)", json.dumps(json.loads(written))))
        assert {"requestId", "status", "requestTimeEpoch"} <= said
        assert not [name for name in said if name in ("path", "rawPath") or name.startswith(("identity", "authorizer"))]
    assert "AccessLogSetting" not in made(template, {})["RestStage"]["Properties"]


def asked(query):
    """The fields of a log that a query of CloudWatch Logs Insights names."""
    for line in query.splitlines():
        command, rest = line.removeprefix("| ").split(" ", 1)
        match command:
            case "fields":
                yield from rest.split(", ")
            case "filter":
                yield from re.findall(r"([\w.]+) (?:=|like) ", rest)
            case "parse":
                yield rest.split(" ")[0]


def test_saved_queries_ask_for_logged_fields(template):
    queries = resources(template, "AWS::Logs::QueryDefinition")
    assert len(queries) == 3
    for name, query in queries.items():
        of_functions = "/aws/lambda/" in json.dumps(query["Properties"]["LogGroupNames"])
        folder = INFRA.parent / ("lambda" if of_functions else "container") / "src"
        source = "".join(path.read_text() for path in folder.rglob("*.rs"))
        fields = set(asked(query["Properties"]["QueryString"])) - {"@timestamp"}
        # The functions' lines have their fields below `fields`, those of the container have them beside the message.
        assert ("flatten_event(true)" in source) == (not of_functions)
        assert len(fields) > 1 and {field.startswith("fields.") for field in fields} == {of_functions}, (name, fields)
        for field in {field.removeprefix("fields.") for field in fields} - {"message"}:
            assert re.search(rf"\b{field}\b( =|, |[,)])", source), (name, field)


def test_an_address_that_asks_too_much_is_refused(template):
    assert not [each for each in made(template, {}).values() if each["Type"].startswith("AWS::WAF")]
    there = made(template, {"AddressRate": "500"})
    (rule,) = there["AddressLimit"]["Properties"]["Rules"]
    limit = rule["Statement"]["RateBasedStatement"]
    assert (limit["Limit"], limit["AggregateKeyType"], limit["EvaluationWindowSec"]) == ("500", "IP", 300)
    assert rule["Action"] == {"Block": {}} and there["AddressLimit"]["Properties"]["DefaultAction"] == {"Allow": {}}
    # It is the stage's, and only a stage of a REST API takes one: the scope has to be regional.
    bound = there["AddressLimitOfRestApi"]["Properties"]
    assert bound["ResourceArn"]["Fn::Sub"].endswith("::/restapis/${RestApi}/stages/${RestStage}")
    assert bound["WebACLArn"] == {"Fn::GetAtt": ["AddressLimit", "Arn"]} and there["AddressLimit"]["Properties"]["Scope"] == "REGIONAL"
    # No sample of a request is kept: it has addresses of people and ids of portraits.
    views = re.findall(r'"SampledRequestsEnabled": (\w+)', json.dumps(there["AddressLimit"]))
    assert views == ["false", "false"]


def test_traces_are_made_on_demand_only(template):
    for given, mode in [({}, "PassThrough"), ({"Tracing": "on"}, "Active")]:
        there = made(template, given | {"JwtIssuer": ISSUER})
        for function in ("ImageProcessor", "JobTracker", "Authorizer"):
            assert there[function]["Properties"]["Tracing"] == mode
            granted = list(statements(there[f"{function}Role"]))
            assert ("Trace" in [statement.get("Sid") for statement in granted]) == (mode == "Active")
        assert there["RestStage"]["Properties"]["TracingEnabled"] is (mode == "Active")


def test_each_owner_has_a_quota(template):
    def quotas(given):
        there = made(template, given)
        return [there[name]["Properties"]["Environment"]["Variables"]["DAILY_QUOTA"] for name in ("ImageProcessor", "JobTracker")]

    assert quotas({}) == quotas({"UserPoolArn": POOL, "Tenancy": "shared"}) == [0, 0]
    assert quotas({"UserPoolArn": POOL}) == quotas({"JwtIssuer": ISSUER}) == ["100", "100"]
    assert quotas({"UserPoolArn": POOL, "DailyQuota": "7"}) == ["7", "7"]


def test_an_upload_has_one_id_from_its_request_to_its_pictures(template):
    sent = template["Resources"]["PutImage"]["Properties"]["Integration"]["RequestParameters"]
    source = (INFRA.parent / "crates/pipeline/src/keys.rs").read_text()
    (name,) = re.findall(r'REQUEST_METADATA: &str = "(\w+)"', source)
    assert sent[f"integration.request.header.x-amz-meta-{name}"] == "context.requestId"
    # The access log has the same id.
    logged = made(template, {"RestAccessLogs": "on"})["RestStage"]["Properties"]["AccessLogSetting"]["Format"]
    assert json.loads(logged)["request"] == "$context.requestId"
