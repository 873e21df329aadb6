"""Compare the speed and the memory of `time-traveler` with those of other programs, for networks that find objects.

    pip install torch torchvision onnx onnxruntime ai-edge-litert pillow fvcore iopath omegaconf pycocotools cloudpickle
    git clone https://github.com/facebookresearch/detectron2
    cargo build --release -p time-traveler
    python notebooks/compare_object_detectors.py --time-traveler target/release/time-traveler --detectron2 detectron2 \\
        --tensorflow-python tensorflow/bin/python --object-detection-api object-detection

| network | programs |
|---|---|
| `ssd`: SSD on MobileNetV2, 300 pixels, 90 classes | TensorFlow 1.15, LiteRT, ONNX Runtime |
| `r50`, `r101`: Faster R-CNN on a ResNet with a pyramid, 800x1067 pixels, 80 and 2 classes | Detectron2 in PyTorch, ONNX Runtime |

`ssd_in_tensorflow.py` says what TensorFlow needs. Without `--tensorflow-python` or `--detectron2`, these programs are left out.
All programs have the same made-up weights, those of the tests. Their answers are compared before their times are.

TensorFlow runs a frozen graph of the Object Detection API, and `time-traveler` reads the same file. LiteRT and ONNX Runtime run the files
that `time-traveler model export` writes; ONNX Runtime also runs PyTorch's export of `ssd_in_pytorch.py`. Detectron2's compiled
operations are replaced by torchvision's. ONNX Runtime runs the whole Detectron2, by its `TracingAdapter`.

Each program has a process of its own. The programs take turns, and the median counts. Times are those of a clock, and of the processor.
Memory is the peak of a process that has loaded the network and run it three times.

A process of another program answers lines of its standard input: `{"runs": 3}` with the times of so many runs, and
`{"write": "answers.npz"}` after it has written its answers to this file.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "crates/vision/tests/golden"
DETECTIONS = ["detection_boxes", "detection_classes", "detection_scores", "num_detections"]
# The sides of the pictures: width, height.
SIZES = {"ssd": (300, 300), "r50": (1067, 800), "r101": (1067, 800)}
FOLDERS = {"ssd": "ssd/full", "r50": "faster_rcnn/r50", "r101": "faster_rcnn/r101"}


# Weights


def uniform(name, count):
    """The numbers of -1 to 1 that follow from a tensor's name, as `crates/nn/src/made_up.rs` makes them."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) & (2**64 - 1)
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(seed) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    return (z >> numpy.uint64(40)).astype(numpy.float64) / (1 << 24) * 2 - 1


