"""SDK 2: uploads, a training job with its logs, attaching to it, stopping one, and why one failed."""

import contextlib
import io
import os

import numpy as np
import sagemaker
from sagemaker.estimator import Estimator
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.inputs import TrainingInput

session = sagemaker.Session()
role = sagemaker.get_execution_role()
bucket = session.default_bucket()

# Uploads.
os.makedirs("data", exist_ok=True)
x = np.arange(-10, 11) / 10
np.savetxt("data/rows.csv", np.stack([x, 3 * x + 1], axis=1), delimiter=",")
data = session.upload_data("data", key_prefix="line/data")
assert data == f"s3://{bucket}/line/data", data
assert session.list_s3_files(bucket, "line/data") == ["line/data/rows.csv"]
assert session.read_s3_file(bucket, "line/data/rows.csv") == open("data/rows.csv").read()
session.download_data("copy", bucket, "line/data")
assert open("copy/rows.csv").read() == open("data/rows.csv").read()


def estimator(**more):
    return Estimator(
        image_uri="line",
        role=role,
        instance_count=1,
        instance_type="ml.m5.large",
        sagemaker_session=session,
        metric_definitions=[{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        tags=[{"Key": "team", "Value": "lines"}],
        **more,
    )


# A job, with its log while it runs.
line = estimator(hyperparameters={"epochs": "200", "rate": "0.3"})
said = io.StringIO()
with contextlib.redirect_stdout(said):
    line.fit({"train": TrainingInput(data, content_type="text/csv")})
said = said.getvalue()
assert "epoch=200 loss=0.000000" in said and "Training job completed" in said and "Billable seconds" in said, said
job = line.latest_training_job.describe()
assert job["FinalMetricDataList"][0]["MetricName"] == "loss"
assert line.model_data == job["ModelArtifacts"]["S3ModelArtifacts"]

# Another session finds it.
attached = Estimator.attach(line.latest_training_job.name, sagemaker_session=session)
assert attached.model_data == line.model_data
assert attached.hyperparameters() == {"epochs": "200", "rate": "0.3"}
assert {"Key": "team", "Value": "lines"} in attached.tags, attached.tags

# Stopping.
slow = estimator(hyperparameters={"epochs": "1000000000"})
slow.fit({"train": data}, wait=False)
sagemaker_client = session.sagemaker_client
sagemaker_client.stop_training_job(TrainingJobName=slow.latest_training_job.name)
sagemaker_client.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=slow.latest_training_job.name)
assert slow.latest_training_job.describe()["TrainingJobStatus"] == "Stopped"

# Failing.
wrong = estimator(hyperparameters={"epochs": "many"})
try:
    wrong.fit({"train": data}, logs=False)
except UnexpectedStatusException as error:
    assert "AlgorithmError" in str(error) and "exit code: 1" in str(error), error
else:
    raise AssertionError("the job did not fail")

# A model from the job.
predictor = line.deploy(1, "ml.m5.large", serializer=sagemaker.serializers.CSVSerializer())
assert predictor.predict([0]).split() == [b"1.000"]
predictor.delete_endpoint()
print("done")
