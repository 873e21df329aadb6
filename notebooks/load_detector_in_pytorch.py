"""Load a trained Faster R-CNN in PyTorch under Detectron2's names, and compare its detections with those of `time-traveler`.

    pip install torch numpy pillow pyyaml
    time-traveler train --kind faster-rcnn --data shapes --out model --set opts="..."
    python notebooks/load_detector_in_pytorch.py model shapes/val --time-traveler target/release/time-traveler

The network is written here in plain PyTorch: `load_state_dict` is strict, so that a tensor that Detectron2's modules lack or need is an
error. Pictures need the size that the configuration resizes to, so that nothing is resized.
"""

import argparse
import json
import math
import subprocess
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from torch import nn
from torch.nn import functional

PICTURES = 4
PIXELS, SCORES = 0.05, 1e-3
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
LARGEST = math.log(1000 / 16)


class FrozenBatchNorm2d(nn.Module):
    def __init__(self, channels):
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.zeros(channels))

    def forward(self, x):
        return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=1e-5)


class Conv2d(nn.Conv2d):
    """A convolution whose normalization is inside of it."""

    def __init__(self, inputs, outputs, side, stride, norm):
        super().__init__(inputs, outputs, side, stride, side // 2, bias=False)
        self.norm = norm(outputs)

    def forward(self, x):
        return self.norm(super().forward(x))


class Block(nn.Module):
    def __init__(self, inputs, inner, outputs, stride, stride_in_1x1, norm):
        super().__init__()
        if inner is None:
            sides, widths, strides = (3, 3), (inputs, outputs, outputs), (stride, 1)
        else:
            strides = (stride, 1, 1) if stride_in_1x1 else (1, stride, 1)
            sides, widths = (1, 3, 1), (inputs, inner, inner, outputs)
        self.shortcut = Conv2d(inputs, outputs, 1, stride, norm) if inputs != outputs else None
        for index, (side, step) in enumerate(zip(sides, strides)):
            setattr(self, f"conv{index + 1}", Conv2d(widths[index], widths[index + 1], side, step, norm))
        self.count = len(sides)

    def forward(self, x):
        y = x
        for index in range(1, self.count + 1):
            y = getattr(self, f"conv{index}")(y if index == 1 else torch.relu(y))
        return torch.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class Stem(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.conv1 = Conv2d(3, 64, 7, 2, norm)

    def forward(self, x):
        return functional.max_pool2d(torch.relu(self.conv1(x)), 3, 2, 1)


class ResNet(nn.Module):
    def __init__(self, config):
        super().__init__()
        resnets, freeze_at = config["RESNETS"], config["BACKBONE"]["FREEZE_AT"]
        is_basic = resnets["DEPTH"] < 50

        # What Detectron2 freezes has no batches to count.
        def norm_of(stage):
            return FrozenBatchNorm2d if resnets["NORM"] == "FrozenBN" or stage <= freeze_at else nn.BatchNorm2d

        self.stem = Stem(norm_of(1))
        inputs, outputs = 64, resnets["RES2_OUT_CHANNELS"]
        for stage, blocks in enumerate(BLOCKS[resnets["DEPTH"]], 2):
            layers = []
            for block in range(blocks):
                inner = None if is_basic else 64 << (stage - 2)
                stride = 2 if block == 0 and stage > 2 else 1
                layers.append(Block(inputs, inner, outputs, stride, resnets["STRIDE_IN_1X1"], norm_of(stage)))
                inputs = outputs
            setattr(self, f"res{stage}", nn.Sequential(*layers))
            outputs *= 2

    def forward(self, x):
        x, maps = self.stem(x), []
        for stage in range(2, 6):
            x = getattr(self, f"res{stage}")(x)
            maps.append(x)
        return maps


class Pyramid(nn.Module):
    def __init__(self, config):
        super().__init__()
        channels = config["FPN"]["OUT_CHANNELS"]
        self.bottom_up = ResNet(config)
        for stage in range(2, 6):
            inputs = config["RESNETS"]["RES2_OUT_CHANNELS"] << (stage - 2)
            setattr(self, f"fpn_lateral{stage}", nn.Conv2d(inputs, channels, 1))
            setattr(self, f"fpn_output{stage}", nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x):
        levels, above = [], 0
        for stage, maps in reversed(list(enumerate(self.bottom_up(x), 2))):
            above = getattr(self, f"fpn_lateral{stage}")(maps) + above
            levels.insert(0, getattr(self, f"fpn_output{stage}")(above))
            above = functional.interpolate(above, scale_factor=2)
        return levels + [levels[-1][:, :, ::2, ::2]]


class FasterRCNN(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        channels, head = config["FPN"]["OUT_CHANNELS"], config["ROI_BOX_HEAD"]
        classes, generator = config["ROI_HEADS"]["NUM_CLASSES"], config["ANCHOR_GENERATOR"]
        shapes = len(generator["SIZES"][0]) * len(generator["ASPECT_RATIOS"][0])
        self.backbone = Pyramid(config)
        rpn_head = nn.ModuleDict({
            "conv": nn.Conv2d(channels, channels, 3, padding=1),
            "objectness_logits": nn.Conv2d(channels, shapes, 1),
            "anchor_deltas": nn.Conv2d(channels, 4 * shapes, 1),
        })
        self.proposal_generator = nn.ModuleDict({"rpn_head": rpn_head})
        widths = [49 * channels] + [head["FC_DIM"]] * head["NUM_FC"]
        box_head = {f"fc{index + 1}": nn.Linear(widths[index], widths[index + 1]) for index in range(head["NUM_FC"])}
        predictor = {"cls_score": nn.Linear(widths[-1], classes + 1), "bbox_pred": nn.Linear(widths[-1], 4 * classes)}
        self.roi_heads = nn.ModuleDict({"box_head": nn.ModuleDict(box_head), "box_predictor": nn.ModuleDict(predictor)})

    def regions(self, levels, side):
        rpn, head, generator = self.config["RPN"], self.proposal_generator["rpn_head"], self.config["ANCHOR_GENERATOR"]
        sizes = generator["SIZES"] if len(generator["SIZES"]) > 1 else generator["SIZES"] * len(levels)
        boxes, logits = [], []
        for level, maps in enumerate(levels):
            x = torch.relu(head["conv"](maps))
            scores = head["objectness_logits"](x)[0].permute(1, 2, 0).flatten()
            deltas = head["anchor_deltas"](x)[0].permute(1, 2, 0).reshape(-1, 4)
            decoded = decode(deltas, anchors(sizes[level], generator, 4 << level, maps.shape[2:]), rpn["BBOX_REG_WEIGHTS"])
            best = scores.argsort(descending=True, stable=True)[: rpn["PRE_NMS_TOPK_TEST"]]
            of_level, scores = decoded[best].clamp(0, side), scores[best]
            filled = (of_level[:, 2:] > of_level[:, :2]).all(1)
            of_level, scores = of_level[filled], scores[filled]
            kept = suppressed(of_level, scores, rpn["NMS_THRESH"])
            boxes.append(of_level[kept])
            logits.append(scores[kept])
        best = torch.cat(logits).argsort(descending=True, stable=True)[: rpn["POST_NMS_TOPK_TEST"]]
        return torch.cat(boxes)[best]

    def forward(self, picture):
        """A picture in BGR, `(3, side, side)`: boxes, scores and classes, best first."""
        side, heads = picture.shape[-1], self.config["ROI_HEADS"]
        mean, std = (torch.tensor(self.config[name])[:, None, None] for name in ("PIXEL_MEAN", "PIXEL_STD"))
        levels = self.backbone(((picture - mean) / std)[None])
        regions = self.regions(levels, side)
        roots = ((regions[:, 2] - regions[:, 0]) * (regions[:, 3] - regions[:, 1])).sqrt()
        of_regions = (4 + (roots / 224 + 1e-8).log2()).floor().clamp(2, 5).int() - 2
        x = torch.stack([cut(levels[level][0], box / (4 << level)) for box, level in zip(regions, of_regions.tolist())]).flatten(1)
        for layer in self.roi_heads["box_head"].values():
            x = torch.relu(layer(x))
        predictor = self.roi_heads["box_predictor"]
        scores = predictor["cls_score"](x).softmax(1)[:, :-1]
        deltas = predictor["bbox_pred"](x).reshape(len(x), -1, 4)
        found = []
        for number in range(scores.shape[1]):
            boxes = decode(deltas[:, number], regions, self.config["ROI_BOX_HEAD"]["BBOX_REG_WEIGHTS"]).clamp(0, side)
            sure = scores[:, number] > heads["SCORE_THRESH_TEST"]
            boxes, of_class = boxes[sure], scores[sure, number]
            found += [(of_class[one].item(), number, boxes[one].numpy()) for one in suppressed(boxes, of_class, heads["NMS_THRESH_TEST"])]
        return sorted(found, key=lambda one: -one[0])[:100]


def anchors(sizes, generator, stride, grid):
    ratios = torch.tensor(generator["ASPECT_RATIOS"][0], dtype=torch.float64)
    widths = torch.cat([(size * size / ratios).sqrt() for size in sizes])
    ratios = ratios.repeat(len(sizes))
    shapes = torch.stack([-widths, -widths * ratios, widths, widths * ratios], 1) / 2
    rows, columns = ((torch.arange(count) + generator["OFFSET"]) * stride for count in grid)
    rows, columns = torch.meshgrid(rows, columns, indexing="ij")
    return (torch.stack([columns, rows, columns, rows], -1).reshape(-1, 1, 4) + shapes).reshape(-1, 4).float()


def decode(deltas, boxes, weights):
    sides = boxes[:, 2:] - boxes[:, :2]
    deltas = deltas / torch.tensor(weights, dtype=torch.float32)
    centres = deltas[:, :2] * sides + boxes[:, :2] + 0.5 * sides
    sides = deltas[:, 2:].clamp(max=LARGEST).exp() * sides
    return torch.cat([centres - 0.5 * sides, centres + 0.5 * sides], 1)


def suppressed(boxes, scores, overlap):
    kept, order = [], scores.argsort(descending=True, stable=True)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    while len(order):
        first, order = order[0], order[1:]
        kept.append(first.item())
        low, high = boxes[order, :2].maximum(boxes[first, :2]), boxes[order, 2:].minimum(boxes[first, 2:])
        shared = (high - low).clamp(min=0).prod(1)
        order = order[shared / (areas[order] + areas[first] - shared) <= overlap]
    return kept


def cut(maps, box):
    """ROIAlign, aligned, with as many samples for a cell as it is pixels long: `(channels, 7, 7)`."""
    box = box - 0.5
    counts = [max(1, math.ceil(((box[axis + 2] - box[axis]) / 7).item())) for axis in (0, 1)]

    def weights(start, end, count, size):
        places = start + (end - start) / 7 * ((torch.arange(7 * count) + 0.5) / count)
        outside = (places < -1) | (places > size)
        places = places.clamp(0, size - 1)
        low = places.floor().long().clamp(max=size - 1)
        share = places - low
        matrix = torch.zeros(7 * count, size)
        rows = torch.arange(7 * count)
        matrix[rows, low] += 1 - share
        matrix[rows, (low + 1).clamp(max=size - 1)] += share
        matrix[outside] = 0
        return matrix.reshape(7, count, size).mean(1)

    across, down = (weights(box[axis], box[axis + 2], counts[axis], maps.shape[2 - axis]) for axis in (0, 1))
    return torch.einsum("yh,chw,xw->cyx", down, maps, across)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--time-traveler", default="time-traveler")
    arguments = parser.parse_args()
    whole = yaml.safe_load((arguments.model / "config.yaml").read_text())
    network = FasterRCNN(whole["MODEL"]).eval()
    network.load_state_dict(torch.load(arguments.model / "model.pth", weights_only=True), strict=True)
    side, threshold = whole["INPUT"]["MIN_SIZE_TEST"], whole["MODEL"]["ROI_HEADS"]["SCORE_THRESH_TEST"]
    files = sorted(file for file in arguments.pictures.iterdir() if file.suffix in (".jpg", ".png"))[:PICTURES]
    compared = 0
    for file in files:
        picture = np.asarray(Image.open(file).convert("RGB"))
        if picture.shape != (side, side, 3) or side % 32:
            raise SystemExit(f"{file} has {picture.shape[1]} x {picture.shape[0]} pixels: {side} x {side}, a multiple of 32, would work")
        with torch.no_grad():
            found = network(torch.from_numpy(picture[:, :, ::-1].transpose(2, 0, 1).astype(np.float32)))
        command = [arguments.time_traveler, "detect", str(file), "--model", str(arguments.model), "--threshold", str(threshold), "--json"]
        others = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["objects"]
        if len(found) != len(others):
            raise SystemExit(f"{file}: {len(found)} detections here and {len(others)} there")
        # Scores that are nearly equal may trade places.
        for score, number, box in found:
            same = [one for one in others if one["class"] == number and abs(one["score"] - score) <= SCORES]
            if not any(np.abs(np.array(one["box"]) - box).max() <= PIXELS for one in same):
                raise SystemExit(f"{file}: class {number} with {score:.4f} at {box} is not among {others}")
            compared += 1
    print(f"{compared} detections in {len(files)} pictures are the same, within {PIXELS} pixels and {SCORES} of the score")


if __name__ == "__main__":
    main()
