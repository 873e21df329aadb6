"""Makes `corpus/`, the first inputs of each fuzz target.

    pip install pillow
    python fuzz/make_corpus.py

The last run used Pillow 12.
"""

import collections
import io
import json
import pickle
import shutil
import struct
import sys
import types
import zipfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
PORTRAIT = HERE.parent / "examples" / "astronaut.png"


def write(target, name, content):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


# Pictures.


def oriented(orientation, order):
    """An EXIF block with the orientation as its only entry, in either byte order."""
    start = b"II*\0" if order == "<" else b"MM\0*"
    return b"Exif\0\0" + start + struct.pack(order + "IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)


def uploads():
    part = Image.open(PORTRAIT).convert("RGB").crop((200, 80, 224, 100))
    alpha = part.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(part.size))
    exif = Image.Exif()
    exif[0x112] = 8

    def picture(name, image, **options):
        out = io.BytesIO()
        image.save(out, name.rsplit(".")[-1].replace("jpg", "jpeg"), **options)
        write("upload", name, out.getvalue())

    picture("plain.jpg", part, quality=60, subsampling=0)
    picture("upright.jpg", part, quality=60, subsampling=2, exif=oriented(6, "<"))
    picture("upside-down.jpg", part, quality=60, subsampling=1, exif=oriented(3, ">"), restart_marker_blocks=2)
    picture("progressive.jpg", part, quality=50, subsampling=2, progressive=True)
    picture("grey.jpg", part.convert("L"), quality=60, optimize=True)
    picture("inks.jpg", part.convert("CMYK").resize((8, 8)), quality=40)
    picture("plain.png", part.resize((8, 8)))
    picture("palette.png", part.quantize(8), transparency=3)
    picture("deep.png", part.convert("I;16").resize((8, 8)))
    picture("alpha.png", alpha.resize((8, 8)), exif=exif)
    picture("two-tone.png", part.convert("1"))
    picture("moving.png", part.resize((8, 8)), save_all=True, append_images=[alpha.convert("RGB").resize((8, 8))])
    picture("lossy.webp", part, quality=40, method=6)
    picture("lossless.webp", part.resize((8, 8)), lossless=True, method=6)
    picture("alpha.webp", alpha, quality=30, exif=exif)
    picture("palette.webp", part.quantize(6).convert("RGB"), lossless=True)
    picture("moving.webp", part.resize((8, 8)), save_all=True, append_images=[alpha.resize((8, 8))], quality=30)


# Strips.


def npy(shape, version=1, descr="|u1", order="False"):
    dictionary = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"
    length, before = ("H", 10) if version == 1 else ("I", 12)
    dictionary += " " * (63 - (before + len(dictionary)) % 64) + "\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<" + length, len(dictionary)) + dictionary.encode()


def strips():
    # The first byte: the number of ages minus one, plus 16 for PNG, plus 32 to append the pixels of one age.
    write("npy", "one-age", b"\x20" + npy((1024, 2048, 3)))
    write("npy", "one-age-png", b"\x30" + npy((1024, 2048, 3)))
    write("npy", "version-2", b"\x20" + npy((1024, 2048, 3), version=2))
    write("npy", "version-3", b"\x20" + npy((1024, 2048, 3), version=3))
    write("npy", "fortran", b"\x20" + npy((1024, 2048, 3), order="True"))
    write("npy", "other-ages", b"\x21" + npy((1024, 2048, 3)))
    write("npy", "floats", b"\x00" + npy((2, 2, 3), descr="<f4") + bytes(48))
    write("npy", "small", b"\x0f" + npy((2, 2, 3)) + bytes(12))
    write("npy", "huge", b"\x00" + npy((1 << 40, 1 << 40, 3)))
    write("npy", "cut", b"\x00" + npy((1024, 2048, 3))[:40])


# Face models in dlib's format.


