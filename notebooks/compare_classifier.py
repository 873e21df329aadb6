"""Compare the speed of PyTorch, ONNX Runtime and `time-traveler` for the class of one picture.

    pip install torch onnx onnxruntime
    cargo build --release -p time-traveler
    python notebooks/compare_classifier.py --time-traveler target/release/time-traveler

The network is ResNet-34 with fastai's head for 37 classes, at 224 pixels, batch of one, float32. It is written here in plain
PyTorch, with random weights, and exported to ONNX with its normalizations folded by ONNX Runtime. The three programs take turns.

Times are those of a clock, and of the processor. On a busy machine only the latter can be compared, with --threads 1: threads that
wait for each other use the processor too. The processor time of `time-traveler` includes the resizing of a picture.
"""

import argparse
import json
import resource
import statistics
import subprocess
import tempfile
import time

import onnxruntime
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True))
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return torch.relu(self.second(self.first(x)) + self.shortcut(x))


class Classifier(nn.Module):
    def __init__(self, classes=37):
        super().__init__()
        layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(True), nn.MaxPool2d(3, 2, 1)]
        inputs = 64
        for outputs, blocks, stride in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)]:
            for index in range(blocks):
                layers.append(Block(inputs, outputs, stride if index == 0 else 1))
                inputs = outputs
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.BatchNorm1d(1024), nn.Linear(1024, 512), nn.ReLU(True), nn.BatchNorm1d(512), nn.Linear(512, classes)
        )

    def forward(self, x):
        x = self.body(x)
        x = torch.cat([x.amax((2, 3)), x.mean((2, 3))], 1)
        return torch.softmax(self.head(x), 1)


def measured(runs, work):
    """Milliseconds of a run: the median by a clock, and the mean of the processor."""
    work()
    times, busy = [], time.process_time()
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times), (time.process_time() - busy) / runs * 1e3


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--time-traveler", required=True)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=9, help="how often the three take turns")
parser.add_argument("--runs", type=int, default=15, help="runs of each turn, of which the median counts")
options = parser.parse_args()

torch.manual_seed(0)
torch.set_num_threads(options.threads)
network = Classifier().eval()
picture = torch.randn(1, 3, 224, 224)
with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
    torch.onnx.export(network, (picture,), file.name, dynamo=False, input_names=["x"], output_names=["y"])
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(file.name, settings, providers=["CPUExecutionProvider"])
values = picture.numpy()
with torch.inference_mode():
    difference = abs(network(picture).numpy() - session.run(None, {"x": values})[0]).max()
assert difference < 1e-4, difference


def pytorch():
    with torch.inference_mode():
        return measured(options.runs, lambda: network(picture))


def onnx():
    return measured(options.runs, lambda: session.run(None, {"x": values}))


def bench(runs):
    """The milliseconds of a run by a clock, and those of the processor for the whole command."""
    command = [options.time_traveler, "bench", "classifier", "--device", "cpu", "--runs", str(runs), "--json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env={"RAYON_NUM_THREADS": str(options.threads)}, stdout=subprocess.PIPE, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout)["milliseconds"]["classify"], busy * 1e3


def project():
    _, start = bench(1)
    # Its start varies by more than a run takes.
    clock, whole = bench(1 + 10 * options.runs)
    return clock, (whole - start) / (10 * options.runs)


programs = {f"PyTorch {torch.__version__}": pytorch, f"ONNX Runtime {onnxruntime.__version__}": onnx, "time-traveler": project}
times = {name: [] for name in programs}
for _ in range(options.rounds):
    for name, program in programs.items():
        times[name].append(program())
    turns = (f"{name} {turn[-1][0]:.1f} ({turn[-1][1]:.1f}) ms" for name, turn in times.items())
    print(", ".join(turns), flush=True)
for index, kind in enumerate(["clock", "processor"]):
    ours = [turn[index] for turn in times["time-traveler"]]
    for name, turns in times.items():
        theirs = [turn[index] for turn in turns]
        ratio = statistics.median(other / own for other, own in zip(theirs, ours))
        print(f"{kind}: {name}: median {statistics.median(theirs):.1f} ms, least {min(theirs):.1f} ms, ratio {ratio:.2f}")
