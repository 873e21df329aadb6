"""Compare the speed and the memory of PyTorch, ONNX Runtime and `time-traveler` for the networks that find faces.

    pip install torch onnx onnxruntime onnxscript
    cargo build --release -p time-traveler
    python notebooks/compare_detectors.py --time-traveler target/release/time-traveler

The networks are written here in plain PyTorch, with the names of their checkpoints and with made-up weights, as the tests have them.
All programs read the same weights. The time is from a tensor of a picture to the scores and offsets of all priors. The programs take
turns, and the median counts.

Times are those of a clock, and of the processor. On a busy machine only the latter can be compared, with --threads 1: threads that
wait for each other use the processor too. Memory is the peak of a process of each program's own, which does nothing but load the
network and run it three times.
"""

import argparse
import json
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy

GOLDEN = Path(__file__).parent.parent / "crates/vision/tests/golden"
NETWORKS = {
    "mobilenet": ("RetinaNetMobileNetV1", "retinaface/tensors_mnet025.json"),
    "resnet50": ("RetinaNetResNet50", "retinaface/tensors_r50.json"),
    "dsfd": ("DSFDDetector", "dsfd/tensors.json"),
}


def write_weights(network, folder):
    """A checkpoint of random numbers of the magnitudes in the tests' list, in the format of safetensors."""
    random, header, position = numpy.random.default_rng(0), {}, 0
    tensors = json.loads((GOLDEN / NETWORKS[network][1]).read_text())
    for tensor in tensors:
        size = 4 * int(numpy.prod(tensor["shape"]))
        header[tensor["name"]] = {"dtype": "F32", "shape": tensor["shape"], "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors:
            values = random.uniform(-1, 1, tensor["shape"]).astype(numpy.float32)
            file.write((values * numpy.float32(tensor["scale"]) + numpy.float32(tensor["shift"])).tobytes())


def read_weights(file):
    import torch

    with open(file, "rb") as source:
        (length,) = struct.unpack("<Q", source.read(8))
        header = json.loads(source.read(length))
        start, tensors = 8 + length, {}
        for name, entry in header.items():
            first, end = entry["data_offsets"]
            source.seek(start + first)
            values = numpy.frombuffer(source.read(end - first), numpy.float32)
            tensors[name] = torch.from_numpy(values.copy()).reshape(entry["shape"])
    return tensors


def network_of(network, tensors):
    """The network as a module of PyTorch. Its layers are found by their tensors' names."""
    import torch
    import torch.nn.functional as functional

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name, values in tensors.items():
                self.register_buffer(name.replace(".", "_"), values)

        def has(self, name):
            return name in tensors

        def of(self, name):
            return getattr(self, name.replace(".", "_"))

        def conv(self, x, name, stride=1, dilation=1, groups=1):
            weight = self.of(f"{name}.weight")
            bias = self.of(f"{name}.bias") if self.has(f"{name}.bias") else None
            return functional.conv2d(x, weight, bias, stride, dilation * (weight.shape[-1] // 2), dilation, groups)

        def norm(self, x, name):
            mean, variance, weight, bias = (self.of(f"{name}.{end}") for end in ["running_mean", "running_var", "weight", "bias"])
            return functional.batch_norm(x, mean, variance, weight, bias)

        def stage(self, x, name, stride):
            """Bottlenecks under a name."""
            index = 0
            while self.has(f"{name}.{index}.conv1.weight"):
                block, step = f"{name}.{index}", stride if index == 0 else 1
                y = functional.relu_(self.norm(self.conv(x, f"{block}.conv1"), f"{block}.bn1"))
                y = functional.relu_(self.norm(self.conv(y, f"{block}.conv2", step), f"{block}.bn2"))
                y = self.norm(self.conv(y, f"{block}.conv3"), f"{block}.bn3")
                if self.has(f"{block}.downsample.0.weight"):
                    x = self.norm(self.conv(x, f"{block}.downsample.0", step), f"{block}.downsample.1")
                x = functional.relu_(y + x)
                index += 1
            return x

    class RetinaFace(Network):
        slope = 0.0 if network == "resnet50" else 0.1

        def activated(self, x, name, stride=1):
            return functional.leaky_relu_(self.norm(self.conv(x, f"{name}.0", stride), f"{name}.1"), self.slope)

        def body(self, x):
            if network == "resnet50":
                x = functional.relu_(self.norm(self.conv(x, "body.conv1", 2), "body.bn1"))
                x = self.stage(functional.max_pool2d(x, 3, 2, 1), "body.layer1", 1)
                maps = []
                for index in [2, 3, 4]:
                    x = self.stage(x, f"body.layer{index}", 2)
                    maps.append(x)
                return maps
            maps = []
            for stage, strides in enumerate([[2, 1, 2, 1, 2, 1], [2, 1, 1, 1, 1, 1], [2, 1]], 1):
                for index, stride in enumerate(strides):
                    name = f"body.stage{stage}.{index}"
                    if (stage, index) == (1, 0):
                        x = self.activated(x, name, stride)
                        continue
                    y = self.norm(self.conv(x, f"{name}.0", stride, groups=x.shape[1]), f"{name}.1")
                    y = functional.leaky_relu_(y, self.slope)
                    x = functional.leaky_relu_(self.norm(self.conv(y, f"{name}.3"), f"{name}.4"), self.slope)
                maps.append(x)
            return maps

        def context(self, x, name):
            three = self.norm(self.conv(x, f"{name}.conv3X3.0"), f"{name}.conv3X3.1")
            shared = self.activated(x, f"{name}.conv5X5_1")
            five = self.norm(self.conv(shared, f"{name}.conv5X5_2.0"), f"{name}.conv5X5_2.1")
            seven = self.activated(shared, f"{name}.conv7X7_2")
            seven = self.norm(self.conv(seven, f"{name}.conv7x7_3.0"), f"{name}.conv7x7_3.1")
            return functional.relu_(torch.cat([three, five, seven], 1))

        def forward(self, x):
            first, second, third = [self.activated(maps, f"fpn.output{level}") for level, maps in enumerate(self.body(x), 1)]
            second = self.activated(second + functional.interpolate(third, size=second.shape[2:]), "fpn.merge2")
            first = self.activated(first + functional.interpolate(second, size=first.shape[2:]), "fpn.merge1")
            maps = [self.context(maps, f"ssh{level}") for level, maps in enumerate([first, second, third], 1)]

            def head(name, values):
                outputs = [self.conv(x, f"{name}.{level}.conv1x1").permute(0, 2, 3, 1) for level, x in enumerate(maps)]
                return torch.cat([x.reshape(x.shape[0], -1, values) for x in outputs], 1)

            return head("BboxHead", 4), head("ClassHead", 2).softmax(-1), head("LandmarkHead", 10)

    class Dsfd(Network):
        def forward(self, x):
            x = functional.relu_(self.norm(self.conv(x, "layer1.0", 2), "layer1.1"))
            first = self.stage(functional.max_pool2d(x, 3, 2, 1), "layer1.4", 1)
            second = self.stage(first, "layer2.0", 2)
            third = self.stage(second, "layer3.0", 2)
            fourth = self.stage(third, "layer4.0", 2)
            smaller, x = [], fourth
            for name in ["layer5", "layer6"]:
                x = functional.relu_(self.norm(self.conv(x, f"{name}.0"), f"{name}.1"))
                x = functional.relu_(self.norm(self.conv(x, f"{name}.3", 2), f"{name}.4"))
                smaller.append(x)
            pyramid, top = [], fourth
            for level, maps in [(3, third), (2, second), (1, first)]:
                maps, top = self.conv(maps, f"smooth{level}"), self.conv(top, f"latlayer{level}")
                top = maps * functional.interpolate(top, size=maps.shape[2:], mode="bilinear", align_corners=True)
                pyramid.insert(0, top)
            boxes, scores = [], []
            names = ["cpm3_3", "cpm4_3", "cpm5_3", "cpm7", "cpm6_2", "cpm7_2"]
            for level, (name, maps) in enumerate(zip(names, [*pyramid, fourth, *smaller])):
                one = functional.relu_(self.conv(maps, f"{name}.cpm1"))
                shared = functional.relu_(self.conv(maps, f"{name}.cpm2", dilation=2))
                two = functional.relu_(self.conv(shared, f"{name}.cpm3"))
                three = functional.relu_(self.conv(shared, f"{name}.cpm4", dilation=2))
                three = functional.relu_(self.conv(three, f"{name}.cpm5"))
                maps, ends = torch.cat([one, two, three], 1), []
                for head in ["loc", "conf"]:
                    x = maps
                    for index in [1, 2, 3]:
                        x = functional.relu_(self.conv(x, f"{head}.{level}.conv{index}"))
                    ends.append(self.conv(x, f"{head}.{level}.conv4")[:, :4].permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4))
                boxes.append(ends[0])
                largest, last = ends[1][..., :3].amax(-1, keepdim=True), ends[1][..., 3:]
                scores.append(torch.cat([largest, last] if level == 0 else [last, largest], -1))
            return torch.cat(boxes, 1), torch.cat(scores, 1).softmax(-1)

    return (Dsfd if network == "dsfd" else RetinaFace)().eval()


def picture(width, height):
    return numpy.random.default_rng(1).uniform(-127.5, 127.5, (1, 3, height, width)).astype(numpy.float32)


def pytorch(network, file, width, height, threads, is_channels_last):
    """A call that runs the network."""
    import torch

    torch.set_num_threads(threads)
    module, x = network_of(network, read_weights(file)), torch.from_numpy(picture(width, height))
    if is_channels_last:
        module, x = module.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)

    def run():
        with torch.inference_mode():
            return module(x)

    return run


def onnx_runtime(file, width, height, threads):
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    values = {session.get_inputs()[0].name: picture(width, height)}
    return lambda: session.run(None, values)


def export(network, file, width, height, onnx):
    import torch

    with torch.no_grad():
        module = network_of(network, read_weights(file))
        torch.onnx.export(module, (torch.from_numpy(picture(width, height)),), onnx, dynamo=False, input_names=["x"])


def measured(runs, work):
    """Milliseconds of a run: the median by a clock, and the mean of the processor."""
    times, busy = [], time.process_time()
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times), (time.process_time() - busy) / runs * 1e3