def integers(*values):
    out = b""
    for value in values:
        magnitude = abs(value).to_bytes(max(1, (abs(value).bit_length() + 7) // 8), "little")
        out += bytes([len(magnitude) | (0x80 if value < 0 else 0)]) + magnitude
    return out


def floats(*values):
    """Each number written is a value / 1024."""
    return b"".join(integers(value, -10) for value in values)


def detector(version, cells, filters):
    weights = 31 * cells[0] * cells[1]
    out = integers(version, 1, 0, 0, 8, 0, 8 * cells[1], 8 * cells[0], 100, 24, 24) + floats(0) + integers(weights)
    overlap = floats(512, 1024)
    columns = [
        integers(-(weights + 1), -1) + floats(*((at * 37 + number) % 400 - 200 for at in range(weights + 1)))
        for number in range(filters)
    ]
    return out + (columns[0] + overlap if version == 1 else overlap + integers(filters) + b"".join(columns))


def predictor(cascades, trees, depth):
    splits = 2**depth - 1

    def shape(step):
        return integers(-136, -1) + floats(*(at * step % 1024 for at in range(136)))

    def tree():
        out = integers(splits)
        for split in range(splits):
            out += integers(split % 4, 3 - split % 4) + floats(100 * split)
        return out + integers(splits + 1) + b"".join(shape(leaf + 1) for leaf in range(splits + 1))

    out = integers(1) + shape(7) + integers(cascades)
    out += b"".join(integers(trees) + b"".join(tree() for _ in range(trees)) for _ in range(cascades))
    out += integers(cascades) + integers(4, 0, 20, 40, 67) * cascades
    return out + integers(cascades) + (integers(4) + floats(*range(-4, 4))) * cascades


def face_models():
    write("dlib", "detector", detector(2, (1, 1), 2))
    write("dlib", "detector-1", detector(1, (2, 1), 1))
    write("dlib", "detector-python", detector(2, (1, 2), 1) + integers(1, 0))
    write("dlib", "predictor", predictor(1, 1, 1))
    write("dlib", "predictor-leaves", predictor(2, 1, 0))
    write("dlib", "predictor-no-trees", predictor(1, 0, 0))


# Checkpoints in the layout of torch.save, made without PyTorch.


class Storage:
    def __init__(self, kind, key, content):
        self.kind, self.key, self.content = kind, key, content


def pretend(module, name, value):
    """Gives a value the module and name that a pickle stores for it."""
    value.__module__, value.__name__, value.__qualname__ = module, name, name
    for parent in (module.split(".")[0], module):
        sys.modules.setdefault(parent, types.ModuleType(parent))
    setattr(sys.modules[module], name, value)
    return value


REBUILD = pretend("torch._utils", "_rebuild_tensor_v2", lambda *arguments: None)
FLOATS, HALVES, LONGS = (
    pretend("torch", name, type(name, (), {})) for name in ("FloatStorage", "HalfStorage", "LongStorage")
)


class Tensor:
    def __init__(self, storage, shape, strides, offset=0):
        self.arguments = (storage, offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return REBUILD, self.arguments


class Call:
    def __reduce__(self):
        return print, ("never",)


def pickled(value, legacy):
    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if not isinstance(value, Storage):
                return None
            count = len(value.content) // {FLOATS: 4, HALVES: 2, LONGS: 8}[value.kind]
            return ("storage", value.kind, value.key, "cpu", count) + ((None,) if legacy else ())

    out = io.BytesIO()
    Pickler(out, protocol=2).dump(value)
    return out.getvalue()


def zipped(value, storages, compression=zipfile.ZIP_STORED):
    out = io.BytesIO()
    entries = {"data.pkl": pickled(value, False), "byteorder": "little"}
    entries |= {f"data/{storage.key}": storage.content for storage in storages} | {"version": "3\n"}
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(f"m/{name}"), content, compression)
    return out.getvalue()


def legacy(value, storages):
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = [0x1950A86A20F9469CFC6C, 1001, system]
    out = b"".join(pickle.dumps(part, protocol=2) for part in head) + pickled(value, True)
    out += pickle.dumps([storage.key for storage in storages], protocol=2)
    size = {FLOATS: 4, HALVES: 2, LONGS: 8}
    return out + b"".join(
        struct.pack("<q", len(storage.content) // size[storage.kind]) + storage.content for storage in storages
    )


def safetensors(tensors, metadata=None):
    header, values = {"__metadata__": metadata} if metadata else {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(values), len(values) + len(content)]}
        values += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + values


def checkpoints():
    one = Storage(FLOATS, "0", struct.pack("<6f", 0, 1, 2, 3, 4, 5))
    two = Storage(HALVES, "1", struct.pack("<4e", 0.5, 1, 1.5, 2))
    three = Storage(LONGS, "2", struct.pack("<q", 7))
    all_three = [one, two, three]
    tensors = {
        "a.weight": Tensor(one, (3, 2), (1, 3)),
        "a.bias": Tensor(two, (2,), (2,), 1),
        "a.count": Tensor(three, (), ()),
    }
    whole = {"state_dict": collections.OrderedDict(tensors), "opts": {"start_from_latent_avg": False, "rate": 0.5}}
    write("checkpoint", "zip.pt", zipped(whole, all_three))
    write("checkpoint", "bare.pt", zipped(collections.OrderedDict(tensors), all_three))
    write("checkpoint", "legacy.pt", legacy(whole, all_three))
    write("checkpoint", "code.pt", zipped({**whole, "more": Call()}, all_three))
    write("checkpoint", "compressed.pt", zipped(whole, all_three, zipfile.ZIP_DEFLATED))
    write("checkpoint", "views.pt", zipped({"a": Tensor(one, (1 << 30, 6), (0, 1))}, [one]))
    plain = {"a.weight": ("F32", [3, 2], one.content), "a.bias": ("F16", [4], two.content)}
    more = {"b": ("BF16", [2], b"\0\x3f\x80\x3f"), "c": ("F64", [1], struct.pack("<d", 0.1)), "d": ("U8", [0], b"")}
    write("checkpoint", "plain.safetensors", safetensors(plain))
    write("checkpoint", "kinds.safetensors", safetensors(plain | more, {"format": "pt"}))
    write("checkpoint", "checksum.safetensors", safetensors(plain, {"time-traveler.crc32": "00000000"}))


# Events, from the examples in AWS's guides.


def exports():
    golden = HERE.parent / "crates" / "vision" / "tests" / "golden" / "classifier" / "export.pkl"
    write("export", "fastai.pkl", golden.read_bytes())
    plain = {"y_proc": [{"classes": ["a", "b"]}], "tfmargs": {"size": 64}}
    for protocol in [2, 4]:
        write("export", f"plain-{protocol}.pkl", pickle.dumps(plain, protocol))


def events():
    revision = "9f2c41d07b3e"
    thing = {"size": 1024, "sequencer": "0A1B2C3D4E5F678901"}
    eventbridge = {
        "version": "0",
        "id": "2ee9cc15-d022-99ea-1fb8-1b1bac4850f9",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2021-11-12T00:00:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:s3:::portraits"],
        "detail": {
            "version": "0",
            "bucket": {"name": "portraits"},
            "object": {"key": "uploads/ada", "etag": "b1946ac92492d2347c6235b4d2611184", **thing},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    }
    s3 = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "portraits", "arn": "arn:aws:s3:::portraits"},
            "object": {"key": "uploads/a+b%C3%A9", "eTag": "b1946ac92492d2347c6235b4d2611184", **thing},
        },
    }
    refusal = json.dumps({"code": "NO_FACE", "message": "no face in 512x512"})
    notice = {
        "awsRegion": "us-east-1",
        "eventTime": "2022-01-25T22:46:00.608Z",
        "receivedTime": "2022-01-25T22:46:00.455Z",
        "invocationStatus": "Failed",
        "failureReason": f"ClientError: Received client error (400) from primary with message {refusal!r}.",
        "requestParameters": {"endpointName": "e", "inputLocation": f"s3://portraits/inputs/ada/{revision}/0A"},
        "responseParameters": {"contentType": "application/x-npy; model=sam", "outputLocation": "s3://b/strips/x.out"},
        "inferenceId": f"ada:{revision}",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    sns = {"EventVersion": "1.0", "EventSource": "aws:sns", "Sns": {"Type": "Notification", "Message": json.dumps(notice)}}
    write("event", "eventbridge.json", json.dumps(eventbridge))
    write("event", "s3.json", json.dumps({"Records": [s3]}))
    write("event", "sns.json", json.dumps({"Records": [sns]}))
    write("event", "mixed.json", json.dumps({"Records": [sns, s3, 7]}))
    write("event", "schedule.json", json.dumps({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}))
    write("event", "test.json", json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "portraits"}))
    write("event", "refusal.txt", refusal)
    write("event", "quoted.txt", notice["failureReason"])
    write("event", "escaped.txt", "client error (400) with message \"" + refusal.replace('"', '\\"') + '"')
    write("event", "timeout.txt", "Request expired before it was processed: timed out")
    write("event", "attributes.txt", "trace=1; ages=20,40,60,80")


