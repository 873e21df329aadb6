#!/usr/bin/env python3
"""A training program with SageMaker's contract. Its hyperparameter `script` chooses its behaviour."""

import json
import os
import signal
import sys
import time
from pathlib import Path

BASE = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


def config(name):
    return json.loads((BASE / f"input/config/{name}.json").read_text())


def wait(path):
    while not os.path.exists(path):
        time.sleep(0.01)


def fail(words, code=1):
    (BASE / "output/failure").write_text(words)
    sys.exit(code)


script = config("hyperparameters").get("script", "")
exec(script)
