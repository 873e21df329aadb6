"""The code of an AWS user with boto3. Only the endpoint URL differs, set by AWS_ENDPOINT_URL."""

import io
import json
import os
import urllib.request

import boto3
import numpy as np
from eventually import eventually
from PIL import Image

API = os.environ["TIME_TRAVELER_API"]
PHOTO = open("examples/astronaut.png", "rb").read()

s3 = boto3.client("s3")
dynamodb = boto3.client("dynamodb")
runtime = boto3.client("sagemaker-runtime")
functions = boto3.client("lambda")


def job(id):
    item = dynamodb.get_item(TableName="jobs", Key={"id": {"S": id}}, ConsistentRead=True).get("Item")
    final = item and item["status"]["S"] in ("SUCCESS", "FAILED", "CANCELLED")
    return item if final else None


def object_at(location):
    bucket, key = location.removeprefix("s3://").split("/", 1)
    try:
        return s3.get_object(Bucket=bucket, Key=key)
    except s3.exceptions.NoSuchKey:
        return None


def put_object_starts_a_job():
    s3.put_object(Bucket="portraits", Key="uploads/boto3", Body=PHOTO, Metadata={"ages": "25,65"})
    item = eventually(lambda: job("boto3"))
    assert item["status"]["S"] == "SUCCESS", item
    prefix = f"images/boto3/{item['revision']['S']}/"
    listed = s3.list_objects_v2(Bucket="time-traveler", Prefix=prefix)
    names = sorted(entry["Key"].removeprefix(prefix) for entry in listed["Contents"])
    assert names == ["0.jpg", "1.jpg", "2.jpg", "strip.npy"], names
    panel = s3.get_object(Bucket="time-traveler", Key=prefix + "2.jpg")
    assert panel["ContentType"] == "image/jpeg"
    assert Image.open(io.BytesIO(panel["Body"].read())).size == (1024, 1024)
    strip = np.load(io.BytesIO(s3.get_object(Bucket="time-traveler", Key=prefix + "strip.npy")["Body"].read()))
    assert strip.shape == (1024, 3072, 3) and strip.dtype == np.uint8
    folders = s3.list_objects_v2(Bucket="time-traveler", Prefix="images/", Delimiter="/")
    assert {"Prefix": "images/boto3/"} in folders["CommonPrefixes"]


def a_large_file_is_uploaded_in_parts():
    # boto3 sends files over 8 MB in parts. The noise around the face does not compress.
    noise = np.random.default_rng(1).integers(0, 256, (1900, 1900, 3), dtype=np.uint8)
    photo = Image.fromarray(noise)
    photo.paste(Image.open(io.BytesIO(PHOTO)).convert("RGB"), (700, 600))
    file = io.BytesIO()
    photo.save(file, "PNG")
    assert file.tell() > 9 << 20
    file.seek(0)
    s3.upload_fileobj(file, "portraits", "uploads/parts", ExtraArgs={"Metadata": {"ages": "50"}})
    head = s3.head_object(Bucket="portraits", Key="uploads/parts")
    assert head["ETag"].strip('"').endswith("-2") and head["Metadata"] == {"ages": "50"}
    assert eventually(lambda: job("parts"))["status"]["S"] == "SUCCESS"


def presigned_put():
    parameters = {"Bucket": "portraits", "Key": "uploads/signed", "Metadata": {"ages": "45"}}
    url = s3.generate_presigned_url("put_object", Params=parameters, ExpiresIn=60)
    headers = {"x-amz-meta-ages": "45"}
    request = urllib.request.Request(url, data=PHOTO, method="PUT", headers=headers)
    assert urllib.request.urlopen(request).status == 200
    item = eventually(lambda: job("signed"))
    assert [age["N"] for age in item["ages"]["L"]] == ["45"]
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "portraits", "Key": "uploads/signed"})
    assert urllib.request.urlopen(url).read() == PHOTO