def names():
    texts = {
        "id": "ada.b_c-d",
        "id-longest": "x" * 48,
        "ages": "20, 40,60 ,80",
        "ages-json": "[20,40,60,80]",
        "revision": "9f2c41d07b3e",
        "inference-id": "ada:9f2c41d07b3e",
        "sequencer": "0055AED6DCD90281E5",
        "moments": "2026-11-21T13:08:00.123Z 1970-01-01T00:00:00.000Z",
        "moment-offset": "2026-11-21T13:08:00.1239+05:30",
        "moment-and-more": "2022-01-10" + "\x1d" * 200,
        "media-type": "image/JPEG; q=1",
        "model": "preview",
        "location": "s3://bucket/key/x.out",
        "input": "inputs/ada/9f2c41d07b3e/0A",
    }
    for name, text in texts.items():
        write("names", name, text)


# Requests.

APIS, LENGTH = 1, 2


def request(name, options, line, headers=(), body=b""):
    head = "".join(f"{header}\r\n" for header in (f"{line} HTTP/1.1", "Host: localhost", *headers))
    body = body.encode() if isinstance(body, str) else body
    write("routing", name, bytes([options | (LENGTH if body else 0)]) + head.encode() + b"\r\n" + body)


def signed(service):
    return f"Authorization: AWS4-HMAC-SHA256 Credential=A/20261121/us-east-1/{service}/aws4_request, Signature=0"


