"""Compare a step of training with PyTorch: forward, backward and update, in turns, on two threads.

    pip install torch torchvision pillow pyyaml
    cargo build --release -p vision --example training_step
    python notebooks/compare_training_with_pytorch.py --step target/release/examples/training_step
    python notebooks/compare_training_with_pytorch.py --step target/release/examples/training_step --cases ssd faster-rcnn

A case is a classifier with its pixels and its batch, or a small detector of the tests with its batch of two. Detectors have the same
weights and pictures in both programs; their first losses are compared before their times are.

Times are those of a clock, and of the processor. On a busy machine only the latter can be compared, with --threads 1: threads that
wait for each other use the processor too.
"""

import argparse
import os
import re
import statistics
import subprocess
import time

import torch


class Block(torch.nn.Module):
    """ResNet's block of two convolutions."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.convolutions = torch.nn.Sequential(
            torch.nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), torch.nn.BatchNorm2d(outputs), torch.nn.ReLU(inplace=True),
            torch.nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(outputs))
        changes = stride > 1 or inputs != outputs
        self.shortcut = torch.nn.Sequential(
            torch.nn.Conv2d(inputs, outputs, 1, stride, bias=False), torch.nn.BatchNorm2d(outputs)) if changes else torch.nn.Identity()

    def forward(self, x):
        return torch.relu_(self.convolutions(x) + self.shortcut(x))


class Classifier(torch.nn.Module):
    """ResNet 18 or 34 with fastai's head."""

    BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}

    def __init__(self, body, classes):
        super().__init__()
        layers = [torch.nn.Conv2d(3, 64, 7, 2, 3, bias=False), torch.nn.BatchNorm2d(64), torch.nn.ReLU(inplace=True), torch.nn.MaxPool2d(3, 2, 1)]
        inputs = 64
        for stage, blocks in enumerate(self.BLOCKS[body]):
            for block in range(blocks):
                outputs = 64 << stage
                layers.append(Block(inputs, outputs, 2 if block == 0 and stage > 0 else 1))
                inputs = outputs
        self.body = torch.nn.Sequential(*layers)
        self.head = torch.nn.Sequential(
            torch.nn.BatchNorm1d(1024), torch.nn.Dropout(0.25), torch.nn.Linear(1024, 512), torch.nn.ReLU(),
            torch.nn.BatchNorm1d(512), torch.nn.Dropout(0.5), torch.nn.Linear(512, classes))

    def forward(self, x):
        maps = self.body(x)
        return self.head(torch.cat([maps.amax((2, 3)), maps.mean((2, 3))], 1))


def torch_times(body, size, batch, steps, channels_last, fused):
    """The times of a step."""
    network = Classifier(body, 5).train()
    pictures = torch.randn(batch, 3, size, size)
    if channels_last:
        network, pictures = (x.to(memory_format=torch.channels_last) for x in (network, pictures))
    targets = torch.arange(batch) % 5
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5, betas=(0.9, 0.99), weight_decay=0.01, fused=fused)

    def step():
        torch.nn.functional.cross_entropy(network(pictures), targets).backward()
        optimizer.step()
        optimizer.zero_grad()

    return times_of(step, steps)


def times_of(step, steps):
    """Milliseconds of a step: the median by a clock, and the mean of the processor."""
    step()
    step()
    times, busy = [], time.process_time()
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times), 1e3 * (time.process_time() - busy) / steps


def detector_times(kind, steps, channels_last, expected):
    """The times of a step of a detector, whose first loss is known."""
    import detector_steps_in_pytorch as detectors

    step = {"ssd": detectors.ssd_step, "faster-rcnn": detectors.faster_rcnn_step}[kind](channels_last)
    loss = step()
    if abs(loss - expected) > 1e-3 * expected:
        raise SystemExit(f"{kind}: the first loss is {loss} in PyTorch, and {expected} here")
    return times_of(step, steps)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--step", required=True, help="the example training_step")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--steps", type=int, default=6)
    arguments.add_argument("--cases", nargs="*", default=["resnet18 64 8", "resnet18 64 32", "resnet34 224 8"])
    arguments.add_argument("--threads", type=int, default=2)
    arguments = arguments.parse_args()
    torch.set_num_threads(arguments.threads)
    environment = dict(os.environ, RAYON_NUM_THREADS=str(arguments.threads))
    for case in arguments.cases:
        kind, *numbers = case.split()
        ours, theirs = [], {}
        for _ in range(arguments.rounds):
            command = [arguments.step, *case.split(), str(arguments.steps)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
            ours.append([float(re.search(what + r" ([0-9.]+)", printed)[1]) for what in ["step: median", "processor: mean"]])
            if numbers:
                size, batch = map(int, numbers)
                times = {
                    "plain": torch_times(kind, size, batch, arguments.steps, False, False),
                    "channels last, fused": torch_times(kind, size, batch, arguments.steps, True, True),
                }
            else:
                loss = float(re.search(r"loss: ([0-9.]+)", printed)[1])
                ways = [("plain", False), ("channels last", True)]
                times = {name: detector_times(kind, arguments.steps, channels_last, loss) for name, channels_last in ways}
            for name, of_step in times.items():
                theirs.setdefault(name, []).append(of_step)
        for index, kind in enumerate(["clock", "processor"]):
            us = statistics.median(turn[index] for turn in ours)
            for name, turns in theirs.items():
                them = statistics.median(turn[index] for turn in turns)
                text = f"{case}, {kind}: {us:.1f} ms; PyTorch {torch.__version__} ({name}) {them:.1f} ms; ratio {them / us:.2f}"
                print(text, flush=True)


if __name__ == "__main__":
    main()
