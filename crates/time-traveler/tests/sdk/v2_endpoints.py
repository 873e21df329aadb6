"""SDK 2: a framework's estimator and model; endpoints: deployed, asked in three formats, updated, asynchronous, and several at once."""

import os

import numpy as np
import sagemaker
from sagemaker.async_inference import AsyncInferenceConfig
from sagemaker.deserializers import CSVDeserializer, JSONDeserializer, NumpyDeserializer
from sagemaker.predictor import Predictor
from sagemaker.predictor_async import AsyncPredictor
from sagemaker.pytorch import PyTorch, PyTorchModel
from sagemaker.serializers import CSVSerializer, JSONSerializer, NumpySerializer

session = sagemaker.Session()
role = sagemaker.get_execution_role()
source = os.environ["SCRIPTS"]
x = np.arange(-10, 11) / 10
os.makedirs("data", exist_ok=True)
np.savetxt("data/rows.csv", np.stack([x, 3 * x + 1], axis=1), delimiter=",")

estimator = PyTorch(
    entry_point="line.py",
    source_dir=source,
    role=role,
    framework_version="2.3.0",
    py_version="py311",
    instance_count=1,
    instance_type="ml.m5.large",
    hyperparameters={"epochs": 200, "rate": 0.3},
)
estimator.fit({"training": session.upload_data("data", key_prefix="line/data")})


def model():
    return PyTorchModel(
        model_data=estimator.model_data,
        role=role,
        entry_point="line.py",
        source_dir=source,
        framework_version="2.3.0",
        py_version="py311",
    )


# Deployed by the SDK's own waiting, and asked in three formats.
predictor = model().deploy(1, "ml.m5.large", tags=[{"Key": "team", "Value": "lines"}])
assert np.array_equal(predictor.predict(np.array([0.0, 2.0])), [1.0, 7.0])
name = predictor.endpoint_name
for serializer, deserializer, expected in [
    (JSONSerializer(), JSONDeserializer(), [1.0, 7.0]),
    (CSVSerializer(), CSVDeserializer(), [["1.0"], ["7.0"]]),
    (NumpySerializer(), JSONDeserializer(), [1.0, 7.0]),
    (JSONSerializer(), NumpyDeserializer(), np.array([1.0, 7.0])),
]:
    asked = Predictor(name, session, serializer, deserializer).predict([0, 2])
    assert np.array_equal(asked, expected), (serializer, asked)

# Updated: other instances, then another model.
predictor.update_endpoint(initial_instance_count=1, instance_type="ml.c5.large")
assert np.array_equal(predictor.predict(np.array([1.0])), [4.0])
described = session.sagemaker_client.describe_endpoint(EndpointName=name)
assert described["EndpointStatus"] == "InService" and described["EndpointConfigName"] != name, described

# An asynchronous one beside it.
output = f"s3://{session.default_bucket()}/answers"
asynchronous = model().deploy(
    1,
    "ml.m5.large",
    async_inference_config=AsyncInferenceConfig(output_path=output, max_concurrent_invocations_per_instance=2),
)
assert isinstance(asynchronous, AsyncPredictor)
assert np.array_equal(asynchronous.predict(np.array([0.0, 2.0])), [1.0, 7.0])
answers = [asynchronous.predict_async(np.array([float(n)])) for n in range(3)]
waiter = sagemaker.async_inference.WaiterConfig(max_attempts=100, delay=5)
assert [float(answer.get_result(waiter)[0]) for answer in answers] == [1.0, 4.0, 7.0]

# Several at once.
others = [model().deploy(1, "ml.m5.large") for _ in range(2)]
assert len({one.endpoint_name for one in [predictor, asynchronous, *others]}) == 4
for one in others:
    assert np.array_equal(one.predict(np.array([2.0])), [7.0])
for one in [predictor, asynchronous, *others]:
    one.delete_endpoint()
print("done")