def bench(options, network, folder, width, height, runs):
    command = [options.time_traveler, "bench", "detector", "--model", folder, "--device", "cpu", "--json"]
    command += ["--size", f"{width}x{height}", "--runs", str(runs)]
    environment = {"RAYON_NUM_THREADS": str(options.threads)}
    answer = json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)
    assert answer["network"] == NETWORKS[network][0], answer
    return answer


def peak_of(script, *arguments):
    """The most memory of a process that runs a part of this script, in MB."""
    command = [sys.executable, script, *map(str, arguments)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def own_peak(work):
    """Runs it three times, and prints the most memory of this process, in MB."""
    for _ in range(3):
        work()
    print(int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) * 1024 / 1e6)


def compare(options, network, width, height, folder):
    weights, onnx = folder / "model.safetensors", str(folder.parent / "network.onnx")
    if not weights.exists():
        write_weights(network, folder)
    what = f"{network} at {width}x{height}, {options.threads} threads"
    export(network, weights, width, height, onnx)
    programs = {
        "PyTorch": pytorch(network, weights, width, height, options.threads, False),
        "PyTorch, channels last": pytorch(network, weights, width, height, options.threads, True),
        "ONNX Runtime": onnx_runtime(onnx, width, height, options.threads),
    }
    expected = [values.numpy() for values in programs["PyTorch"]()]
    programs["PyTorch, channels last"]()
    difference = max(abs(own - other).max() for own, other in zip(programs["ONNX Runtime"](), expected))
    assert difference < 1e-3, difference
    times = {name: [] for name in [*programs, "time-traveler"]}
    for _ in range(options.rounds):
        for name, program in programs.items():
            times[name].append(measured(options.runs, program))
        answer = bench(options, network, folder, width, height, options.runs)
        times["time-traveler"].append((answer["milliseconds"]["forward"], answer["processorMilliseconds"]["forward"]))
        turns = (f"{name} {turn[-1][0]:.1f} ({turn[-1][1]:.1f}) ms" for name, turn in times.items())
        print(f"  {what}: {', '.join(turns)}", flush=True)
    for index, kind in enumerate(["clock", "processor"]):
        ours = [turn[index] for turn in times["time-traveler"]]
        for name, turns in times.items():
            theirs = [turn[index] for turn in turns]
            ratio = statistics.median(other / own for other, own in zip(theirs, ours))
            print(f"{what}, {kind}: {name}: median {statistics.median(theirs):.1f} ms, ratio {ratio:.2f}", flush=True)
    if not options.no_memory:
        script, size = __file__, [width, height, options.threads]
        ours = bench(options, network, folder, width, height, 3)["peakMemoryBytes"] / 1e6
        peaks = {
            "PyTorch": peak_of(script, "--peak-of-pytorch", network, weights, *size),
            "ONNX Runtime": peak_of(script, "--peak-of-onnx-runtime", onnx, *size),
            "time-traveler": ours,
        }
        for name, peak in peaks.items():
            print(f"{what}, peak memory: {name}: {peak:.0f} MB, ratio {peak / ours:.2f}", flush=True)


def main():
    # The parts of this script that run in processes of their own.
    if sys.argv[1:2] == ["--peak-of-pytorch"]:
        network, file, width, height, threads = sys.argv[2:]
        return own_peak(pytorch(network, file, int(width), int(height), int(threads), False))
    if sys.argv[1:2] == ["--peak-of-onnx-runtime"]:
        file, width, height, threads = sys.argv[2:]
        return own_peak(onnx_runtime(file, int(width), int(height), int(threads)))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--time-traveler", required=True)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--sizes", nargs="+", default=["640x480", "1024x1024"], help="width x height")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="how often the programs take turns")
    parser.add_argument("--runs", type=int, default=3, help="runs of each turn, of which the median counts")
    parser.add_argument("--no-memory", action="store_true", help="compare times only")
    options = parser.parse_args()
    import onnxruntime
    import torch

    print(f"PyTorch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}", flush=True)
    for network in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            models = Path(folder) / network
            models.mkdir()
            for size in options.sizes:
                compare(options, network, *map(int, size.split("x")), models)


main()
