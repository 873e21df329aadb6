"""A program that stands for SageMaker's framework images, such as `pytorch-training` and `pytorch-inference`.

`train` runs the script of an estimator (`PyTorch(entry_point=...)`), and `serve` answers by the functions of an inference script:
`model_fn`, and if they are there `input_fn`, `predict_fn` and `output_fn`. Scripts get what SageMaker's toolkits give them, as far as
most scripts ask. It needs NumPy, and boto3 for scripts in S3. What the script itself needs, such as PyTorch, is installed beside it.
"""

import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlparse

import numpy as np

# The local cloud shows a container its own /opt/ml where the system allows that, and names the folder otherwise.
BASE = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
MODEL = Path(os.environ.get("SM_MODEL_DIR", BASE / "model"))


def configuration(name):
    path = BASE / f"input/config/{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def decoded(text):
    """A hyperparameter of an estimator: JSON in a string."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def source_folder(location):
    """The folder of the script, which the SDK packed and uploaded."""
    if not location.startswith("s3://"):
        return Path(location)
    import boto3

    place, folder = urlparse(location), BASE / "code"
    body = boto3.client("s3").get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"].read()
    folder.mkdir(exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def train():
    given = {name: decoded(value) for name, value in configuration("hyperparameters").items()}
    own = {name: value for name, value in given.items() if not name.startswith("sagemaker_")}
    folder = source_folder(given["sagemaker_submit_directory"])
    hosts = configuration("resourceconfig")
    channels = sorted(configuration("inputdataconfig"))
    environment = os.environ | {
        "SM_MODEL_DIR": str(BASE / "model"),
        "SM_OUTPUT_DIR": str(BASE / "output"),
        "SM_OUTPUT_DATA_DIR": str(BASE / "output/data"),
        "SM_INPUT_DIR": str(BASE / "input"),
        "SM_CHANNELS": json.dumps(channels),
        "SM_HPS": json.dumps(own),
        "SM_HOSTS": json.dumps(hosts["hosts"]),
        "SM_CURRENT_HOST": hosts["current_host"],
        "SM_NUM_CPUS": str(os.cpu_count()),
        "SM_NUM_GPUS": str(len([name for name in os.listdir("/dev") if name[:6] == "nvidia" and name[6:].isdigit()])),
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
    }
    environment |= {f"SM_CHANNEL_{name.upper()}": str(BASE / "input/data" / name) for name in channels}
    environment |= {f"SM_HP_{name.upper()}": str(value) for name, value in own.items()}
    arguments = [word for name, value in own.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, given["sagemaker_program"], *arguments]
    print("Invoking script:", *command, flush=True)
    script = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGTERM, lambda *_: script.terminate())
    last = ""
    for line in script.stderr:
        sys.stderr.write(line)
        last = line.strip() or last
    code = script.wait()
    if code:
        reason = f'ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{last}"\nCommand "{" ".join(command)}"'
        (BASE / "output/failure").write_text(reason)
    sys.exit(code if code >= 0 else 128 - code)


def default_input(body, content_type):
    if content_type == "application/x-npy":
        return np.load(io.BytesIO(body))
    if content_type == "application/json":
        return np.array(json.loads(body))
    if content_type == "text/csv":
        return np.genfromtxt(io.BytesIO(body), delimiter=",")
    raise ValueError(f"{content_type} needs an input_fn")


def default_output(prediction, accept):
    if accept == "application/x-npy":
        buffer = io.BytesIO()
        np.save(buffer, prediction)
        return buffer.getvalue()
    if accept == "text/csv":
        return "".join(",".join(map(str, np.atleast_1d(row))) + "\n" for row in np.atleast_1d(prediction))
    return json.dumps(np.asarray(prediction).tolist())


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, body=b"", media_type="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        accept = self.headers.get("Accept") or "application/json"
        accept = "application/json" if "*/*" in accept else accept
        functions, model = self.server.functions, self.server.model
        try:
            data = functions["input_fn"](body, self.headers.get("Content-Type"))
            prediction = functions["predict_fn"](data, model)
            answer = functions["output_fn"](prediction, accept)
        except ValueError as error:
            return self.answer(400, str(error).encode())
        except Exception as error:
            return self.answer(500, f"{type(error).__name__}: {error}".encode())
        # An output_fn may name the media type.
        answer, accept = answer if isinstance(answer, tuple) else (answer, accept)
        self.answer(200, answer.encode() if isinstance(answer, str) else answer, accept)


def serve():
    folder = MODEL / "code"
    program = folder / os.environ.get("SAGEMAKER_PROGRAM", "inference.py")
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("inference", program)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    defaults = {"input_fn": default_input, "predict_fn": lambda data, model: model(data), "output_fn": default_output}
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    server = ThreadingHTTPServer((os.environ.get("BIND_HOST", "0.0.0.0"), port), Handler)
    server.functions = {name: getattr(script, name, default) for name, default in defaults.items()}
    server.model = script.model_fn(str(MODEL))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.serve_forever()


{"train": train, "serve": serve}[sys.argv[1]]()
