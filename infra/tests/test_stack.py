"""The stack on a simulated AWS (moto), inspected with boto3."""

import ast
import json
import re

import pytest
from conftest import INFRA, ISSUER, KEY, PAGE, PARAMETERS, STACK, create_both, made

# The types that moto's CloudFormation ignores. For these, only the template is tested.
UNKNOWN_TO_MOTO = {
    "AWS::ApiGateway::GatewayResponse",
    "AWS::ApiGateway::Stage",
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CloudWatch::Alarm",
    "AWS::CodeDeploy::Application",
    "AWS::CodeDeploy::DeploymentGroup",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Logs::MetricFilter",
    "AWS::Logs::QueryDefinition",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
}


def test_moto_ignores_the_known_types_only(stack):
    print("moto ignores:", *sorted(stack.unknown), sep="\n  ")
    assert stack.unknown == UNKNOWN_TO_MOTO


def test_buckets_are_private_encrypted_and_emptied(stack, other_stack, data_template):
    s3 = stack.client("s3")
    days = {"Fn::FindInMap": ["Days", {"Ref": "RetentionDays"}, "Objects"]}
    data = data_template["Resources"]
    lifetimes = {
        "InputBucket": {"uploads/": days, "inputs/": days},
        "OutputBucket": {"images/": days, "strips/": 2, "failures/": 2},
    }
    for logical, wanted in lifetimes.items():
        (rule,) = s3.get_bucket_encryption(Bucket=stack.id(logical))["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        (rule,) = s3.get_bucket_encryption(Bucket=other_stack.id(logical))["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
        # moto's CloudFormation ignores the other properties of a bucket.
        properties = data[logical]["Properties"]
        assert len(properties["PublicAccessBlockConfiguration"]) == 4
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        rules = properties["LifecycleConfiguration"]["Rules"]
        assert {rule["Status"] for rule in rules} == {"Enabled"}
        assert {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "Prefix" in rule} == wanted
        (unfinished,) = [rule for rule in rules if "Prefix" not in rule]
        assert unfinished["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    notified = data["InputBucket"]["Properties"]["NotificationConfiguration"]
    assert notified == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def test_data_outlives_its_stack_and_logs_a_failed_deployment(data_template, template):
    stores = {name: part for name, part in data_template["Resources"].items() if part["Type"] in ("AWS::S3::Bucket", "AWS::DynamoDB::Table")}
    assert len(stores) == 3
    for name, part in stores.items():
        assert (part["DeletionPolicy"], part["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain"), name
    # A rollback deletes what its stack has made. So what says why it failed is elsewhere.
    kinds = {part["Type"] for part in template["Resources"].values()}
    assert not kinds & {"AWS::Logs::LogGroup", "AWS::S3::Bucket", "AWS::DynamoDB::Table"}
    protected = {value: made(data_template, {"Protection": value})["JobsTable"]["Properties"]["DeletionProtectionEnabled"] for value in ("on", "off")}
    assert protected == {"on": True, "off": False} and data_template["Parameters"]["Protection"]["Default"] == "on"


def test_the_parameters_of_the_two_stacks_fit(data_template, template):
    given = set(data_template["Outputs"])
    required = {name for name, parameter in template["Parameters"].items() if "Default" not in parameter}
    assert given <= set(template["Parameters"]) and required == given - {"RetentionDays"} | {"ImageUri"}
    for name in ("RetentionDays", "KmsKeyArn"):
        one, other = (dict(part["Parameters"][name], Description="") for part in (data_template, template))
        assert one == other, name
    # Every log group that the stack names is one of the data's.
    groups = {part["Properties"]["LogGroupName"]["Fn::Sub"] for part in data_template["Resources"].values() if part["Type"] == "AWS::Logs::LogGroup"}
    groups = {name.replace("${ComputeStack}", "${AWS::StackName}") for name in groups}
    named = set(re.findall(r"/aws/(?:lambda|sagemaker|vendedlogs)/[a-zA-Z/]*\$\{AWS::StackName\}-[a-z-]+", json.dumps(template["Resources"])))
    assert named == groups


def test_the_table_has_its_index_encryption_and_expiry(stack, data_template):
    dynamodb = stack.client("dynamodb")
    table = dynamodb.describe_table(TableName=stack.id("JobsTable"))["Table"]
    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == "newest-first" and index["Projection"] == {"ProjectionType": "ALL"}
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["shard", "createdAt"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    # moto's CloudFormation ignores these.
    properties = made(data_template, {})["JobsTable"]["Properties"]
    assert properties["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS"}
    own = made(data_template, {"KmsKeyArn": KEY})["JobsTable"]["Properties"]
    assert own["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY}
    assert properties["TimeToLiveSpecification"] == {"AttributeName": "expiresAt", "Enabled": True}
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_the_functions_have_their_limits_and_variables(stack, translated):
    client = stack.client("lambda")
    for name, timeout, memory in [("image-processor", 60, 1769), ("job-tracker", 29, 256)]:
        function = client.get_function(FunctionName=f"{STACK}-{name}")["Configuration"]
        assert (function["Timeout"], function["MemorySize"]) == (timeout, memory)
        assert (function["Runtime"], function["Handler"]) == ("provided.al2023", "bootstrap")
        variables = function["Environment"]["Variables"]
        assert variables["INPUT_BUCKET"] == stack.id("InputBucket")
        assert variables["OUTPUT_BUCKET"] == stack.id("OutputBucket")
        assert variables["JOBS_TABLE"] == stack.id("JobsTable")
        assert variables["UPLOAD_LENGTH"] == "required"
        assert variables["ENDPOINT_NAME"] == f"{STACK}-face-aging"
        assert variables["DEFAULT_AGES"] == "20,40,60,80"
        assert int(variables["DELETION_SECONDS"]) > 60
    # moto's CloudFormation ignores these.
    for function in ("ImageProcessor", "JobTracker"):
        assert translated["Resources"][function]["Properties"]["Architectures"] == [{"Ref": "Architecture"}]
    assert translated["Parameters"]["Architecture"]["Default"] == "arm64"
    dead = translated["Resources"]["ImageProcessor"]["Properties"]["DeadLetterConfig"]
    assert dead == {"TargetArn": {"Fn::GetAtt": ["DeadLetters", "Arn"]}}


def test_only_the_named_services_may_call_the_functions(stack):
    client = stack.client("lambda")
    callers = {"image-processor": {"events", "sns"}, "job-tracker": {"apigateway"}}
    for name, wanted in callers.items():
        policy = json.loads(client.get_policy(FunctionName=f"{STACK}-{name}")["Policy"])
        principals = {statement["Principal"]["Service"].split(".")[0] for statement in policy["Statement"]}
        assert principals == wanted
        assert all(statement["Condition"]["ArnLike"]["AWS:SourceArn"] for statement in policy["Statement"])


def test_asynchronous_events_get_three_attempts(translated):
    (config,) = [
        resource["Properties"]
        for resource in translated["Resources"].values()
        if resource["Type"] == "AWS::Lambda::EventInvokeConfig"
    ]
    assert (config["FunctionName"], config["Qualifier"]) == ({"Ref": "ImageProcessor"}, "live")
    assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (2, 21600)
    assert not config.get("DestinationConfig")


def test_the_dead_letter_queue_is_encrypted_and_keeps_messages_for_14_days(stack, template):
    sqs = stack.client("sqs")
    url = sqs.get_queue_url(QueueName=f"{STACK}-image-processor-dead-letters")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["SqsManagedSseEnabled"].lower() == "true"
    assert made(template, {})["DeadLetters"]["Properties"]["SqsManagedSseEnabled"] is True
    own = made(template, {"KmsKeyArn": KEY})["DeadLetters"]["Properties"]
    assert own["KmsMasterKeyId"] == KEY and "SqsManagedSseEnabled" not in own
    assert attributes["MessageRetentionPeriod"] == str(14 * 86400)


def test_the_topics_are_encrypted_and_notify_image_processor(stack, other_stack, translated):
    sns = stack.client("sns")
    for logical, name in [("Success", "success"), ("Error", "error")]:
        arn = f"arn:aws:sns:us-east-1:123456789012:{STACK}-face-aging-{name}"
        assert stack.id(f"{logical}Topic") == arn
        assert sns.get_topic_attributes(TopicArn=arn)["Attributes"]["KmsMasterKeyId"] == "alias/aws/sns"
        own = sns.get_topic_attributes(TopicArn=other_stack.id(f"{logical}Topic"))["Attributes"]
        assert own["KmsMasterKeyId"] == KEY
        subscription = translated["Resources"][f"{logical}Subscription"]["Properties"]
        assert subscription == {
            "TopicArn": {"Ref": f"{logical}Topic"},
            "Protocol": "lambda",
            "Endpoint": {"Ref": "ImageProcessorAliaslive"},
        }


def test_the_rules_start_image_processor(stack):
    events = stack.client("events")
    function = f"arn:aws:lambda:us-east-1:123456789012:function:{STACK}-image-processor"
    for name, schedule in [("uploads", None), ("sweep", "rate(1 minute)"), ("collect-orphans", "rate(1 hour)")]:
        rule = events.describe_rule(Name=f"{STACK}-{name}")
        assert rule["State"] == "ENABLED" and rule.get("ScheduleExpression") == schedule
        (target,) = events.list_targets_by_rule(Rule=f"{STACK}-{name}")["Targets"]
        assert target["Arn"] == function
        if schedule:
            assert json.loads(target["Input"])["resources"] == [f"rule/{name}"]
            continue
        assert target["DeadLetterConfig"]["Arn"].endswith(f":{STACK}-image-processor-dead-letters")
        pattern = json.loads(rule["EventPattern"])
        assert pattern["detail"]["bucket"]["name"] == [stack.id("InputBucket")]
        assert pattern["detail"]["object"]["key"] == [{"prefix": "uploads/"}]


def test_the_endpoint_is_asynchronous(stack):
    sagemaker = stack.client("sagemaker")
    config = sagemaker.describe_endpoint_config(EndpointConfigName=stack.id("EndpointConfig").rsplit("/", 1)[-1])
    (variant,) = config["ProductionVariants"]
    assert (variant["VariantName"], variant["InstanceType"], variant["InitialInstanceCount"]) == ("AllTraffic", "ml.g4dn.xlarge", 1)
    output = stack.id("OutputBucket")
    asynchronous = config["AsyncInferenceConfig"]
    assert asynchronous["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 4}
    assert asynchronous["OutputConfig"]["S3OutputPath"] == f"s3://{output}/strips"
    assert asynchronous["OutputConfig"]["S3FailurePath"] == f"s3://{output}/failures"
    notices = asynchronous["OutputConfig"]["NotificationConfig"]
    assert notices == {"SuccessTopic": stack.id("SuccessTopic"), "ErrorTopic": stack.id("ErrorTopic")}
    model = sagemaker.describe_model(ModelName=stack.id("Model").rsplit("/", 1)[-1])
    assert model["PrimaryContainer"]["Environment"] == {
        "BATCH_SIZE": "4",
        "DEFAULT_AGES": "20,40,60,80",
        "DEVICE": "cuda",
        "MODEL_KIND": "face-aging",
        "MODEL_SERVER_TIMEOUT": "900",
        "PRECISION": "float32",
        "TS_DEFAULT_RESPONSE_TIMEOUT": "900",
    }
    assert model["PrimaryContainer"]["ModelDataUrl"] == "s3://models/sam/model.tar.gz"
    assert model["PrimaryContainer"]["Image"].endswith("/time-traveler:v1-gpu")


def test_the_endpoint_scales_from_zero_and_back(template):
    resources = template["Resources"]
    target = resources["Instances"]["Properties"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, {"Ref": "MaxInstances"})
    assert target["ResourceId"] == {"Fn::Sub": "endpoint/${Endpoint.EndpointName}/variant/AllTraffic"}
    tracking = resources["BacklogScaling"]["Properties"]["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["CustomizedMetricSpecification"]["MetricName"] == "ApproximateBacklogSizePerInstance"
    alarm = resources["WakeUpAlarm"]["Properties"]
    assert alarm["MetricName"] == "HasBacklogWithoutCapacity"
    assert alarm["AlarmActions"] == [{"Ref": "WakeUpScaling"}]


def test_the_container_gives_up_when_the_functions_do(template):
    there = made(template, {"InvocationTimeoutSeconds": "1800"})
    container = there["Model"]["Properties"]["PrimaryContainer"]["Environment"]
    functions = [there[name]["Properties"]["Environment"]["Variables"] for name in ("ImageProcessor", "JobTracker")]
    told = [container["TS_DEFAULT_RESPONSE_TIMEOUT"], container["MODEL_SERVER_TIMEOUT"]]
    assert told + [each["INVOCATION_TIMEOUT_SECONDS"] for each in functions] == ["1800"] * 4
    source = "".join(path.read_text() for path in (INFRA.parent / "container/src").rglob("*.rs"))
    assert set(container) <= set(re.findall(r'"([A-Z_]+)"', source))


def permissions(stack, logical):
    """The permissions of a role in IAM, as (action, resource) pairs."""
    iam, role = stack.client("iam"), stack.id(logical)
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        # moto stores the document of CloudFormation as the text of a Python value.
        document = ast.literal_eval(document) if isinstance(document, str) else document
        # A statement that a condition removes is None in moto, and absent on AWS.
        for statement in filter(None, document["Statement"]):
            actions, over = statement["Action"], statement["Resource"]
            for action in [actions] if isinstance(actions, str) else actions:
                for resource in [over] if isinstance(over, str) else over:
                    yield action, resource


def test_the_endpoint_may_pull_its_image_and_read_its_model(stack):
    allowed = set(permissions(stack, "EndpointRole"))
    assert ("ecr:BatchGetImage", "arn:aws:ecr:us-east-1:123456789012:repository/time-traveler") in allowed
    assert ("s3:GetObject", "arn:aws:s3:::models/sam/model.tar.gz") in allowed
    assert ("s3:PutObject", f"arn:aws:s3:::{stack.id('OutputBucket')}/strips/*") in allowed


def test_api_gateway_may_only_put_uploads_and_get_pictures(stack):
    assert set(permissions(stack, "RestApiRole")) == {
        ("s3:PutObject", f"arn:aws:s3:::{stack.id('InputBucket')}/uploads/*"),
        ("s3:GetObject", f"arn:aws:s3:::{stack.id('OutputBucket')}/images/*"),
    }


def rest_methods(stack):
    """The methods of the REST API, by path and method."""
    client, api = stack.client("apigateway"), stack.id("RestApi")
    for resource in client.get_resources(restApiId=api, limit=100)["items"]:
        for method in resource.get("resourceMethods", {}):
            yield (resource["path"], method), client.get_method(restApiId=api, resourceId=resource["id"], httpMethod=method)


def declares_what_it_sends(method):
    """Checks that the method declares every answer of the integration, with its headers."""
    for status, response in method["methodIntegration"]["integrationResponses"].items():
        declared = method["methodResponses"][status].get("responseParameters", {})
        assert set(response.get("responseParameters", {})) == set(declared), (method["httpMethod"], status)


def test_the_rest_api_connects_clients_with_s3(stack):
    methods = dict(rest_methods(stack))
    assert set(methods) == {("/images/{id}", "PUT"), ("/images/{id}/{revision}/{file}", "GET")}
    bucket = {"PUT": f"{stack.id('InputBucket')}/uploads/{{id}}", "GET": f"{stack.id('OutputBucket')}/images/{{id}}/{{revision}}/{{file}}"}
    for (_, method), found in methods.items():
        assert found["authorizationType"] == "AWS_IAM"
        integration = found["methodIntegration"]
        assert integration["type"] == "AWS" and integration["httpMethod"] == method
        assert integration["uri"] == f"arn:aws:apigateway:us-east-1:s3:path/{bucket[method]}"
        assert stack.id("RestApiRole") in integration["credentials"]
        declares_what_it_sends(found)
        assert "access-control" not in json.dumps([integration, found["methodResponses"]]).lower()
    put = methods["/images/{id}", "PUT"]["methodIntegration"]
    assert put["requestParameters"]["integration.request.header.x-amz-meta-ages"] == "method.request.querystring.ages"
    assert put["requestParameters"]["integration.request.header.x-amz-meta-default-ages"] == "stageVariables.defaultAges"


def test_ranges_are_taken_in_both_spellings(stack):
    """REST APIs compare names of headers by case ("Important notes" of API Gateway's guide). HTTP/2 has lower case only."""
    get = dict(rest_methods(stack))["/images/{id}/{revision}/{file}", "GET"]
    for name in ("Range", "If-Match", "If-None-Match"):
        for spelling in (name, name.lower()):
            assert get["requestParameters"][f"method.request.header.{spelling}"] is False
            sent = get["methodIntegration"]["requestParameters"][f"integration.request.header.{spelling}"]
            assert sent == f"method.request.header.{spelling}"


def test_the_rest_api_answers_preflights_of_a_page(other_stack):
    methods = dict(rest_methods(other_stack))
    image, file = "/images/{id}", "/images/{id}/{revision}/{file}"
    assert set(methods) == {(image, "PUT"), (image, "OPTIONS"), (file, "GET"), (file, "OPTIONS")}
    for (_, method), found in methods.items():
        declares_what_it_sends(found)
        for response in found["methodIntegration"]["integrationResponses"].values():
            assert response["responseParameters"]["method.response.header.Access-Control-Allow-Origin"] == f"'{PAGE}'"
        if method == "OPTIONS":
            assert found["authorizationType"] == "NONE"
            assert found["methodIntegration"]["type"] == "MOCK"
            assert json.loads(found["methodIntegration"]["requestTemplates"]["application/json"]) == {"statusCode": 204}
            assert set(found["methodResponses"]) == {"204"}


def test_the_rest_api_sends_bytes_unchanged(template):
    assert template["Resources"]["RestApi"]["Properties"]["BinaryMediaTypes"] == ["*/*"]
    for logical in ("PutImage", "GetImage"):
        for response in template["Resources"][logical]["Properties"]["Integration"]["IntegrationResponses"]:
            # Templates need text. All other bodies must stay bytes.
            assert ("ResponseTemplates" in response) == (response.get("ContentHandling") == "CONVERT_TO_TEXT")


def test_logs_expire(stack, other_stack, data_template):
    groups = {group["logGroupName"]: group for group in stack.client("logs").describe_log_groups()["logGroups"]}
    names = ["lambda/{}-image-processor", "lambda/{}-job-tracker", "lambda/{}-authorizer", "sagemaker/Endpoints/{}-face-aging"]
    for name in names + ["vendedlogs/apigateway/{}-images", "vendedlogs/apigateway/{}-jobs"]:
        assert groups["/aws/" + name.format(STACK)]["retentionInDays"] == 14
        other = groups["/aws/" + name.format("other")]
        assert other["retentionInDays"] == 30
    # moto's CloudFormation ignores the key.
    for part in made(data_template, {"KmsKeyArn": KEY}).values():
        assert part["Type"] != "AWS::Logs::LogGroup" or part["Properties"]["KmsKeyId"] == KEY


def test_alarms_notify_the_topic_and_the_dashboard_exists(stack, template):
    alarms = {
        resource["Properties"]["AlarmName"]["Fn::Sub"].removeprefix("${AWS::StackName}-"): resource["Properties"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }
    watched = {"authorizer", "dead-letters", "failed-jobs", "idle-instance", "oldest-job", "endpoint-errors", "image-processor", "job-tracker"}
    # CodeDeploy asks for those of updates, and tells nobody but CloudFormation.
    assert set(alarms) == watched | {"wake-up", "authorizer-update", "image-processor-update", "job-tracker-update"}
    assert not [name for name in alarms if name.endswith("-update") and "AlarmActions" in alarms[name]]
    assert all(alarms[name]["AlarmActions"] == [{"Ref": "AlarmTopic"}] for name in watched)
    body = json.loads(stack.client("cloudwatch").get_dashboard(DashboardName=STACK)["DashboardBody"])
    assert len(body["widgets"]) == 6
    # Of the resources in the dashboard, moto lacks only the HTTP API.
    assert set(re.findall(r"\$\{[^}]*\}", json.dumps(body))) <= {"${HttpApi}"}


def test_the_opposite_parameters_change_the_stack(other_stack):
    sagemaker = other_stack.client("sagemaker")
    model = sagemaker.describe_model(ModelName=other_stack.id("Model").rsplit("/", 1)[-1])
    assert "ModelDataUrl" not in model["PrimaryContainer"]
    config = sagemaker.describe_endpoint_config(EndpointConfigName=other_stack.id("EndpointConfig").rsplit("/", 1)[-1])
    assert "InferenceAmiVersion" not in config["ProductionVariants"][0]
    allowed = set(permissions(other_stack, "EndpointRole"))
    assert ("ecr:BatchGetImage", "arn:aws:ecr:eu-central-1:123456789012:repository/team/time-traveler") in allowed
    assert not [resource for _, resource in allowed if "tar.gz" in resource or resource.endswith(":::")]
    client = other_stack.client("apigateway")
    method = client.get_method(restApiId=other_stack.id("RestApi"), resourceId=other_stack.id("ImageResource"), httpMethod="PUT")
    assert method["authorizationType"] == "COGNITO_USER_POOLS"
    concurrency = other_stack.client("lambda").get_function_concurrency(FunctionName="other-image-processor")
    assert concurrency["ReservedConcurrentExecutions"] == 4
    for role in ("ImageProcessorRole", "JobTrackerRole", "EndpointRole", "RestApiRole"):
        assert {("kms:Decrypt", KEY), ("kms:GenerateDataKey", KEY)} <= set(permissions(other_stack, role)), role
    # This stack has authorizers, a budget and a limit of addresses, which moto ignores too.
    more = {"AWS::ApiGateway::Authorizer", "AWS::ApiGatewayV2::Authorizer", "AWS::Budgets::Budget"}
    more |= {"AWS::WAFv2::WebACL", "AWS::WAFv2::WebACLAssociation"}
    assert other_stack.unknown - UNKNOWN_TO_MOTO == more


@pytest.mark.parametrize("tenancy", ["auto", "shared"])
def test_a_stack_with_an_issuer_has_its_authorizer(server, data_template, translated, tenancy):
    given = {"JwtIssuer": ISSUER, "JwtAudience": "client", "Tenancy": tenancy, "KmsKeyArn": KEY}
    stack = create_both(server, f"issuer-{tenancy}", data_template, translated, PARAMETERS | given, {})
    functions = stack.client("lambda")
    function = functions.get_function(FunctionName=f"issuer-{tenancy}-authorizer")["Configuration"]
    assert (function["Timeout"], function["Runtime"], function["Handler"]) == (10, "provided.al2023", "bootstrap")
    assert function["Environment"]["Variables"] == {"JWT_ISSUER": ISSUER, "JWT_AUDIENCE": "client", "RUST_LOG": "info"}
    tracker = functions.get_function(FunctionName=f"issuer-{tenancy}-job-tracker")["Configuration"]
    assert tracker["Environment"]["Variables"]["TENANCY"] == {"auto": "owner", "shared": "shared"}[tenancy]
    log = f"arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/issuer-{tenancy}-authorizer:*"
    assert set(permissions(stack, "AuthorizerRole")) == {("kms:Decrypt", KEY), ("logs:CreateLogStream", log), ("logs:PutLogEvents", log)}
    method = {"restApiId": stack.id("RestApi"), "resourceId": stack.id("ImageResource"), "httpMethod": "PUT"}
    made = stack.client("apigateway").get_method(**method)
    assert made["authorizationType"] == "CUSTOM"
    owner = made["methodIntegration"]["requestParameters"].get("integration.request.path.owner")
    assert owner == {"auto": "context.authorizer.owner", "shared": None}[tenancy]
