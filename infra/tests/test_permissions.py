"""Each statement of the policies, against the calls in the source: no call lacks its permission, no permission lacks its call."""

import re

import boto3
import pytest
from conftest import INFRA

SOURCE = INFRA.parent / "lambda/src"
# The actions that an operation needs, where they are not the operation's own name.
ACTIONS = {
    "s3:HeadObject": {"s3:GetObject"},
    "s3:ListObjectsV2": {"s3:ListBucket"},
    "s3:CopyObject": {"s3:GetObject", "s3:PutObject"},
    "s3:DeleteObjects": {"s3:DeleteObject"},
}
IN, OUT = "arn:${AWS::Partition}:s3:::${InputBucket}", "arn:${AWS::Partition}:s3:::${OutputBucket}"
TABLE = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${JobsTable}"
LOG = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:"
EVERYTHING = {f"{IN}/uploads/*", f"{IN}/inputs/*", f"{OUT}/images/*", f"{OUT}/strips/*", f"{OUT}/failures/*"}
# What each statement is about. The actions of the functions follow from their source. For the others, which AWS's services assume, the
# actions stand here: SageMaker's guide ("async-inference-create-endpoint-prerequisites", "sagemaker-roles") and API Gateway's integrations.
STATEMENTS = {
    "ImageProcessorRole": {
        "ListBuckets": {IN, OUT},
        "ReadUploadsAndAnswers": EVERYTHING - {f"{OUT}/images/*"},
        "KeepInputsAndPictures": {f"{IN}/inputs/*", f"{OUT}/images/*"},
        "DeleteWhatIsSettledOrNobodys": EVERYTHING,
        "RecordJobs": {TABLE},
        "FindOpenJobs": {f"{TABLE}/index/newest-first"},
        "InvokeTheEndpoint": {"Endpoint"},
        "UseTheKey": {"KmsKeyArn"},
        "GiveUp": {"DeadLetters"},
        "Trace": {"*"},
        "Log": {f"{LOG}/aws/lambda/${{AWS::StackName}}-image-processor:*"},
    },
    "JobTrackerRole": {
        "ListWhatIsToBeDeleted": {IN, OUT},
        "SignUploads": {f"{IN}/uploads/*"},
        "CompareUploads": {f"{IN}/uploads/*"},
        "DeletePortraits": EVERYTHING,
        "RecordJobs": {TABLE},
        "ListJobs": {f"{TABLE}/index/newest-first"},
        "Trace": {"*"},
        "UseTheKey": {"KmsKeyArn"},
        "Log": {f"{LOG}/aws/lambda/${{AWS::StackName}}-job-tracker:*"},
    },
    # It asks the issuer alone.
    "AuthorizerRole": {
        "ReadItsVariables": {"KmsKeyArn"},
        "Trace": {"*"},
        "Log": {f"{LOG}/aws/lambda/${{AWS::StackName}}-authorizer:*"},
    },
}
# Calls of Lambda and of the services' encryption with a function's role, which stand in no source.
TRACE = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
UNSEEN = {"GiveUp": {"sqs:SendMessage"}, "Trace": TRACE, "UseTheKey": {"kms:Decrypt", "kms:GenerateDataKey"}, "Log": {"logs:CreateLogStream", "logs:PutLogEvents"}}
UNSEEN["ReadItsVariables"] = {"kms:Decrypt"}
# A condition on an ETag reads the object first.
CONDITIONAL = re.compile(r"delete_object\(\)[^;]*?\.if_match\(")


def operations():
    """The methods of the SDKs that the functions use, as `s3:GetObject`."""
    for service, prefix in [("s3", "s3"), ("dynamodb", "dynamodb"), ("sagemaker-runtime", "sagemaker")]:
        for method, name in boto3.client(service).meta.method_to_api_mapping.items():
            yield method, f"{prefix}:{name}"


OPERATIONS = dict(operations())