def write_weights(network, file):
    """The made-up weights of the tests, in the format of safetensors."""
    header, position = {}, 0
    tensors = json.loads((GOLDEN / FOLDERS[network] / "tensors.json").read_text())
    for tensor in tensors:
        size = 4 * int(numpy.prod(tensor["shape"]))
        header[tensor["name"]] = {"dtype": "F32", "shape": tensor["shape"], "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(str(file), "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors:
            values = uniform(tensor["name"], int(numpy.prod(tensor["shape"])))
            out.write((values * tensor["scale"] + tensor["shift"]).astype(numpy.float32).tobytes())


def read_weights(file):
    with open(str(file), "rb") as source:
        (length,) = struct.unpack("<Q", source.read(8))
        header, tensors = json.loads(source.read(length).decode()), {}
        for name, entry in header.items():
            first, end = entry["data_offsets"]
            source.seek(8 + length + first)
            tensors[name] = numpy.frombuffer(source.read(end - first), numpy.float32).reshape(entry["shape"])
    return tensors


# The processes of other programs


def answer_lines(program, work):
    """Runs the work as the lines of the standard input ask for."""
    answers = os.fdopen(os.dup(1), "w")
    # Whatever else the program prints is no answer.
    os.dup2(2, 1)
    for _ in range(3):
        work()
    peak = int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text()).group(1)) * 1024
    print(json.dumps({"program": program, "peakBytes": peak}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "write" in asked:
            numpy.savez(asked["write"], *[numpy.asarray(values) for values in work()])
            answer = {}
        else:
            times, busy = [], time.process_time()
            for _ in range(asked["runs"]):
                start = time.perf_counter()
                work()
                times.append((time.perf_counter() - start) * 1e3)
            used = (time.process_time() - busy) / asked["runs"] * 1e3
            answer = {"milliseconds": statistics.median(times), "processorMilliseconds": used}
        print(json.dumps(answer), file=answers, flush=True)


def run_onnx(file, picture, threads):
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    values = {session.get_inputs()[0].name: numpy.load(picture)}
    answer_lines(f"ONNX Runtime {onnxruntime.__version__}", lambda: session.run(None, values))


def run_litert(file, picture, threads):
    from importlib.metadata import version

    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=file, num_threads=threads)
    interpreter.allocate_tensors()
    values, place = numpy.load(picture), interpreter.get_input_details()[0]["index"]
    outputs = [output["index"] for output in interpreter.get_output_details()]

    def work():
        interpreter.set_tensor(place, values)
        interpreter.invoke()
        return [interpreter.get_tensor(output) for output in outputs]

    answer_lines(f"LiteRT {version('ai-edge-litert')}", work)


def detectron2_of(checkout, model, threads):
    """The network of a model's folder, and Detectron2's name for its input."""
    import logging
    import types

    import torch

    sys.path.insert(0, checkout)
    # Its compiled operations, of which torchvision's stand for those that are needed here.
    compiled = types.ModuleType("detectron2._C")
    compiled.get_compiler_version = compiled.get_cuda_version = lambda: "none"
    compiled.has_cuda = lambda: False
    sys.modules["detectron2._C"] = compiled
    logging.disable(logging.WARNING)
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    torch.set_num_threads(threads)
    config = get_cfg()
    config.merge_from_file(str(Path(model) / "config.yaml"))
    config.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""])
    network = build_model(config).eval()
    weights = {name: torch.from_numpy(values.copy()) for name, values in read_weights(Path(model) / "model.safetensors").items()}
    fits = network.load_state_dict(weights, strict=False)
    missing = [name for name in fits.missing_keys if not name.endswith("num_batches_tracked")]
    assert not missing and not fits.unexpected_keys, fits
    return network, config


def run_detectron2(checkout, model, picture, threads, is_channels_last):
    import torch

    network, config = detectron2_of(checkout, model, threads)
    from detectron2.data.transforms import ResizeShortestEdge

    if is_channels_last:
        network = network.to(memory_format=torch.channels_last)
    resize = ResizeShortestEdge([config.INPUT.MIN_SIZE_TEST] * 2, config.INPUT.MAX_SIZE_TEST)
    # Blue first.
    pixels = numpy.ascontiguousarray(numpy.load(picture)[:, :, ::-1])

    def work():
        resized = resize.get_transform(pixels).apply_image(pixels)
        values = torch.as_tensor(resized.astype("float32").transpose(2, 0, 1))
        with torch.inference_mode():
            found = network([{"image": values, "height": pixels.shape[0], "width": pixels.shape[1]}])[0]["instances"]
        return [found.pred_boxes.tensor.numpy(), found.pred_classes.numpy(), found.scores.numpy()]

    answer_lines(f"Detectron2, PyTorch {torch.__version__}", work)


def export_detectron2(checkout, model, picture, file):
    """All of Detectron2 but the resizing of the picture."""
    import torch

    network, _ = detectron2_of(checkout, model, os.cpu_count())
    from detectron2.export import TracingAdapter

    values = torch.from_numpy(numpy.load(picture))
    found = lambda network, inputs: [{"instances": network.inference(inputs, do_postprocess=False)[0]}]
    with torch.no_grad():
        torch.onnx.export(TracingAdapter(network, [{"image": values}], found), (values,), file, opset_version=17, dynamo=False)