def invoke_endpoint_async():
    s3.put_object(Bucket="portraits", Key="mine/photo.png", Body=PHOTO)
    queued = runtime.invoke_endpoint_async(
        EndpointName="face-aging",
        InputLocation="s3://portraits/mine/photo.png",
        ContentType="image/png",
        Accept="application/x-npy",
        CustomAttributes="ages=70",
        InferenceId="mine",
    )
    assert queued["InferenceId"] == "mine"
    output = eventually(lambda: object_at(queued["OutputLocation"]))
    assert output["ContentType"] == "application/x-npy"
    assert output["Metadata"] == {"x-amzn-sagemaker-custom-attributes": "engine=preview"}, output["Metadata"]
    assert np.load(io.BytesIO(output["Body"].read())).shape == (1024, 2048, 3)

    s3.put_object(Bucket="portraits", Key="mine/notes.txt", Body=b"no picture")
    queued = runtime.invoke_endpoint_async(EndpointName="face-aging", InputLocation="s3://portraits/mine/notes.txt")
    failure = eventually(lambda: object_at(queued["FailureLocation"]))
    assert json.load(failure["Body"])["code"] == "UNSUPPORTED_IMAGE"
    try:
        runtime.invoke_endpoint_async(EndpointName="nowhere", InputLocation="s3://portraits/mine/photo.png")
        raise AssertionError("a missing endpoint was invoked")
    except runtime.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "ValidationError", error.response


def invoke_endpoint():
    answer = runtime.invoke_endpoint(
        EndpointName="face-aging", ContentType="image/png", Accept="image/png", CustomAttributes="ages=10", Body=PHOTO
    )
    assert Image.open(io.BytesIO(answer["Body"].read())).size == (2048, 1024)
    try:
        runtime.invoke_endpoint(EndpointName="face-aging", ContentType="image/png", Body=b"no picture")
        raise AssertionError("an unreadable picture was accepted")
    except runtime.exceptions.ModelError as error:
        assert error.response["OriginalStatusCode"] in (400, 415), error.response


def invoke_function():
    event = {"version": "2.0", "routeKey": "GET /jobs/{id}", "pathParameters": {"id": "boto3"}}
    answer = functions.invoke(FunctionName="job-tracker", Payload=json.dumps(event))
    assert answer["StatusCode"] == 200 and "FunctionError" not in answer
    assert json.loads(json.load(answer["Payload"])["body"])["id"] == "boto3"
    queued = functions.invoke(FunctionName="job-tracker", InvocationType="Event", Payload=json.dumps(event))
    assert queued["StatusCode"] == 202


def publish():
    sns = boto3.client("sns")
    arn = "arn:aws:sns:us-east-1:000000000000:face-aging-success"
    notice = {"invocationStatus": "Completed", "inferenceId": "somebody-else"}
    assert sns.publish(TopicArn=arn, Message=json.dumps(notice))["MessageId"]
    try:
        sns.list_topics()
        raise AssertionError("an operation that does not exist succeeded")
    except sns.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "NotImplemented", error.response


def missing_operations_are_refused():
    for service, ask in [("iam", lambda client: client.list_users()), ("ec2", lambda client: client.describe_vpcs())]:
        client = boto3.client(service)
        try:
            ask(client)
            raise AssertionError("an operation that does not exist succeeded")
        except client.exceptions.ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 501, error.response
            assert service == "ec2" or error.response["Error"]["Code"] == "NotImplemented", error.response


def dead_letters():
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="image-processor-dead-letters")["QueueUrl"]
    assert url in sqs.list_queues(QueueNamePrefix="image-processor")["QueueUrls"]
    assert url not in sqs.list_queues(QueueNamePrefix="other").get("QueueUrls", [])
    functions.invoke(FunctionName="image-processor", InvocationType="Event", Payload=b'{"poison": 1}')
    received = eventually(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
    assert [json.loads(message["Body"]) for message in received] == [{"poison": 1}]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    assert [attributes[count] for count in counts] == ["0", "1"]
    assert attributes["QueueArn"].endswith(":image-processor-dead-letters")
    assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=received[0]["ReceiptHandle"])
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=counts)["Attributes"]
    assert attributes == dict.fromkeys(counts, "0")


def the_api_shows_the_same_job():
    with urllib.request.urlopen(f"{API}/jobs/boto3?wait=20") as answer:
        shown = json.load(answer)
    assert shown["status"] == "SUCCESS" and shown["ages"] == [25, 65]


for test in [
    put_object_starts_a_job,
    a_large_file_is_uploaded_in_parts,
    presigned_put,
    invoke_endpoint_async,
    invoke_endpoint,
    invoke_function,
    publish,
    missing_operations_are_refused,
    dead_letters,
    the_api_shows_the_same_job,
]:
    test()
    print(f"{test.__name__}: ok")
