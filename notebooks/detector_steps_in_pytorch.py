"""Steps of training of the small detectors of the tests, in plain PyTorch: forward, losses, backward and update.

`compare_training_with_pytorch.py` times them. Weights, pictures and losses are those of `crates/vision/tests/golden`. What is sampled are
the first anchors and regions, and not random ones. `torchvision` has the suppression and the regions cut out of maps.
"""

import json
import math

import numpy as np
import torch
import yaml
from PIL import Image
from torch.nn import functional
from torchvision.ops import nms, roi_align

from compare_object_detectors import GOLDEN, uniform
from load_detector_in_pytorch import FasterRCNN, anchors, decode
from ssd_in_pytorch import Ssd

RATE = 1e-5


def made_up(folder):
    """The made-up weights of a list of tensors."""
    weights = {}
    for tensor in json.loads((GOLDEN / folder / "tensors.json").read_text()):
        values = uniform(tensor["name"], int(np.prod(tensor["shape"]))) * tensor["scale"] + tensor["shift"]
        weights[tensor["name"]] = values.astype(np.float32).reshape(tensor["shape"])
    return weights


def picture(name):
    return np.asarray(Image.open(GOLDEN / name).convert("RGB"), np.float32)


def overlaps(one, other):
    """Intersection over union of all pairs."""
    sides = (torch.minimum(one[:, None, 2:], other[None, :, 2:]) - torch.maximum(one[:, None, :2], other[None, :, :2])).clamp(min=0)
    shared, areas = sides.prod(2), [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (one, other)]
    return shared / (areas[0][:, None] + areas[1][None] - shared)


def encode(boxes, froms, scales):
    """Offsets of boxes: of centres by the sides, and the logarithms of sides."""
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    from_centres, from_sides = (froms[:, :2] + froms[:, 2:]) / 2, froms[:, 2:] - froms[:, :2]
    return torch.cat([(centres - from_centres) / from_sides, (sides / from_sides).log()], 1) * torch.tensor(scales)


def step_of(network, optimizer, loss):
    """A call that does a step, and returns the loss before it."""

    def step():
        value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        return value.item()

    return step


# SSD

SCALES = [10.0, 10.0, 5.0, 5.0]


def ssd_step(is_channels_last):
    """A batch of two pictures. Targets are made once, as the trainer here makes them ahead."""
    network = Ssd(made_up("ssd/small")).train()
    answer = json.loads((GOLDEN / "ssd/train/bn_train/train.json").read_text())
    pictures = torch.from_numpy(np.stack([picture(f"ssd/train/{image['image']}") for image in answer["batch"]]))
    pictures = (pictures * (2 / 255) - 1).permute(0, 3, 1, 2).contiguous()
    if is_channels_last:
        network, pictures = (x.to(memory_format=torch.channels_last) for x in (network, pictures))
    places = torch.from_numpy(np.load(GOLDEN / "ssd/small/anchors.npy"))
    classes, boxes = zip(*[of_objects(torch.tensor(image["boxes"]), torch.tensor(image["classes"]), places) for image in answer["batch"]])
    classes, boxes = torch.stack(classes), torch.stack(boxes)
    decayed = [value for name, value in network.named_parameters() if name.endswith("/weights")]
    others = [value for name, value in network.named_parameters() if not name.endswith("/weights")]
    groups = [{"params": decayed, "weight_decay": 4e-5}, {"params": others}]
    optimizer = torch.optim.RMSprop(groups, lr=RATE, alpha=0.9, momentum=0.9, eps=1.0)

    def loss():
        encodings, logits = network(pictures)
        wanted, is_object = functional.one_hot(classes, network.columns).float(), classes > 0
        of_boxes = functional.smooth_l1_loss(encodings, boxes, reduction="none").sum(2) * is_object
        of_classes = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(2)
        counts = torch.stack([mined(*image, places) for image in zip(encodings.detach(), of_classes.detach(), is_object)])
        return ((of_boxes + of_classes) * counts).sum() / is_object.sum().clamp(min=1)

    return step_of(network, optimizer, loss)


