"""Compare a step of training a classifier with PyTorch: forward, backward and AdamW, in turns, on two threads.

    pip install torch
    cargo build --release -p vision --example training_step
    python notebooks/compare_training_with_pytorch.py --step target/release/examples/training_step
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
    """Milliseconds of each step."""
    network = Classifier(body, 5).train()
    pictures = torch.randn(batch, 3, size, size)
    if channels_last:
        network, pictures = (x.to(memory_format=torch.channels_last) for x in (network, pictures))
    targets = torch.arange(batch) % 5
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5, betas=(0.9, 0.99), weight_decay=0.01, fused=fused)
    times = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        torch.nn.functional.cross_entropy(network(pictures), targets).backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(1e3 * (time.perf_counter() - start))
    return times[2:]


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
        body, size, batch = case.split()
        ours, theirs = [], {}
        for _ in range(arguments.rounds):
            command = [arguments.step, body, size, batch, str(arguments.steps)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
            ours.append(float(re.search(r"step: median ([0-9.]+)", printed)[1]))
            for name, channels_last, fused in [("plain", False, False), ("channels last, fused", True, True)]:
                times = torch_times(body, int(size), int(batch), arguments.steps, channels_last, fused)
                theirs.setdefault(name, []).append(statistics.median(times))
        us = statistics.median(ours)
        for name, times in theirs.items():
            them = statistics.median(times)
            print(f"{case}: {us:.1f} ms; PyTorch {torch.__version__} ({name}) {them:.1f} ms; ratio {them / us:.2f}", flush=True)


if __name__ == "__main__":
    main()
