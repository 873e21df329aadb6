"""SDK 2 in local mode, without Docker: a script is trained from a folder and from S3, deployed twice at once, and asked; a job fails."""

import os

import numpy as np
from sagemaker import get_execution_role
from sagemaker.local import LocalSession
from sagemaker.processing import ScriptProcessor, ProcessingInput, ProcessingOutput
from sagemaker.pytorch import PyTorch, PyTorchModel

source = os.environ["SCRIPTS"]
role = get_execution_role()
x = np.arange(-10, 11) / 10
os.makedirs("data", exist_ok=True)
np.savetxt("data/rows.csv", np.stack([x, 3 * x + 1], axis=1), delimiter=",")


def estimator(epochs, **more):
    return PyTorch(
        entry_point="line.py",
        source_dir=source,
        role=role,
        framework_version="2.3.0",
        py_version="py311",
        instance_count=1,
        instance_type="local",
        hyperparameters={"epochs": epochs, "rate": 0.3},
        **more,
    )


# As the notebook of fast.ai's pets does: `local`, first from a folder, then from S3.
pets = estimator(200)
pets.fit(f"file://{os.path.abspath('data')}")
session = pets.sagemaker_session
assert isinstance(session, LocalSession)
again = estimator(200)
again.fit(session.upload_data("data", key_prefix="pets"))

# Two endpoints at once, each with a session and a port of its own.
predictors = []
for port in os.environ["PORTS"].split():
    own = LocalSession()
    own.config = {"local": {"serving_port": int(port)}}
    model = PyTorchModel(
        model_data=pets.model_data,
        role=role,
        entry_point="line.py",
        source_dir=source,
        framework_version="2.3.0",
        py_version="py311",
        sagemaker_session=own,
    )
    predictors.append(model.deploy(1, "local"))
for predictor in predictors:
    assert np.array_equal(predictor.predict(np.array([0.0, 2.0])), [1.0, 7.0])
for predictor in predictors:
    predictor.delete_endpoint()

# A script that fails.
try:
    estimator("many").fit(f"file://{os.path.abspath('data')}")
except RuntimeError as error:
    assert "exited with code: " in str(error), error
else:
    raise AssertionError("the script did not fail")

# A processing job.
with open("count.py", "w") as script:
    script.write("rows = open('/opt/ml/processing/input/rows.csv').read().split()\n")
    script.write("open('/opt/ml/processing/output/count', 'w').write(str(len(rows)))\n")
processor = ScriptProcessor(role, "pytorch-training", ["python3"], 1, "local", sagemaker_session=session)
processor.run(
    "count.py",
    inputs=[ProcessingInput(os.path.abspath("data"), "/opt/ml/processing/input")],
    outputs=[ProcessingOutput("/opt/ml/processing/output", f"s3://{session.default_bucket()}/counted")],
)
assert session.read_s3_file(session.default_bucket(), "counted/count") == "21"
print("done")