def of_objects(objects, labels, places):
    """The class of each anchor, 0 for the background, and its encoding."""
    shared = overlaps(objects, places)
    best, of = shared.max(0)
    of[best < 0.5] = -1
    for index in reversed(range(len(objects))):
        of[shared[index].argmax()] = index
    classes = torch.where(of >= 0, labels[of.clamp(min=0)], 0)
    return classes, torch.where(of[:, None] >= 0, encode(objects[of.clamp(min=0)], places, SCALES), 0.0)


def mined(encodings, losses, is_object, places):
    """1 for the anchors that count: the hardest that are not alike, with three of the background for each object."""
    centres, sides = (places[:, :2] + places[:, 2:]) / 2, places[:, 2:] - places[:, :2]
    centres, sides = encodings[:, :2] / 10 * sides + centres, (encodings[:, 2:] / 5).exp() * sides
    chosen = nms(torch.cat([centres - sides / 2, centres + sides / 2], 1), losses, 0.99)
    objects = is_object[chosen]
    least = max(3 * int(objects.sum()), 3)
    counts = torch.zeros(len(losses))
    counts[chosen[objects | ((~objects).cumsum(0) <= least)]] = 1
    return counts


# Faster R-CNN


def faster_rcnn_step(is_channels_last):
    """A batch of two pictures, as large as they are."""
    config = yaml.safe_load((GOLDEN / "faster_rcnn/small/config.yaml").read_text())["MODEL"]
    network = FasterRCNN(config)
    network.load_state_dict({name: torch.from_numpy(values) for name, values in made_up("faster_rcnn/small").items()})
    for name, value in network.named_parameters():
        value.requires_grad = ".stem." not in name and ".res2." not in name
    coco = json.loads((GOLDEN / "faster_rcnn/train/train.json").read_text())
    pixels, objects = [], []
    for image in coco["images"]:
        # Blue first.
        pixels.append(picture(f"faster_rcnn/train/{image['file_name']}")[:, :, ::-1] - np.float32(config["PIXEL_MEAN"]))
        of_image = [annotation for annotation in coco["annotations"] if annotation["image_id"] == image["id"]]
        boxes = torch.tensor([annotation["bbox"] for annotation in of_image], dtype=torch.float32)
        boxes[:, 2:] += boxes[:, :2]
        objects.append((boxes, torch.tensor([annotation["category_id"] - 1 for annotation in of_image])))
    sizes = [values.shape[:2] for values in pixels]
    height, width = (-(-max(size[axis] for size in sizes) // 32) * 32 for axis in (0, 1))
    pictures = torch.zeros(len(pixels), 3, height, width)
    for index, values in enumerate(pixels):
        pictures[index, :, : values.shape[0], : values.shape[1]] = torch.from_numpy(values.transpose(2, 0, 1).copy())
    if is_channels_last:
        network, pictures = (x.to(memory_format=torch.channels_last) for x in (network, pictures))
    trained = [value for value in network.parameters() if value.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=RATE, momentum=0.9, weight_decay=1e-4)
    return step_of(network, optimizer, lambda: faster_rcnn_loss(network, config, pictures, sizes, objects))


def first(is_object, is_background, count, share):
    """The first objects and the first of the background."""
    chosen = is_object.nonzero()[: int(count * share), 0]
    return chosen, is_background.nonzero()[: count - len(chosen), 0]


def faster_rcnn_loss(network, config, pictures, sizes, objects):
    rpn, heads, generator = config["RPN"], config["ROI_HEADS"], config["ANCHOR_GENERATOR"]
    levels, head = network.backbone(pictures), network.proposal_generator["rpn_head"]
    images = len(pictures)
    places, logits, moves = [], [], []
    for level, maps in enumerate(levels):
        x = torch.relu(head["conv"](maps))
        logits.append(head["objectness_logits"](x).permute(0, 2, 3, 1).reshape(images, -1))
        moves.append(head["anchor_deltas"](x).permute(0, 2, 3, 1).reshape(images, -1, 4))
        places.append(anchors(generator["SIZES"][level][0], generator, 4 << level, maps.shape[2:]))
    regions = [regions_of(config, [x[index].detach() for x in logits], [x[index].detach() for x in moves], places, sizes[index]) for index in range(images)]

    places, logits, moves = torch.cat(places), torch.cat(logits, 1), torch.cat(moves, 1)
    count, losses = rpn["BATCH_SIZE_PER_IMAGE"], []
    for index, (boxes, _) in enumerate(objects):
        shared = overlaps(boxes, places)
        best, of = shared.max(0)
        is_object = (best >= rpn["IOU_THRESHOLDS"][1]) | (shared == shared.max(1, keepdim=True).values).any(0)
        chosen, others = first(is_object, (best < rpn["IOU_THRESHOLDS"][0]) & ~is_object, count, rpn["POSITIVE_FRACTION"])
        both = torch.cat([chosen, others])
        wanted = (torch.arange(len(both)) < len(chosen)).float()
        losses.append(functional.binary_cross_entropy_with_logits(logits[index, both], wanted, reduction="sum") / (count * images))
        offsets = encode(boxes[of[chosen]], places[chosen], rpn["BBOX_REG_WEIGHTS"])
        losses.append((moves[index, chosen] - offsets).abs().sum() / (count * images))

    classes, cut, labels, offsets = heads["NUM_CLASSES"], [], [], []
    for index, (boxes, of_objects) in enumerate(objects):
        found = torch.cat([regions[index], boxes])
        best, of = overlaps(boxes, found).max(0)
        label = torch.where(best >= heads["IOU_THRESHOLDS"][0], of_objects[of], classes)
        both = torch.cat(first(label < classes, label == classes, heads["BATCH_SIZE_PER_IMAGE"], heads["POSITIVE_FRACTION"]))
        cut.append(torch.cat([torch.full((len(both), 1), float(index)), found[both]], 1))
        labels.append(label[both])
        offsets.append(encode(boxes[of[both]], found[both], config["ROI_BOX_HEAD"]["BBOX_REG_WEIGHTS"]))
    cut, labels, offsets = torch.cat(cut), torch.cat(labels), torch.cat(offsets)
    roots = ((cut[:, 3] - cut[:, 1]) * (cut[:, 4] - cut[:, 2])).sqrt()
    of_level = (4 + (roots / 224 + 1e-8).log2()).floor().clamp(2, 5) - 2
    x = torch.zeros(len(cut), levels[0].shape[1], 7, 7)
    for level in range(4):
        rows = (of_level == level).nonzero()[:, 0]
        x = x.index_put((rows,), roi_align(levels[level], cut[rows], 7, 1 / (4 << level), 0, True))
    x = x.flatten(1)
    for layer in network.roi_heads["box_head"].values():
        x = torch.relu(layer(x))
    predictor = network.roi_heads["box_predictor"]
    losses.append(functional.cross_entropy(predictor["cls_score"](x), labels))
    rows = (labels < classes).nonzero()[:, 0]
    moves = predictor["bbox_pred"](x).reshape(len(x), classes, 4)[rows, labels[rows]]
    losses.append((moves - offsets[rows]).abs().sum() / len(labels))
    return sum(losses)


def regions_of(config, logits, moves, places, size):
    """The regions of a picture, best first."""
    rpn = config["RPN"]
    boxes, scores = [], []
    for of_level, offsets, anchored in zip(logits, moves, places):
        best = of_level.argsort(descending=True, stable=True)[: rpn["PRE_NMS_TOPK_TRAIN"]]
        found = decode(offsets[best], anchored[best], rpn["BBOX_REG_WEIGHTS"])
        found = torch.stack([found[:, axis].clamp(0, size[1 - axis % 2]) for axis in range(4)], 1)
        filled = (found[:, 2:] > found[:, :2]).all(1)
        found, of_level = found[filled], of_level[best][filled]
        kept = nms(found, of_level, rpn["NMS_THRESH"])
        boxes.append(found[kept])
        scores.append(of_level[kept])
    best = torch.cat(scores).argsort(descending=True, stable=True)[: rpn["POST_NMS_TOPK_TRAIN"]]
    return torch.cat(boxes)[best]
