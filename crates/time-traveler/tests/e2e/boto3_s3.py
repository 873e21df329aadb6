"""S3 as boto3's users call it: large copies, create-once uploads in parts, forms and pages. Only the endpoint URL differs."""

import io
import os
import urllib.error
import urllib.request
import uuid

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

s3 = boto3.client("s3")
LARGE = os.urandom(12 << 20)
IN_PARTS = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
    else:
        raise AssertionError(f"{code} was expected of {arguments}")


def a_large_object_is_copied_in_parts():
    s3.put_object(Bucket="first", Key="large", Body=LARGE)
    s3.copy({"Bucket": "first", "Key": "large"}, "second", "copy", Config=IN_PARTS)
    head = s3.head_object(Bucket="second", Key="copy", PartNumber=2)
    assert (head["PartsCount"], head["ContentLength"]) == (3, 5 << 20), head
    assert s3.get_object(Bucket="second", Key="copy")["Body"].read() == LARGE
    part = s3.get_object(Bucket="second", Key="copy", PartNumber=3)["Body"].read()
    assert part == LARGE[10 << 20 :]


def an_upload_in_parts_creates_once():
    def upload(**conditions):
        id = s3.create_multipart_upload(Bucket="first", Key="once", ChecksumAlgorithm="SHA256")["UploadId"]
        target = {"Bucket": "first", "Key": "once", "UploadId": id}
        part = s3.upload_part(**target, PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA256")
        assert [found["Size"] for found in s3.list_parts(**target)["Parts"]] == [1]
        assert id in [found["UploadId"] for found in s3.list_multipart_uploads(Bucket="first")["Uploads"]]
        parts = [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}]
        return s3.complete_multipart_upload, {**target, "MultipartUpload": {"Parts": parts}, **conditions}

    complete, arguments = upload(IfNoneMatch="*")
    first = complete(**arguments)
    assert first["Location"].startswith("http") and first["ChecksumSHA256"].endswith("-1"), first
    assert complete(**arguments)["ETag"] == first["ETag"], "the same call again"
    complete, arguments = upload(IfNoneMatch="*")
    refused("PreconditionFailed", complete, **arguments)
    refused("NoSuchKey", s3.put_object, Bucket="first", Key="none", Body=b"x", IfMatch='"x"')
    refused("PreconditionFailed", s3.put_object, Bucket="first", Key="once", Body=b"x", IfMatch='"x"')
    s3.abort_multipart_upload(Bucket="first", Key="once", UploadId=arguments["UploadId"])
    attributes = s3.get_object_attributes(Bucket="first", Key="once", ObjectAttributes=["Checksum", "ObjectParts"])
    assert attributes["ObjectParts"]["TotalPartsCount"] == 1, attributes


def a_form_is_posted_as_its_policy_says(version):
    client = boto3.client("s3", config=Config(signature_version=version))
    form = client.generate_presigned_post(
        "first", "form/${filename}", Fields={"acl": "private"}, Conditions=[{"acl": "private"}, ["content-length-range", 1, 9]]
    )

    def post(body):
        boundary = uuid.uuid4().hex
        parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in form["fields"].items()]
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\n{body}\r\n--{boundary}--\r\n')
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        request = urllib.request.Request(form["url"], "".join(parts).encode(), headers)
        try:
            return urllib.request.urlopen(request).status
        except urllib.error.HTTPError as error:
            return error.code

    assert post("hello") == 204
    assert s3.get_object(Bucket="first", Key="form/f.txt")["Body"].read() == b"hello"
    assert post("0123456789") == 400


def a_key_of_the_client_encrypts_what_it_alone_opens():
    def key(prefix="", byte=1):
        return {f"{prefix}SSECustomerAlgorithm": "AES256", f"{prefix}SSECustomerKey": bytes([byte]) * 32}

    s3.upload_fileobj(io.BytesIO(LARGE), "first", "sealed", ExtraArgs=key(), Config=IN_PARTS)
    assert s3.head_object(Bucket="first", Key="sealed", **key())["ContentLength"] == len(LARGE)
    part = s3.get_object(Bucket="first", Key="sealed", Range="bytes=7000000-7000009", **key())["Body"].read()
    assert part == LARGE[7_000_000:7_000_010]
    refused("InvalidRequest", s3.get_object, Bucket="first", Key="sealed")
    refused("AccessDenied", s3.get_object, Bucket="first", Key="sealed", **key(byte=2))
    source = {"Bucket": "first", "Key": "sealed"}
    s3.copy(source, "first", "sealed", ExtraArgs={**key("CopySource"), **key(byte=2)}, Config=IN_PARTS)
    assert s3.get_object(Bucket="first", Key="sealed", **key(byte=2))["Body"].read() == LARGE


def keys_of_any_characters_are_listed_and_deleted():
    keys = ["odd/\x01\x1b", "odd/a b+c", "odd/ä", "odd/\r"]
    for key in keys:
        s3.put_object(Bucket="first", Key=key, Body=b"x", Tagging="kind=odd")
    for call in (s3.list_objects, s3.list_objects_v2):
        assert [found["Key"] for found in call(Bucket="first", Prefix="odd/")["Contents"]] == sorted(keys)
    assert s3.get_object_tagging(Bucket="first", Key=keys[0])["TagSet"] == [{"Key": "kind", "Value": "odd"}]
    versions = s3.list_object_versions(Bucket="first", Prefix="odd/")["Versions"]
    # Quiet: an answer with these keys would be no XML 1.0.
    objects = [{"Key": found["Key"], "VersionId": found["VersionId"]} for found in versions]
    assert "Errors" not in s3.delete_objects(Bucket="first", Delete={"Objects": objects, "Quiet": True})
    assert s3.list_objects_v2(Bucket="first", Prefix="odd/")["KeyCount"] == 0


def buckets_are_emptied_and_removed():
    for name in ("first", "second"):
        assert "Status" not in s3.get_bucket_versioning(Bucket=name)
        bucket = boto3.resource("s3").Bucket(name)
        bucket.object_versions.delete()
        bucket.delete()


for name in ("first", "second"):
    s3.create_bucket(Bucket=name)
a_large_object_is_copied_in_parts()
an_upload_in_parts_creates_once()
a_key_of_the_client_encrypts_what_it_alone_opens()
for version in ("s3", "s3v4"):
    a_form_is_posted_as_its_policy_says(version)
keys_of_any_characters_are_listed_and_deleted()
buckets_are_emptied_and_removed()
