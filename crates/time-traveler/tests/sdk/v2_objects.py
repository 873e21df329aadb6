"""SDK 2: Faster R-CNN by the product's image, from Ground Truth manifests on: split, trained with Detectron2's options, judged, deployed and drawn."""

import io
import json
import os
import pathlib
import subprocess
import tarfile

import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.serializers import IdentitySerializer

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/time-traveler:latest"
session = sagemaker.Session()
role = sagemaker.get_execution_role()
program = os.environ["TIME_TRAVELER"]


def time_traveler(*arguments):
    done = subprocess.run([program, *arguments], check=True, capture_output=True, text=True)
    return done.stdout


# The pictures and what a labelling job says of them, in three parts with every class in each, as COCO's lists.
made = ["--format", "ground-truth", "--name", "shapes", *"--side 96 --classes 2 --most 2 --pictures 160 --seed 3".split()]
time_traveler("dataset", "make", "shapes", *made)
manifest = "shapes/shapes.manifest"
time_traveler("dataset", "split", manifest, "--out", "manifests", "--prefix", "shapes", "--shares", "70,15,15")
for part in ("train", "val", "test"):
    arguments = [f"manifests/shapes-{part}.manifest", "--images", "shapes", "--to", "coco", "--pictures", f"data/{part}"]
    time_traveler("dataset", "convert", *arguments, "--out", f"data/{part}.json")
data = session.upload_data("data", key_prefix="shapes")

# The metric definitions and the options of the original, but for a smaller network that learns from nothing.
names = ["total_loss", "loss_cls", "loss_box_reg", "loss_rpn_cls", "loss_rpn_loc", "validation_loss", "lr", "AP", "AP50"]
# Of these 600 steps, 350 were watched: AP50 11.6 after 300. A rate at which 0.7 is reached is not found yet.
options = (
    "MODEL.WEIGHTS \"\" MODEL.RESNETS.DEPTH 18 MODEL.RESNETS.RES2_OUT_CHANNELS 64 MODEL.RESNETS.NORM BN MODEL.BACKBONE.FREEZE_AT 0 MODEL.FPN.OUT_CHANNELS 64 MODEL.ROI_BOX_HEAD.FC_DIM 128 MODEL.ANCHOR_GENERATOR.SIZES [[14],[22],[32],[45],[64]] INPUT.MIN_SIZE_TRAIN (96,) INPUT.MIN_SIZE_TEST 96 MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE 64 MODEL.RPN.BATCH_SIZE_PER_IMAGE 64 MODEL.RPN.PRE_NMS_TOPK_TRAIN 200 MODEL.RPN.POST_NMS_TOPK_TRAIN 100 MODEL.RPN.PRE_NMS_TOPK_TEST 200 MODEL.RPN.POST_NMS_TOPK_TEST 50 SOLVER.IMS_PER_BATCH 4 SOLVER.BASE_LR 0.01 SOLVER.WARMUP_ITERS 100 SOLVER.MAX_ITER 600 SOLVER.STEPS (450,) SOLVER.CLIP_GRADIENTS.ENABLED True SOLVER.CLIP_GRADIENTS.CLIP_TYPE norm SOLVER.CLIP_GRADIENTS.CLIP_VALUE 1.0 TEST.EVAL_PERIOD 150 SEED 3"
)
detector = Estimator(
    image_uri=IMAGE,
    role=role,
    instance_count=1,
    instance_type="ml.c5.xlarge",
    sagemaker_session=session,
    hyperparameters={"kind": "faster-rcnn", "resume": "True", "keep": "best", "opts": options},
    metric_definitions=[{"Name": name, "Regex": rf"\b{name}: ([0-9.e-]+)"} for name in names],
    checkpoint_s3_uri=f"s3://{session.default_bucket()}/checkpoints",
)
detector.fit({"training": data})
job = detector.latest_training_job.describe()
metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
assert set(metrics) == set(names), metrics
session.download_data("model", *detector.model_data.removeprefix("s3://").split("/", 1))
assert {"model.pth", "config.yaml", "last_checkpoint"} <= set(tarfile.open("model/model.tar.gz").getnames())

# Judged on the part that nothing has seen, by the endpoint's answers.
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
assert report["figures"]["AP50"] >= 0.7, report["figures"]

# Drawn, with the words of the data.
picture = "data/test/" + pathlib.Path(truth["images"][0]["file_name"]).name
tarfile.open("model/model.tar.gz").extractall("trained")
time_traveler("detect", picture, "--model", "trained", "--draw", "drawn.png")
assert pathlib.Path("drawn.png").read_bytes().startswith(b"\x89PNG")
predictor.delete_model()
predictor.delete_endpoint()
print("done")
