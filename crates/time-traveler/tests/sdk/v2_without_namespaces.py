"""SDK 2 where no process gets an /opt/ml of its own: a training job, its model's endpoint, and local mode. The script names its role."""

import os

import numpy as np
import sagemaker
from sagemaker.estimator import Estimator
from sagemaker.local import LocalSession

role = "arn:aws:iam::000000000000:role/local"
session = sagemaker.Session()
assert not os.path.exists("/opt/ml/metadata"), "this process has a view of its own"
os.makedirs("data", exist_ok=True)
x = np.arange(-10, 11) / 10
np.savetxt("data/rows.csv", np.stack([x, 3 * x + 1], axis=1), delimiter=",")


def trained(session, where, data):
    estimator = Estimator(
        image_uri="line",
        role=role,
        instance_count=1,
        instance_type=where,
        hyperparameters={"epochs": "200", "rate": "0.3"},
        sagemaker_session=session,
    )
    estimator.fit({"train": data})
    return estimator


line = trained(session, "ml.m5.large", session.upload_data("data", key_prefix="line/data"))
name = line.latest_training_job.name
logs = session.boto_session.client("logs")
found = logs.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=name)
first = found["events"][0]["message"]
assert "gives a process no /opt/ml of its own" in first and "SAGEMAKER_BASE_DIR=" in first, first
predictor = line.deploy(1, "ml.m5.large", serializer=sagemaker.serializers.CSVSerializer())
assert predictor.predict([2]).split() == [b"7.000"]
predictor.delete_endpoint()

local = LocalSession()
local.config = {"local": {"serving_port": int(os.environ["PORT"])}}
line = trained(local, "local", f"file://{os.path.abspath('data')}")
predictor = line.deploy(1, "local", serializer=sagemaker.serializers.CSVSerializer())
assert predictor.predict([2]).split() == [b"7.000"]
predictor.delete_endpoint()
print("done")
