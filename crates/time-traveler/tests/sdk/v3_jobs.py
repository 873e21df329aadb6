"""SDK 3: a training job by ModelTrainer, in the cloud and in local mode; ModelBuilder; resources; a transform job."""

import os

import numpy as np
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import Endpoint, TrainingJob
from sagemaker.core.transformer import Transformer
from sagemaker.serve import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode
from sagemaker.train.model_trainer import Mode

session = Session()
role = get_execution_role()
bucket = session.default_bucket()
x = np.arange(-10, 11) / 10
os.makedirs("data", exist_ok=True)
np.savetxt("data/rows.csv", np.stack([x, 3 * x + 1], axis=1), delimiter=",")
code = SourceCode(source_dir=os.environ["SCRIPTS"], entry_script="line.py")


def trainer(**more):
    return ModelTrainer(
        training_image="line",
        source_code=code,
        role=role,
        sagemaker_session=session,
        hyperparameters={"epochs": 200, "rate": 0.3},
        base_job_name="line",
        **more,
    )


# In the cloud: script and data are uploaded by the SDK.
cloud = trainer(compute=Compute(instance_type="ml.m5.large", instance_count=1))
cloud.train(input_data_config=[InputData(channel_name="training", data_source=os.path.abspath("data"))])
job = TrainingJob.get(cloud._latest_training_job.training_job_name)
assert job.training_job_status == "Completed", job

# In local mode, without Docker.
local = trainer(
    training_mode=Mode.LOCAL_CONTAINER,
    compute=Compute(instance_type="local_cpu", instance_count=1),
    local_container_root=os.getcwd(),
)
local.train(input_data_config=[InputData(channel_name="training", data_source=os.path.abspath("data"))])
assert os.path.exists("compressed_artifacts/model.tar.gz"), os.listdir()

# A model of the job, deployed and asked.
builder = ModelBuilder(
    image_uri="line",
    s3_model_data_url=job.model_artifacts.s3_model_artifacts,
    role_arn=role,
    sagemaker_session=session,
    instance_type="ml.m5.large",
)
model = builder.build()
endpoint = builder.deploy(endpoint_name="line", initial_instance_count=1)
answer = endpoint.invoke(body=b"0\n2\n", content_type="text/csv", accept="text/csv")
assert answer.body.read().split() == [b"1.000", b"7.000"]
assert Endpoint.get("line").endpoint_status == "InService"

# A transform job with the model.
session.boto_session.client("s3").put_object(Bucket=bucket, Key="rows/a.csv", Body="0\n1\n2\n")
transformer = Transformer(
    model.model_name,
    1,
    "ml.m5.large",
    strategy="MultiRecord",
    output_path=f"s3://{bucket}/answers/",
    sagemaker_session=session,
)
transformer.transform(f"s3://{bucket}/rows/", content_type="text/csv", split_type="Line", logs=False)
assert session.read_s3_file(bucket, "answers/a.csv.out").split() == ["1.000", "4.000", "7.000"]
endpoint.delete()
print("done")