def export_ssd(weights, picture, file):
    """From the values that the other files take, channels last, to encodings and scores."""
    import torch

    from ssd_in_pytorch import Ssd

    class Exported(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = Ssd(read_weights(weights))

        def forward(self, pictures):
            boxes, logits = self.network(pictures.permute(0, 3, 1, 2))
            return boxes, logits.sigmoid()

    with torch.no_grad():
        torch.onnx.export(Exported().eval(), (torch.from_numpy(numpy.load(picture)),), file, opset_version=17, dynamo=False)


ROLES = {"onnx": run_onnx, "litert": run_litert, "detectron2": run_detectron2, "export-detectron2": export_detectron2, "export-ssd": export_ssd}


def role(name, *arguments):
    """The command of a process of this script."""
    return [sys.executable, __file__, "--role", name, json.dumps(arguments)]


def quiet(command):
    """Runs a command whose warnings matter only if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    if done.returncode:
        raise SystemExit(f"{command} has ended with {done.returncode}:\n{done.stdout}")


class Program:
    """A process that answers lines."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True)
        started = self.answer()
        self.name, self.peak = started["program"], started["peakBytes"]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} has ended with {self.process.wait()}")
        return json.loads(line)

    def asked(self, what):
        print(json.dumps(what), file=self.process.stdin, flush=True)
        return self.answer()

    def answers(self, folder):
        file = str(folder / "answers.npz")
        self.asked({"write": file})
        with numpy.load(file) as arrays:
            return [arrays[name] for name in arrays.files]

    def time(self, runs):
        answer = self.asked({"runs": runs})
        return answer["milliseconds"], answer["processorMilliseconds"]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


# Comparisons


class Ours:
    """`time-traveler`, which starts anew for each turn."""

    def __init__(self, options, model, picture, what):
        self.name, self.what = "time-traveler", what
        self.command = [options.time_traveler, "bench", "objects", str(picture), "--model", str(model), "--device", "cpu", "--json"]
        self.environment = dict(os.environ, RAYON_NUM_THREADS=str(options.threads))
        self.peak = self.run(3)["peakMemoryBytes"]

    def run(self, runs):
        command = [*self.command, "--runs", str(runs)]
        return json.loads(subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, check=True).stdout)

    def time(self, runs):
        answer = self.run(runs)
        return answer["milliseconds"][self.what], answer["processorMilliseconds"][self.what]

    def end(self):
        pass


def detections(options, model, picture, threshold):
    """What `time-traveler` finds: boxes, classes and scores."""
    command = [options.time_traveler, "detect", str(picture), "--model", str(model), "--threshold", str(threshold), "--device", "cpu", "--json"]
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)["objects"]
    return [numpy.array([one[name] for one in found], numpy.float64) for name in ["box", "class", "score"]]


def agree(what, ours, theirs, pixels, least):
    """Detections: as many, and the share `least` of them with the same class, box and score. Equal scores may trade places."""
    boxes, classes, scores = theirs
    found = 0
    for box, number, score in zip(*ours):
        alike = (classes == number) & (abs(scores - score) < 2e-3)
        found += bool((abs(boxes[alike] - box).max(1, initial=0) < pixels).any())
    assert len(ours[0]) == len(boxes) > 0 and found >= least * len(boxes), f"{what}: {found} of {len(ours[0])} and {len(boxes)}"
    print(f"  {what}: {found} of {len(boxes)} detections are the same", flush=True)


def close(what, ours, theirs):
    difference = max(abs(own - other).max() for own, other in zip(ours, theirs))
    assert difference < 1e-3, f"{what}: {difference}"
    print(f"  {what}: values differ by at most {difference:.1e}", flush=True)


