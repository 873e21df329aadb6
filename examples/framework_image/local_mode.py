"""The SageMaker SDK's local mode: trains a script, deploys it and asks it, on this machine. `pip install 'sagemaker<3'`

With Docker it would run in PyTorch's images. `time-traveler exec` runs it without Docker.
"""

from pathlib import Path

import numpy as np
import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.pytorch import PyTorch
from sagemaker.serializers import CSVSerializer

role = sagemaker.get_execution_role()
source = Path(__file__).parent / "source"
data = Path("line-data")
data.mkdir(exist_ok=True)
x = np.arange(-10, 11) / 10
np.savetxt(data / "rows.csv", np.stack([x, 3 * x + 1], axis=1), delimiter=",")

estimator = PyTorch(
    entry_point="line.py",
    source_dir=str(source),
    role=role,
    framework_version="2.3.0",
    py_version="py311",
    instance_count=1,
    instance_type="local",
    hyperparameters={"epochs": 200},
)
estimator.fit(f"file://{data.absolute()}")

predictor = estimator.deploy(
    initial_instance_count=1, instance_type="local", serializer=CSVSerializer(), deserializer=JSONDeserializer()
)
print("answer:", predictor.predict([0, 2]))
predictor.delete_endpoint()
