"""SDK 2: Detectron2's workflow by the product's image: a labelling job's manifest is split and converted, a Faster R-CNN trained, judged,
deployed, asked and drawn.

Variables: PROGRAM, the program `time-traveler`; CONFIG, a `config.yaml`; PICTURES, how many pictures are made; OPTS, Detectron2's options
over the configuration; LEAST, the AP50 that the endpoint has to reach on pictures that the training has not seen.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tarfile

import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.serializers import IdentitySerializer

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/time-traveler:latest"
session = sagemaker.Session()
role = sagemaker.get_execution_role()


def time_traveler(*arguments):
    done = subprocess.run([os.environ["PROGRAM"], *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# The pictures and what a labelling job says of them, in three parts with every class in each, as COCO's lists.
made = ["--format", "ground-truth", "--name", "shapes", *"--side 96 --classes 2 --most 2 --seed 3".split()]
time_traveler("dataset", "make", "shapes", *made, "--pictures", os.environ["PICTURES"])
time_traveler("dataset", "split", "shapes/shapes.manifest", "--out", "manifests", "--prefix", "shapes", "--shares", "70,15,15")
for part in ("train", "val", "test"):
    arguments = [f"manifests/shapes-{part}.manifest", "--images", "shapes", "--to", "coco", "--pictures", f"data/{part}"]
    time_traveler("dataset", "convert", *arguments, "--out", f"data/{part}.json")
shutil.copy(os.environ["CONFIG"], "data/config.yaml")
data = session.upload_data("data", key_prefix="shapes")

# The metrics of the original.
names = ["total_loss", "loss_cls", "loss_box_reg", "loss_rpn_cls", "loss_rpn_loc", "validation_loss", "lr", "AP", "AP50"]
hyperparameters = {"local_config_file": "config.yaml", "resume": "True", "keep": "best", "seed": "3"}
if os.environ["OPTS"]:
    hyperparameters["opts"] = os.environ["OPTS"]
detector = Estimator(
    image_uri=IMAGE,
    role=role,
    instance_count=1,
    instance_type="ml.c5.xlarge",
    sagemaker_session=session,
    hyperparameters=hyperparameters,
    metric_definitions=[{"Name": name, "Regex": rf"\b{name}: ([0-9.e-]+)"} for name in names],
    checkpoint_s3_uri=f"s3://{session.default_bucket()}/checkpoints",
)
detector.fit({"training": data})
job = detector.latest_training_job.describe()
metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
assert set(metrics) == set(names), metrics
session.download_data("model", *detector.model_data.removeprefix("s3://").split("/", 1))
assert {"model.pth", "config.yaml", "last_checkpoint", "labels.txt"} <= set(tarfile.open("model/model.tar.gz").getnames())

# Judged by the endpoint's answers, on the part that the training has not seen.
predictor = detector.deploy(1, "ml.m5.large", serializer=IdentitySerializer("image/jpeg"), deserializer=JSONDeserializer())
truth = json.loads(pathlib.Path("data/test.json").read_text())
categories = sorted(category["id"] for category in truth["categories"])
results = []
for picture in truth["images"]:
    body = pathlib.Path("data/test", pathlib.Path(picture["file_name"]).name).read_bytes()
    answer = predictor.predict(body)
    assert answer["image_size"] == [96, 96], answer
    for (left, top, right, bottom), score, number in zip(answer["pred_boxes"], answer["scores"], answer["pred_classes"]):
        bbox = [left, top, right - left, bottom - top]
        results.append({"image_id": picture["id"], "category_id": categories[number], "bbox": bbox, "score": score})
pathlib.Path("results.json").write_text(json.dumps(results))
report = json.loads(time_traveler("evaluate", "data/test.json", "results.json", "--json"))
print(json.dumps(report)[:400])
assert report["figures"]["AP50"] >= float(os.environ["LEAST"]), report

# Drawn, with the names of the classes.
picture = "data/test/" + pathlib.Path(truth["images"][0]["file_name"]).name
tarfile.open("model/model.tar.gz").extractall("trained")
time_traveler("detect", picture, "--model", "trained", "--draw", "drawn.png")
assert pathlib.Path("drawn.png").read_bytes().startswith(b"\x89PNG")
predictor.delete_model()
predictor.delete_endpoint()
print("done")