def compare(options, what, programs):
    """Times of programs that take turns, and their memory. `time-traveler` is the last."""
    runs = options.runs or (30 if what.startswith("ssd") else 3)
    what = f"{what}, {options.threads} threads"
    times = {name: [] for name in programs}
    for _ in range(options.rounds):
        for name, program in programs.items():
            times[name].append(program.time(runs))
        print("  " + ", ".join(f"{name} {turns[-1][0]:.1f} ({turns[-1][1]:.1f}) ms" for name, turns in times.items()), flush=True)
    for index, kind in enumerate(["clock", "processor"]):
        ours = [turn[index] for turn in times["time-traveler"]]
        for name, turns in times.items():
            theirs = [turn[index] for turn in turns]
            ratio = statistics.median(other / own for other, own in zip(theirs, ours))
            print(f"{what}, {kind}: {name}: median {statistics.median(theirs):.2f} ms, ratio {ratio:.2f}", flush=True)
    for name, program in programs.items():
        ratio = program.peak / programs["time-traveler"].peak
        print(f"{what}, peak memory: {name}: {program.peak / 1e6:.0f} MB, ratio {ratio:.2f}", flush=True)
        program.end()


def picture_of(network, folder):
    """The sample portrait in the network's size: pixels, and the file that has them."""
    from PIL import Image

    photo = Image.open(ROOT / "examples/astronaut.png").convert("RGB").resize(SIZES[network])
    photo.save(folder / "picture.png")
    pixels = numpy.asarray(photo)
    numpy.save(folder / "picture.npy", pixels)
    return pixels


def compare_ssd(options, folder):
    model, scripts = folder / "model", Path(__file__).parent
    model.mkdir()
    shutil.copy(GOLDEN / FOLDERS["ssd"] / "pipeline.config", model)
    write_weights("ssd", model / "model.safetensors")
    pixels = picture_of("ssd", folder)
    numpy.save(folder / "values.npy", (pixels[None] * numpy.float32(2 / 255) - 1).astype(numpy.float32))
    values, weights = str(folder / "values.npy"), folder / "model.safetensors"
    tensorflow = [options.tensorflow_python, str(scripts / "ssd_in_tensorflow.py")]
    if options.tensorflow_python:
        api = ["--object-detection-api", str(options.object_detection_api)]
        quiet([*tensorflow, "freeze", str(model), *api])
    shutil.move(model / "model.safetensors", weights)
    if not options.tensorflow_python:
        shutil.copy(weights, model)

    def exported(name, *more):
        file = str(folder / name)
        command = [options.time_traveler, "model", "export", str(model), "--format", name.split(".")[1], "--out", file, *more]
        quiet(command)
        return file

    def onnx(file):
        return Program(role("onnx", file, values, options.threads))

    def litert(file):
        return Program(role("litert", file, values, options.threads))

    frozen = [str(model / "frozen_inference_graph.pb"), str(folder / "picture.npy"), "--threads", str(options.threads)]
    quiet(role("export-ssd", str(weights), values, str(folder / "pytorch.onnx")))
    programs = {}
    if options.tensorflow_python:
        programs["TensorFlow"] = Program([*tensorflow, "run", *frozen])
    programs["ONNX Runtime"] = onnx(exported("raw.onnx", "--raw"))
    programs["ONNX Runtime, PyTorch's export"] = onnx(str(folder / "pytorch.onnx"))
    programs["LiteRT"] = litert(exported("raw.tflite", "--raw"))
    answers = {name: program.answers(folder) for name, program in programs.items()}
    for name, (boxes, scores) in answers.items():
        if name == "TensorFlow":
            boxes, scores = boxes.reshape(1, -1, 4), 1 / (1 + numpy.exp(-scores))
        close(name, (boxes, scores), answers["ONNX Runtime"])
    programs["time-traveler"] = Ours(options, model, folder / "picture.png", "forward")
    compare(options, "ssd, the network alone", programs)

    programs, ours = {}, detections(options, model, folder / "picture.png", 0)
    scale = numpy.array([300, 300, 300, 300])
    if options.tensorflow_python:
        programs["TensorFlow"] = Program([*tensorflow, "run", *frozen, "--whole"])
        boxes, classes, scores, count = programs["TensorFlow"].answers(folder)
        rows = slice(int(count[0]))
        # Its classes are from 1.
        boxes, classes, scores = boxes[0, rows], classes[0, rows] - 1, scores[0, rows]
        agree("TensorFlow", ours, [boxes[:, [1, 0, 3, 2]] * scale, classes, scores], 0.3, 1.0)
    programs["ONNX Runtime"] = onnx(exported("whole.onnx", "--detections", "100"))
    boxes, classes, scores = programs["ONNX Runtime"].answers(folder)
    agree("ONNX Runtime", ours, [boxes[:, [1, 0, 3, 2]] * scale, classes, scores], 0.3, 0.95)
    programs["LiteRT, by class"] = litert(exported("class.tflite", "--by-class", "--detections", "100"))
    boxes, classes, scores, _ = programs["LiteRT, by class"].answers(folder)
    boxes = boxes[0].clip(0, 1)
    agree("LiteRT, by class", ours, [boxes[:, [1, 0, 3, 2]] * scale, classes[0], scores[0]], 0.3, 0.95)
    # Its ten boxes of all classes together are others.
    programs["LiteRT, all classes"] = litert(exported("whole.tflite"))
    programs["time-traveler"] = Ours(options, model, folder / "picture.png", "detect")
    compare(options, "ssd, picture to detections", programs)