def code(name):
    """A module without its tests and comments."""
    text = (SOURCE / f"{name}.rs").read_text().split("#[cfg(test)]")[0]
    return re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)


def methods(name):
    """The functions of a module, with their bodies."""
    parts = re.split(r"^ {0,4}(?:pub(?:\(crate\))? )?(?:async )?fn (\w+)", code(name), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def modules(function):
    """The modules that a function consists of: its own, and those that these use, except for the layers below."""
    every = {str(path.relative_to(SOURCE).with_suffix("")) for path in SOURCE.rglob("*.rs") if path.parent.name != "bin"} - {"lib", "objects", "jobs"}
    found, waiting = set(), [name for name in every if re.search(rf"^impl {function}\b", code(name), re.MULTILINE)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [used for used in re.findall(r"use crate::(\w+)", code(name)) if used in every and used != "image_processor"]
            # Its own modules are in a folder of its name.
            waiting += [part for part in every if part.startswith(f"{name}/")]
    return found


def called(function):
    """The operations that a function's code reaches."""
    text = "".join(code(name) for name in modules(function))
    reached = set(re.findall(r"\.(\w+)\(\)", text))
    bodies = text
    for layer in ("objects", "jobs"):
        there, seen = methods(layer), set()
        waiting = [name for name in re.findall(rf"\b{layer}\s*\.\s*(\w+)\(", text) if name in there]
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                bodies += there[name]
                reached |= set(re.findall(r"\.(\w+)\(\)", there[name]))
                waiting += [used for used in re.findall(r"self\s*\.\s*(\w+)\(", there[name]) if used in there]
    return {OPERATIONS[name] for name in reached if name in OPERATIONS}, bodies


def needed(function):
    """The actions that a function needs."""
    found, bodies = called(function)
    actions = set().union(*(ACTIONS.get(operation, {operation}) for operation in found))
    return actions | ({"s3:GetObject"} if CONDITIONAL.search(bodies) else set())


def listed(value):
    return value if isinstance(value, list) else [value]


def statements(template, role):
    for policy in template["Resources"][role]["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            yield statement["Fn::If"][1] if "Fn::If" in statement else statement


def names(resource):
    """The resources of a statement, as texts."""
    for each in listed(resource):
        match each:
            case {"Fn::Sub": str(text)} | {"Fn::Sub": [text, _]} | {"Ref": text} | {"Fn::GetAtt": [text, _]}:
                yield text
            case str():
                yield each


@pytest.mark.parametrize("role", STATEMENTS)
def test_each_statement_of_a_function_is_needed_and_complete(template, role):
    function = role.removesuffix("Role")
    granted = {}
    for statement in statements(template, role):
        assert statement["Effect"] == "Allow"
        granted[statement["Sid"]] = (set(listed(statement["Action"])), set(names(statement["Resource"])))
    assert {sid: over for sid, (_, over) in granted.items()} == STATEMENTS[role]
    for sid, actions in UNSEEN.items():
        assert sid not in granted or granted[sid][0] == actions
    own = [actions for sid, (actions, _) in granted.items() if sid not in UNSEEN]
    assert set().union(*own) == needed(function) and modules(function)


def test_the_source_is_read_rightly():
    assert {"image_processor", "orphans", "sweep", "settle", "upload", "invoke", "deletion"} <= modules("ImageProcessor")
    assert modules("Authorizer") >= {"authorizer", "authorizer/key_set", "authorizer/token"} and not called("Authorizer")[0]
    assert "deletion" in modules("JobTracker") and "sweep" not in modules("JobTracker")
    calls = called("ImageProcessor")[0]
    assert {"s3:CopyObject", "dynamodb:BatchGetItem", "sagemaker:InvokeEndpointAsync"} <= calls
    calls = called("JobTracker")[0]
    assert "dynamodb:Query" in calls and not calls & {"s3:CopyObject", "dynamodb:BatchGetItem", "sagemaker:InvokeEndpointAsync"}


def test_the_objects_of_the_source_are_those_of_the_policies():
    """The policies name the prefixes of `pipeline::keys`, and no others."""
    source = (INFRA.parent / "crates/pipeline/src/keys.rs").read_text().split("#[cfg(test)]")[0]
    prefixes = set(re.findall(r'const [A-Z]+: &str = "([a-z]+/)"', source)) | set(re.findall(r'"(images/)', source))
    assert {over.rsplit("}/", 1)[1].removesuffix("*") for over in EVERYTHING} == prefixes


def test_api_gateway_may_do_what_its_integrations_do(template):
    wanted = set()
    for resource in template["Resources"].values():
        integration = resource.get("Properties", {}).get("Integration", {})
        if integration.get("Type") == "AWS":
            # With owners, and without.
            for uri in integration["Uri"]["Fn::If"][1:]:
                path = uri["Fn::Sub"].split(":s3:path/", 1)[1]
                bucket, prefix = re.fullmatch(r"\$\{(\w+)\}/(\w+)/.*", path).groups()
                wanted.add((f"s3:{integration['IntegrationHttpMethod'].title()}Object", f"arn:${{AWS::Partition}}:s3:::${{{bucket}}}/{prefix}/*"))
    granted = {
        (action, over)
        for statement in statements(template, "RestApiRole")
        for action in listed(statement["Action"])
        for over in names(statement["Resource"])
    }
    assert granted - {("kms:Decrypt", "KmsKeyArn"), ("kms:GenerateDataKey", "KmsKeyArn")} == wanted and len(wanted) == 2


def test_the_endpoint_may_do_what_sagemaker_prescribes(template):
    granted = {statement["Sid"]: set(listed(statement["Action"])) for statement in statements(template, "EndpointRole")}
    assert granted == {
        "FindObjects": {"s3:ListBucket"},
        "ReadInputs": {"s3:GetObject"},
        "WriteAnswers": {"s3:PutObject", "s3:AbortMultipartUpload"},
        "ReadTheModel": {"s3:GetObject"},
        "UseTheKey": {"kms:Decrypt", "kms:GenerateDataKey"},
        "TellOfAnswers": {"sns:Publish"},
        "PullTheImage": {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
        "LogInToEcr": {"ecr:GetAuthorizationToken"},
        "MeasureInstances": {"cloudwatch:PutMetricData"},
        "Log": {"logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"},
    }
    over = {statement["Sid"]: set(names(statement["Resource"])) for statement in statements(template, "EndpointRole")}
    # The places that the configuration of the endpoint names.
    config = template["Resources"]["EndpointConfig"]["Properties"]["AsyncInferenceConfig"]["OutputConfig"]
    written = {config[name]["Fn::Sub"].replace("s3://", "arn:${AWS::Partition}:s3:::") + "/*" for name in ("S3OutputPath", "S3FailurePath")}
    assert over["WriteAnswers"] == written and over["ReadInputs"] == {f"{IN}/inputs/*"}
    assert over["TellOfAnswers"] == {config["NotificationConfig"][name]["Ref"] for name in ("SuccessTopic", "ErrorTopic")}


def test_an_operator_may_do_what_redrive_does(template):
    source = (INFRA.parent / "crates/time-traveler/src/client/aws.rs").read_text().split("#[cfg(test)]")[0]
    calls = {f"sqs:{name}" for name in re.findall(r'"(GetQueueUrl|ReceiveMessage|DeleteMessage|SendMessage|PurgeQueue)"', source)}
    calls |= {"lambda:InvokeFunction"} if "/invocations" in source else set()
    document = template["Resources"]["OperatorPolicy"]["Properties"]["PolicyDocument"]
    granted = {action for statement in document["Statement"] for action in listed(statement["Action"])}
    assert granted == calls and len(calls) == 4