def s3_requests():
    def s3(name, line, *headers, body=b""):
        request(f"s3-{name}", 0, line, [signed("s3"), *headers], body)

    s3("put", "PUT /portraits/uploads/ada", "x-amz-meta-ages: 20,40", "Content-Type: image/png", body="hello")
    s3("put-once", "PUT /portraits/k", "If-None-Match: *", "x-amz-checksum-crc32: NhCmhg==", body="hello")
    s3("put-md5", "PUT /portraits/k?x-id=PutObject", "Content-MD5: XUFAKrxLKna5cZ2REBfFkg==", body="hello")
    chunks = "5;chunk-signature=0\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    coding = ["Content-Encoding: aws-chunked", "x-amz-decoded-content-length: 5", "x-amz-trailer: x-amz-checksum-crc32"]
    content = "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    s3("put-chunked", "PUT /portraits/uploads/ada", content, *coding, body=chunks)
    s3("get", "GET /portraits/uploads/ada", "Range: bytes=1-3", 'If-Match: "5d41402abc4b2a76b9719d911017c592"')
    s3("get-as", "GET /portraits/k?response-content-type=a%2Fb&versionId=null", "If-None-Match: *", "Range: bytes=-2")
    s3("head", "HEAD /portraits/uploads/ada")
    s3("copy", "PUT /time-traveler/c", "x-amz-copy-source: /portraits/uploads%2Fada", "x-amz-metadata-directive: REPLACE")
    s3("delete", "DELETE /portraits/uploads/ada", "If-Match: *")
    keys = "<Object><Key>k</Key></Object><Object><Key>l</Key></Object>"
    s3("delete-many", "POST /portraits?delete", body=f"<Delete>{keys}<Quiet>true</Quiet></Delete>")
    s3("list", "GET /portraits?list-type=2&prefix=up&delimiter=%2F&max-keys=2&start-after=a&encoding-type=url")
    s3("list-1", "GET /portraits?prefix=&marker=a&max-keys=1")
    s3("buckets", "GET /")
    s3("bucket", "PUT /another")
    s3("bucket-head", "HEAD /portraits")
    s3("bucket-location", "GET /portraits?location")
    s3("bucket-delete", "DELETE /another")
    s3("multipart", "POST /portraits/m?uploads", "x-amz-meta-a: b")
    upload = "uploadId=00000000-0000-4000-8000-000000000000"
    s3("part", f"PUT /portraits/m?partNumber=1&{upload}", body="hello")
    part = "<Part><PartNumber>1</PartNumber><ETag>&quot;5d41402abc4b2a76b9719d911017c592&quot;</ETag></Part>"
    s3("complete", f"POST /portraits/m?{upload}", body=f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>")
    s3("abort", f"DELETE /portraits/m?{upload}")
    s3("acl", "GET /portraits?acl")
    s3("dots", "PUT /portraits/../../a/%2e%2e%2fb", body="x")
    request("s3-by-name", 0, "GET /k", ["Host: portraits.localhost:4566", signed("s3")])
    request("s3-unsigned", 0, "GET /portraits/k")
    dates = "X-Amz-Date=20261121T000000Z&X-Amz-Expires=900"
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20261121%2Fus-east-1%2Fs3%2Faws4_request&{dates}"
    request("s3-presigned", 0, f"PUT /portraits/k?{query}&X-Amz-SignedHeaders=host&X-Amz-Signature=0", (), "hello")
    request("s3-presigned-2", 0, "GET /portraits/k?AWSAccessKeyId=A&Signature=x%3D&Expires=99999999999")
    known = "Credential=LOCALCLOUDFUNCTION00/20261121/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date"
    date = ["x-amz-date: 20261121T000000Z", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]
    request("s3-verified", 0, "GET /portraits/k", [f"Authorization: AWS4-HMAC-SHA256 {known}, Signature=0", *date])


def json_requests():
    item = {"id": {"S": "ada"}, "shard": {"S": "open#0"}, "createdAt": {"S": "2026"}, "n": {"N": "1"}}
    key, values = {"id": {"S": "ada"}}, {":a": {"S": "ada"}, ":n": {"N": "2"}}
    jobs = {"TableName": "jobs"}
    index = {"IndexName": "newest-first", "KeyConditionExpression": "shard = :a", "ScanIndexForward": False, "Limit": 2}
    table = json.loads((HERE.parent / "infra" / "jobs-table.json").read_text())
    update = {"UpdateExpression": "SET n = if_not_exists(n, :n) + :n REMOVE x", "ConditionExpression": "id = :a"}
    statement = {"Statement": "SELECT * FROM \"jobs\" WHERE id = ?", "Parameters": [{"S": "ada"}]}
    operations = {
        "PutItem": {**jobs, "Item": item, "ConditionExpression": "attribute_not_exists(id)"},
        "GetItem": {**jobs, "Key": key, "ConsistentRead": True, "ProjectionExpression": "id, n"},
        "UpdateItem": {**jobs, "Key": key, **update, "ExpressionAttributeValues": values, "ReturnValues": "ALL_NEW"},
        "DeleteItem": {**jobs, "Key": key, "ReturnValues": "ALL_OLD"},
        "Query": {**jobs, **index, "ExpressionAttributeValues": {":a": {"S": "open#0"}}},
        "Scan": {**jobs, "FilterExpression": "begins_with(id, :a) AND n <= :n", "ExpressionAttributeValues": values},
        "BatchGetItem": {"RequestItems": {"jobs": {"Keys": [key]}}},
        "BatchWriteItem": {"RequestItems": {"jobs": [{"PutRequest": {"Item": item}}, {"DeleteRequest": {"Key": key}}]}},
        "TransactGetItems": {"TransactItems": [{"Get": {**jobs, "Key": key}}]},
        "TransactWriteItems": {"TransactItems": [{"Put": {**jobs, "Item": item}}]},
        "ExecuteStatement": statement,
        "CreateTable": {**table, "TableName": "others"},
        "DescribeTable": jobs,
        "ListTables": {},
        "UpdateTimeToLive": {**jobs, "TimeToLiveSpecification": {"AttributeName": "expiresAt", "Enabled": True}},
        "DeleteTable": {"TableName": "others"},
        "Unknown": {},
    }
    for name, body in operations.items():
        headers = [signed("dynamodb"), f"X-Amz-Target: DynamoDB_20120810.{name}"]
        request(f"dynamodb-{name}", 0, "POST /", headers, json.dumps(body))
    queue = {"QueueUrl": "http://localhost/000000000000/dead-letters"}
    operations = {
        "ListQueues": {},
        "GetQueueUrl": {"QueueName": "dead-letters"},
        "GetQueueAttributes": queue,
        "ReceiveMessage": {**queue, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0},
        "DeleteMessage": {**queue, "ReceiptHandle": "1"},
    }
    for name, body in operations.items():
        request(f"sqs-{name}", 0, "POST /", [signed("sqs"), f"X-Amz-Target: AmazonSQS.{name}"], json.dumps(body))
    form = "Content-Type: application/x-www-form-urlencoded"
    topic = "TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A000000000000%3Adone"
    request("sns", 0, "POST /", [signed("sns"), form], f"Action=Publish&{topic}&Message=%7B%7D&Subject=s&Version=2010-03-31")
    path = "POST /2015-03-31/functions/tracker/invocations"
    request("lambda", 0, path, [signed("lambda")], "{}")
    request("lambda-event", 0, path, [signed("lambda"), "X-Amz-Invocation-Type: Event"], '{"a":1}')
    request("sagemaker", 0, "POST /endpoints/e/invocations", [signed("sagemaker")], "{}")
    location = "X-Amzn-SageMaker-InputLocation: s3://portraits/k"
    request("sagemaker-async", 0, "POST /endpoints/e/async-invocations", [signed("sagemaker"), location])
    request("other-service", 0, "POST /", [signed("sts"), form], "Action=GetCallerIdentity")


def api_requests():
    request("api-put", APIS, "PUT /images/ada?ages=20,40", ["Content-Type: image/png"], "hello")
    request("api-put-large", APIS, "PUT /images/ada", (), "x" * 4100)
    request("api-put-slash", APIS, "PUT /images/a%2Fb", (), "x")
    request("api-get", APIS, "GET /images/ada/9f2c41d07b3e/0.jpg", ["Range: bytes=0-1", "If-None-Match: \"a\""])
    request("api-head", APIS, "HEAD /images/ada/9f2c41d07b3e/strip.npy")
    request("api-jobs", APIS, "GET /jobs?status=FAILED&limit=2&limit=3&cursor=%7B%7D")
    request("api-job", APIS, "GET /jobs/ada?wait=20", ["User-Agent: a"])
    request("api-delete", APIS, "DELETE /jobs/ada")
    request("api-upload", APIS, "POST /uploads/ada?ages=20", (), b"\xff\xfe")
    request("api-nothing", APIS, "GET /")
    request("api-not-allowed", APIS, "PATCH /jobs/ada")
    request("foreign-host", APIS, "GET /jobs", ["Host: example.com"])
    request("foreign-origin", APIS, "GET /jobs", ["Origin: https://example.com", "Sec-Fetch-Site: cross-site"])
    chunked = b"PUT /images/ada HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked += b"5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n"
    write("routing", "chunked", bytes([APIS]) + chunked)
    host = b"Host: localhost\r\n"
    two = b"GET /jobs HTTP/1.1\r\n" + host + b"\r\nGET /jobs/a HTTP/1.0\r\n" + host + b"\r\n"
    write("routing", "two", bytes([APIS]) + two)
    more = b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\nhello"
    write("routing", "continue", bytes([0]) + b"PUT /portraits/k HTTP/1.1\r\n" + host + more)


# Data sets.


def datasets():
    annotation = {"class_id": 0, "left": 1, "top": 2.5, "width": 3, "height": 4}
    job = {"annotations": [annotation], "image_size": [{"width": 9, "height": 8, "depth": 3}]}
    metadata = {"class-map": {"0": "cat"}, "objects": [{"confidence": 0.5}], "type": "groundtruth/object-detection"}
    lines = [
        {"source-ref": "s3://b/1.jpg", "j": job, "j-metadata": metadata},
        {"source-ref": "2.jpg", "j": 1, "j-metadata": {"class-name": "dog", "confidence": 1.0}},
        {"source-ref": "3.jpg", "j": [0, 1], "j-metadata": {"class-map": {"0": "cat"}, "confidence-map": {"0": 0.5}}},
        {"source-ref": "4.jpg"},
    ]
    write("manifest", "lines", "\n".join(json.dumps(line) for line in lines))
    row = {"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4.5], "score": 0.5}
    image = {"id": 1, "file_name": "a.jpg", "width": 9, "height": 8}
    coco = {"images": [image], "annotations": [row | {"iscrowd": 1}], "categories": [{"id": 3, "name": "cat"}]}
    write("coco", "detection", json.dumps(coco))
    write("coco", "results", json.dumps([row]))
    records = (HERE.parent / "crates/dataset/tests/fixtures/records/shapes.record-00000-of-00002").read_bytes()
    # The first record's picture makes it too long, but its beginning shows the layout.
    write("tfrecord", "records", b"\0" + records[:3000])
    write("tfrecord", "example", b"\1" + records[12:3000])
    for name, values in [("ints", b"\x1a\x04\x0a\x02\x08\x09"), ("text", b"\x0a\x07\x0a\x05a.jpg")]:
        key = {"ints": b"image/width", "text": b"image/filename"}[name]
        entry = bytes([10, len(key)]) + key + bytes([18, len(values)]) + values
        features = bytes([10, len(entry)]) + entry
        write("tfrecord", name, b"\1" + bytes([10, len(features)]) + features)
    write("label_map", "map", "item {\n id: 1\n name: 'a'\n display_name: \"b\\'\"\n keypoints { id: 2 } # c\n}\nitem: <id: 2, name: 'd'>\n")
    config = (HERE.parent / "crates/vision/tests/golden/ssd/small/pipeline.config").read_text()
    write("pipeline_config", "small", config)
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
    write("open_images", "boxes", header + "a,x,/m/1,1,0.1,0.5,0.2,0.9,0,1,0,0,0\nb,x,/m/2,1,0,1,0,1,0,0,1,0,0\n")
    write("open_images", "labels", "ImageID,Source,LabelName,Confidence\na,v,/m/1,0\na,v,/m/2,1\n")
    tree = {"LabelName": "e", "Subcategory": [{"LabelName": "a", "Subcategory": [{"LabelName": "b"}]}]}
    write("open_images", "hierarchy", json.dumps(tree))
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"
    write("voc", "document", "<annotation><filename>a&amp;b.jpg</filename><size><width>9</width><height>8</height>"
          f"<depth>3</depth></size><object><name>cat</name><difficult>1</difficult>{box}</object></annotation>")


def main():
    shutil.rmtree(CORPUS, ignore_errors=True)
    for make in (uploads, strips, face_models, checkpoints, exports, events, names, s3_requests, json_requests, api_requests, datasets):
        make()


if __name__ == "__main__":
    main()