def compare_faster_rcnn(options, network, folder):
    model = folder / "model"
    model.mkdir()
    shutil.copy(GOLDEN / FOLDERS[network] / "config.yaml", model)
    write_weights(network, model / "model.safetensors")
    pixels = picture_of(network, folder)
    programs = {}
    if options.detectron2:
        numpy.save(folder / "values.npy", pixels[:, :, ::-1].transpose(2, 0, 1).astype(numpy.float32))
        values, onnx = str(folder / "values.npy"), str(folder / "network.onnx")
        quiet(role("export-detectron2", options.detectron2, str(model), values, onnx))
        for name, is_channels_last in [("Detectron2", False), ("Detectron2, channels last", True)]:
            given = [options.detectron2, str(model), str(folder / "picture.npy"), options.threads, is_channels_last]
            programs[name] = Program(role("detectron2", *given))
        programs["ONNX Runtime"] = Program(role("onnx", onnx, values, options.threads))
        ours = detections(options, model, folder / "picture.png", 0.05)
        for name, program in programs.items():
            answers = program.answers(folder)
            # ONNX Runtime also answers the size of the picture.
            agree(name, ours, answers[:3] if name.startswith("Detectron2") else of_trace(answers), 0.1, 0.98)
    programs["time-traveler"] = Ours(options, model, folder / "picture.png", "detect")
    compare(options, f"{network}, picture to detections", programs)


def of_trace(answers):
    """Boxes, classes and scores, which are told apart by their shapes and types."""
    (boxes,) = [values for values in answers if values.ndim == 2]
    (classes,) = [values for values in answers if values.dtype == numpy.int64 and len(values) == len(boxes)]
    (scores,) = [values for values in answers if values.dtype == numpy.float32 and values.ndim == 1]
    return boxes, classes, scores


def main():
    if sys.argv[1:2] == ["--role"]:
        return ROLES[sys.argv[2]](*json.loads(sys.argv[3]))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--time-traveler", required=True)
    parser.add_argument("--networks", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--detectron2", help="a checkout of it")
    parser.add_argument("--tensorflow-python", help="the Python that has TensorFlow 1.15")
    parser.add_argument("--object-detection-api", help="its folder, with `object_detection` and `slim`")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="how often the programs take turns")
    parser.add_argument("--runs", type=int, help="runs of each turn, of which the median counts: 30 of an SSD and 3 of others without it")
    options = parser.parse_args()
    if options.tensorflow_python and not options.object_detection_api:
        parser.error("--tensorflow-python needs --object-detection-api")
    for network in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            if network == "ssd":
                compare_ssd(options, Path(folder))
            else:
                compare_faster_rcnn(options, network, Path(folder))


if __name__ == "__main__":
    main()
