"""A program that keeps SageMaker's contract for containers: `train` fits a straight line, and `serve` answers with it.

It needs NumPy only. On SageMaker it would be the entry point of an image, unchanged.
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

# The local cloud shows a job its own /opt/ml where the system allows that, and names the folder otherwise.
BASE = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


def train():
    hyperparameters = json.loads((BASE / "input/config/hyperparameters.json").read_text())
    epochs = int(hyperparameters.get("epochs", "100"))
    rate = float(hyperparameters.get("rate", "0.1"))
    files = sorted((BASE / "input/data/train").rglob("*.csv"))
    x, y = np.concatenate([np.loadtxt(file, delimiter=",", ndmin=2) for file in files]).T
    slope = intercept = 0.0
    for epoch in range(1, epochs + 1):
        error = slope * x + intercept - y
        slope -= rate * 2 * np.mean(error * x)
        intercept -= rate * 2 * np.mean(error)
        if epoch % 10 == 0:
            print(f"epoch={epoch} loss={np.mean(error**2):.6f}", flush=True)
    np.savez(BASE / "model/line.npz", slope=slope, intercept=intercept)


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, body=b"", media_type="text/csv"):
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        try:
            x = np.array([float(word) for word in body.split()])
        except ValueError as error:
            return self.answer(400, str(error).encode(), "text/plain")
        lines = [f"{value:.3f}\n" for value in self.server.slope * x + self.server.intercept]
        self.answer(200, "".join(lines).encode())


def serve():
    model = np.load(Path(os.environ.get("SM_MODEL_DIR", "/opt/ml/model")) / "line.npz")
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    server = ThreadingHTTPServer((os.environ.get("BIND_HOST", "0.0.0.0"), port), Handler)
    server.slope, server.intercept = float(model["slope"]), float(model["intercept"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.serve_forever()


{"train": train, "serve": serve}[sys.argv[1]]()
