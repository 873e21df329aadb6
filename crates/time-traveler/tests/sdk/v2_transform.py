"""SDK 2: batch transform with every way to split and to assemble, filters and a join, a job that fails, and one that is stopped; the
same server as two variants of an endpoint, and twice in a row."""

import struct

import sagemaker
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.model import Model
from sagemaker.pipeline import PipelineModel
from sagemaker.predictor import Predictor
from sagemaker.session import production_variant
from sagemaker.transformer import Transformer

session = sagemaker.Session()
s3 = session.boto_session.client("s3")
bucket = session.default_bucket()
role = sagemaker.get_execution_role()


def put(key, body):
    s3.put_object(Bucket=bucket, Key=key, Body=body)


def outputs(prefix):
    return {key.removeprefix(prefix): session.read_s3_file(bucket, key) for key in session.list_s3_files(bucket, prefix)}


def recordio(records):
    packed = (struct.pack("<II", 0xCED7230A, len(record)) + record + b"\0" * (-len(record) % 4) for record in records)
    return b"".join(packed)


def tfrecord(records):
    # The checksums are not looked at.
    packed = (struct.pack("<Q", len(record)) + b"\0" * 4 + record + b"\0" * 4 for record in records)
    return b"".join(packed)


model = Model(image_uri="upper", role=role, sagemaker_session=session)
model.create(instance_type="ml.m5.large")


def transformer_to(output, **more):
    output = f"s3://{bucket}/{output}"
    return Transformer(model.name, 1, "ml.m5.large", output_path=output, sagemaker_session=session, **more)


put("lines/a.txt", "one\ntwo\n")
put("lines/deep/b.txt", "three")
put("recordio/a", recordio([b"one", b"three"]))
put("tfrecord/a", tfrecord([b"one", b"three"]))

# The server answers in capitals, without a newline.
cases = [
    ("lines", None, "SingleRecord", None, {"a.txt.out": "ONE\nTWO\n", "deep/b.txt.out": "THREE"}),
    ("lines", None, "SingleRecord", "Line", {"a.txt.out": "ONE\nTWO\n", "deep/b.txt.out": "THREE\n"}),
    ("lines", "Line", "SingleRecord", None, {"a.txt.out": "ONETWO", "deep/b.txt.out": "THREE"}),
    ("lines", "Line", "SingleRecord", "Line", {"a.txt.out": "ONE\nTWO\n", "deep/b.txt.out": "THREE\n"}),
    ("lines", "Line", "MultiRecord", None, {"a.txt.out": "ONE\nTWO", "deep/b.txt.out": "THREE"}),
    ("lines", "Line", "MultiRecord", "Line", {"a.txt.out": "ONE\nTWO\n", "deep/b.txt.out": "THREE\n"}),
    ("recordio", "RecordIO", "SingleRecord", None, {"a.out": "ONETHREE"}),
    ("recordio", "RecordIO", "SingleRecord", "Line", {"a.out": "ONE\nTHREE\n"}),
    ("tfrecord", "TFRecord", "SingleRecord", None, {"a.out": "ONETHREE"}),
    ("tfrecord", "TFRecord", "SingleRecord", "Line", {"a.out": "ONE\nTHREE\n"}),
]
jobs = []
for name, split, strategy, assemble, expected in cases:
    prefix = f"out/{name}-{split}-{strategy}-{assemble}/"
    transformer = transformer_to(prefix, strategy=strategy, assemble_with=assemble)
    transformer.transform(
        f"s3://{bucket}/{name}/", content_type="text/plain", split_type=split, job_name=f"job-{len(jobs)}", wait=False
    )
    jobs.append((transformer, prefix, expected))
for transformer, prefix, expected in jobs:
    transformer.wait(logs=False)
    assert outputs(prefix) == expected, (prefix, outputs(prefix))

# Filters and a join: the identifiers come back beside the answers.
put("rows/a.csv", "id1,x\nid2,y\n")
transformer = transformer_to("joined/", strategy="MultiRecord", assemble_with="Line", accept="text/csv")
transformer.transform(
    f"s3://{bucket}/rows/",
    content_type="text/csv",
    split_type="Line",
    input_filter="$[1:]",
    join_source="Input",
    output_filter="$[0,-1]",
)
assert outputs("joined/") == {"a.csv.out": "id1,X\nid2,Y\n"}, outputs("joined/")

# A bad record costs its object, and the job fails.
put("bad/a.txt", "one\nREFUSE\n")
put("bad/b.txt", "two\n")
transformer = transformer_to("bad-out/", strategy="SingleRecord", assemble_with="Line")
try:
    transformer.transform(f"s3://{bucket}/bad/", content_type="text/plain", split_type="Line", logs=False)
except UnexpectedStatusException as error:
    assert "ClientError: See job logs for more information" in str(error), error
else:
    raise AssertionError("the job did not fail")
assert outputs("bad-out/") == {"b.txt.out": "TWO\n"}

# Stopped. A model makes its own transformer.
transformer = model.transformer(1, "ml.m5.large", strategy="SingleRecord", output_path=f"s3://{bucket}/slow-out/")
put("slow/a.txt", "WAIT\n" * 1000)
transformer.transform(f"s3://{bucket}/slow/", content_type="text/plain", split_type="Line", wait=False)
transformer.stop_transform_job(wait=False)
session.sagemaker_client.get_waiter("transform_job_completed_or_stopped").wait(
    TransformJobName=transformer.latest_transform_job.name
)
described = session.sagemaker_client.describe_transform_job(TransformJobName=transformer.latest_transform_job.name)
assert described["TransformJobStatus"] == "Stopped"

# Two variants share the requests by weight, and each answers by its name.
variants = [production_variant(model.name, "ml.m5.large", 1, name, weight) for name, weight in [("A", 3), ("B", 1)]]
session.endpoint_from_production_variants("shared", variants)
predictor, client = Predictor("shared", session), session.sagemaker_runtime_client
assert predictor.predict("one", target_variant="B") == b"ONE"


def answering():
    return client.invoke_endpoint(EndpointName="shared", Body=b"one")["InvokedProductionVariant"]


assert sorted(answering() for _ in range(4)) == ["A", "A", "A", "B"]
session.sagemaker_client.update_endpoint_weights_and_capacities(
    EndpointName="shared", DesiredWeightsAndCapacities=[{"VariantName": "A", "DesiredWeight": 0}]
)
session.wait_for_endpoint("shared", poll=1)
assert [answering() for _ in range(3)] == ["B"] * 3
described = session.sagemaker_client.describe_endpoint(EndpointName="shared")["ProductionVariants"]
assert [(one["VariantName"], one["CurrentWeight"]) for one in described] == [("A", 0), ("B", 1)], described
predictor.delete_endpoint()

# A pipeline: an endpoint, and a transform job.
second = Model(image_uri="upper", role=role, sagemaker_session=session)
row = PipelineModel([model, second], role, sagemaker_session=session, predictor_cls=Predictor)
predictor = row.deploy(1, "ml.m5.large")
assert predictor.predict("one") == b"ONE"
predictor.delete_endpoint()
transformer = row.transformer(1, "ml.m5.large", output_path=f"s3://{bucket}/row-out/", assemble_with="Line")
transformer.transform(f"s3://{bucket}/lines/", content_type="text/plain", split_type="Line", logs=False)
assert outputs("row-out/") == {"a.txt.out": "ONE\nTWO\n", "deep/b.txt.out": "THREE\n"}
print("done")
