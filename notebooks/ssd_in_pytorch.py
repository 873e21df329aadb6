"""An SSD on MobileNetV2 in plain PyTorch, under the names of TensorFlow's Object Detection API: for comparisons of speed.

`compare_object_detectors.py` exports it to ONNX, and `compare_training_with_pytorch.py` trains it.
"""

import torch
from torch.nn import functional

BACKBONE = "FeatureExtractor/MobilenetV2/"
STRIDES = [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1]
# The block whose expanded maps are the first level.
FIRST_LEVEL = 13


class Ssd(torch.nn.Module):
    """With TensorFlow's variables, as arrays by name."""

    def __init__(self, variables):
        super().__init__()
        for name, values in variables.items():
            values = torch.tensor(values)
            if name.endswith("/depthwise_weights"):
                values = values.permute(2, 3, 0, 1).contiguous()
            elif name.endswith("/weights"):
                values = values.permute(3, 2, 0, 1).contiguous()
            if "/moving_" in name:
                self.register_buffer(name, values)
            else:
                self.register_parameter(name, torch.nn.Parameter(values))
        extra = [name.split("/")[2] for name in variables if name.startswith(BACKBONE + "layer_19_") and name.endswith("/weights")]
        # layer_19_2_Conv2d_3_3x3_s2_256: of a level, the convolution of one pixel comes first.
        self.extra = sorted(extra, key=lambda name: (name.split("_")[4], name.split("_")[2]))
        classes = variables["BoxPredictor_1/ClassPredictor/biases"].shape[0] * 4
        self.columns = classes // variables["BoxPredictor_1/BoxEncodingPredictor/biases"].shape[0]

    def conv(self, x, weight, stride=1, groups=1):
        """TensorFlow's padding: of an odd number of zeros, the smaller half comes first."""
        side, pads = weight.shape[-1], []
        for length in [x.shape[3], x.shape[2]]:
            zeros = max((-(-length // stride) - 1) * stride + side - length, 0)
            pads += [zeros // 2, zeros - zeros // 2]
        if pads[0] != pads[1] or pads[2] != pads[3]:
            return functional.conv2d(functional.pad(x, pads), weight, stride=stride, groups=groups)
        return functional.conv2d(x, weight, stride=stride, padding=(pads[2], pads[0]), groups=groups)

    def layer(self, x, name, stride=1, is_linear=False):
        name = BACKBONE + name
        is_depthwise = hasattr(self, name + "/depthwise_weights")
        weight = getattr(self, name + ("/depthwise_weights" if is_depthwise else "/weights"))
        x = self.conv(x, weight, stride, weight.shape[0] if is_depthwise else 1)
        names = ["moving_mean", "moving_variance", "gamma", "beta"]
        values = [getattr(self, f"{name}/BatchNorm/{value}") for value in names]
        x = functional.batch_norm(x, *values, training=self.training, momentum=3e-4, eps=1e-3)
        return x if is_linear else functional.relu6(x)

    def levels(self, x):
        x, levels = self.layer(x, "Conv", 2), []
        for index, stride in enumerate(STRIDES):
            name = f"expanded_conv_{index}" if index else "expanded_conv"
            y = self.layer(x, name + "/expand") if index else x
            if index == FIRST_LEVEL:
                levels.append(y)
            y = self.layer(self.layer(y, name + "/depthwise", stride), name + "/project", is_linear=True)
            x = x + y if stride == 1 and x.shape[1] == y.shape[1] else y
        x = self.layer(x, "Conv_1")
        levels.append(x)
        for name in self.extra:
            x = self.layer(x, name, 2 if "_s2_" in name else 1)
            if "_s2_" in name:
                levels.append(x)
        return levels

    def forward(self, pictures):
        """Pictures `(images, 3, height, width)` of -1 to 1: encodings of boxes, and logits of the background and the classes."""
        boxes, classes = [], []
        for level, maps in enumerate(self.levels(pictures)):
            for name, values, found in [("BoxEncodingPredictor", 4, boxes), ("ClassPredictor", self.columns, classes)]:
                weight, bias = (getattr(self, f"BoxPredictor_{level}/{name}/{kind}") for kind in ["weights", "biases"])
                y = functional.conv2d(maps, weight, bias, padding=weight.shape[-1] // 2)
                found.append(y.permute(0, 2, 3, 1).reshape(len(y), -1, values))
        return torch.cat(boxes, 1), torch.cat(classes, 1)
