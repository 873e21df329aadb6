"""Runs the exported files of a folder by LiteRT and ONNX Runtime, and compares their answers with those of the network."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter

folder, golden = map(Path, sys.argv[1:])


def read(name, columns):
    return np.fromfile(folder / f"{name}.f32", np.float32).reshape(-1, columns)


def litert(name, value):
    interpreter = Interpreter(str(folder / name))
    interpreter.allocate_tensors()
    (taken,) = interpreter.get_input_details()
    assert taken["name"] == "normalized_input_image_tensor", taken
    if taken["dtype"] == np.uint8:
        # The picture itself.
        value = np.round((value + 1) * 127.5).astype(np.uint8)
    interpreter.set_tensor(taken["index"], value)
    interpreter.invoke()
    answers = []
    for answer in interpreter.get_output_details():
        values = interpreter.get_tensor(answer["index"])
        scale, zero = answer["quantization"]
        answers.append((values.astype(np.float32) - zero) * np.float32(scale) if scale else values)
    return answers


def onnx(name, value):
    session = onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
    return session.run(None, {"normalized_input_image_tensor": value})


def close(what, found, expected, tolerance):
    assert found.shape == expected.shape, (what, found.shape, expected.shape)
    difference = np.abs(found - expected).max()
    print(f"{what}: {difference:.2g}")
    assert difference <= tolerance, (what, difference)


def same_detections(what, boxes, classes, scores, tolerance):
    """Boxes are clipped here. Those without an area are dropped by the network alone: the best ones are compared."""
    count = 8
    close(f"{what}, scores", scores[:count], detections[:count, 5], tolerance)
    assert (classes[:count] == detections[:count, 4]).all(), (what, classes, detections[:, 4])
    close(f"{what}, boxes", np.clip(boxes[:count], 0, 1), detections[:count, :4], tolerance)


boxes, logits = read("boxes", 4), read("logits", 6)
scores = 1 / (1 + np.exp(-logits))
detections = read("detections", 6)
picture = read("picture", 3).reshape(1, 96, 96, 3)

found = litert("raw.tflite", picture)
close("LiteRT, encodings", found[0][0], boxes, 1e-4)
close("LiteRT, scores", found[1][0], scores, 1e-4)
found_boxes, found_classes, found_scores, count = litert("detections.tflite", picture)
assert found_boxes.shape == (1, 40, 4) and count[0] > 8, (found_boxes.shape, count)
same_detections("LiteRT, detections", found_boxes[0], found_classes[0], found_scores[0], 1e-4)

# The file that TensorFlow 1.15 made of the same weights, with the options of its exporter.
found = litert("default.tflite", picture)
for index, (what, values) in enumerate(zip(["boxes", "classes", "scores", "number"], found, strict=True)):
    close(f"LiteRT, TensorFlow's {what}", values, np.load(golden / f"a_{index}.npy"), 1e-4)

found = onnx("raw.onnx", picture)
close("ONNX, encodings", found[0][0], boxes, 1e-4)
close("ONNX, scores", found[1][0], scores, 1e-4)
two = onnx("raw.onnx", np.concatenate([picture, picture[:, ::-1]]))
assert two[0].shape == (2, *boxes.shape), two[0].shape
close("ONNX, the first of two", two[1][0], scores, 1e-4)
same_detections("ONNX, detections", *onnx("detections.onnx", picture), 1e-4)

# Whole numbers of 8 bits: made-up weights have no margins that a training would have given them.
found = litert("whole.tflite", picture)
for what, values, expected, tolerance in [
    ("encodings", found[0][0], boxes, 0.1 * np.abs(boxes).max()),
    ("scores", found[1][0], scores, 0.1),
]:
    difference = np.abs(values - expected)
    print(f"whole numbers, {what}: {difference.mean():.2g}, at most {difference.max():.2g}")
    assert difference.mean() <= tolerance, (what, difference.mean(), tolerance)
found_boxes, found_classes, found_scores, count = litert("whole_detections.tflite", picture)
assert found_boxes.shape == (1, 40, 4) and count[0] > 0, (found_boxes.shape, count)
assert abs(found_scores[0, 0] - detections[0, 5]) < 0.1, (found_scores[0, 0], detections[0, 5])
