"""Load a trained classifier in PyTorch, from both of its files, and compare its answers with those of `time-traveler`.

    pip install torch safetensors numpy pillow
    time-traveler dataset make pets --format pets --classes 4 --pictures 80
    time-traveler train --data pets --out model --set model_arch=resnet18 --set image_size=64 --set batch_size=16 --set epochs=3 --set pth=true
    python notebooks/load_in_pytorch.py model --time-traveler target/release/time-traveler

The network is written here in plain PyTorch, under the names of fastai's checkpoints. The pictures are noise of the network's own size,
so that nothing is resized. What is compared are logits without their mean, as probabilities tell no more of them.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

PICTURES = 4
TOLERANCE = 1e-4
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))) + shortcut)


class ConcatPool(nn.Module):
    def forward(self, maps):
        return torch.cat([maps.amax((2, 3)), maps.mean((2, 3))], 1)


def network(body, classes):
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stage, blocks in enumerate(BLOCKS[body]):
        outputs = 64 << stage
        strides = [1 if stage == 0 else 2] + [1] * (blocks - 1)
        layers.append(nn.Sequential(*(BasicBlock(inputs if block == 0 else outputs, outputs, stride) for block, stride in enumerate(strides))))
        inputs = outputs
    head = nn.Sequential(ConcatPool(), nn.Flatten(), nn.BatchNorm1d(2 * inputs), nn.Dropout(0.25), nn.Linear(2 * inputs, 512), nn.ReLU(),
                         nn.BatchNorm1d(512), nn.Dropout(0.5), nn.Linear(512, classes))
    return nn.Sequential(nn.Sequential(*layers), head).eval()


def centred(logits):
    return logits - logits.mean(-1, keepdims=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("model", type=Path, help="the folder that `train` has written, with pth=true")
    arguments.add_argument("--time-traveler", required=True)
    arguments = arguments.parse_args()
    description = json.loads((arguments.model / "classes.json").read_text())
    classes, size = description["classes"], description["image_size"]
    [pth] = arguments.model.glob("*.pth")
    generator = np.random.default_rng(1)
    pictures = generator.integers(0, 256, (PICTURES, size, size, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{index}.png" for index in range(PICTURES)]
        for file, picture in zip(files, pictures):
            Image.fromarray(picture).save(file)
        command = [arguments.time_traveler, "classify", *files, "--model", arguments.model, "--top", str(len(classes)), "--json"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    answers = [{entry["class"]: entry["confidence"] for entry in json.loads(line)["top"]} for line in printed.splitlines()]
    expected = centred(np.log(np.array([[answer[name] for name in classes] for answer in answers])))

    mean, deviation = (np.array(description[name], dtype=np.float32) for name in ["mean", "std"])
    inputs = torch.from_numpy((pictures.astype(np.float32) / 255 - mean) / deviation).permute(0, 3, 1, 2)
    loaded = {pth.name: torch.load(pth, weights_only=True), "model.safetensors": load_file(arguments.model / "model.safetensors")}
    for name, state in loaded.items():
        model = network(pth.stem, len(classes))
        model.load_state_dict(state)
        with torch.inference_mode():
            found = centred(model(inputs).double().numpy())
        difference = np.abs(found - expected).max()
        print(f"{name}: {len(state)} tensors, logits up to {np.abs(expected).max():.2f}, at most {difference:.1e} apart")
        assert difference <= TOLERANCE, f"more than {TOLERANCE}"


if __name__ == "__main__":
    main()
