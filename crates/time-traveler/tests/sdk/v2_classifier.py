"""SDK 2: a classifier by the product's image: pictures uploaded, a training job, its model deployed and asked, and a job attached to."""

import os
import pathlib
import re
import tarfile

import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.serializers import IdentitySerializer

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/time-traveler:latest"
session = sagemaker.Session()
role = sagemaker.get_execution_role()
pictures = pathlib.Path(os.environ["PICTURES"])


def estimator(**hyperparameters):
    return Estimator(
        image_uri=IMAGE,
        role=role,
        instance_count=1,
        instance_type="ml.c5.xlarge",
        sagemaker_session=session,
        hyperparameters=hyperparameters,
        metric_definitions=[{"Name": "accuracy", "Regex": "accuracy: ([0-9.]+)"}],
        checkpoint_s3_uri=f"s3://{session.default_bucket()}/checkpoints",
    )


data = session.upload_data(str(pictures), key_prefix="pets")
classifier = estimator(model_arch="resnet18", image_size=64, batch_size=16, epochs=12, lr="1e-3", pth=True)
classifier.fit({"training": data})
job = classifier.latest_training_job.describe()
metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
assert metrics["accuracy"] >= 0.9, metrics

# What the job leaves.
session.download_data("model", *classifier.model_data.removeprefix("s3://").split("/", 1))
names = {pathlib.Path(name).name for name in tarfile.open("model/model.tar.gz").getnames()}
assert {"model.safetensors", "resnet18.pth", "classes.json"} <= names, names

# Deployed from another session.
attached = Estimator.attach(classifier.latest_training_job.name, sagemaker_session=session)
predictor = attached.deploy(1, "ml.m5.large", serializer=IdentitySerializer("image/jpeg"), deserializer=JSONDeserializer())
files = sorted(pictures.glob("*.jpg"))
right = 0
for file in files:
    answer = predictor.predict(file.read_bytes())
    assert set(answer) == {"class", "confidence"} and 0 < answer["confidence"] <= 1, answer
    right += answer["class"] == re.fullmatch(r"(.+)_\d+", file.stem)[1]
assert right >= 0.95 * len(files), (right, len(files))
predictor.delete_model()
predictor.delete_endpoint()

# A hyperparameter that does not exist.
wrong = estimator(epoch=1)
try:
    wrong.fit({"training": data}, logs=False)
except UnexpectedStatusException as error:
    assert 'there is no hyperparameter "epoch"' in str(error), error
else:
    raise AssertionError("the job did not fail")
print("done")
