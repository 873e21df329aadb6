"""Compare the speed and the pictures of PyTorch, ONNX Runtime and `time-traveler` for one strip of ages.

    pip install torch onnx onnxscript onnxruntime pillow
    git clone https://github.com/yuval-alaluf/SAM
    cargo build --release -p time-traveler
    python notebooks/compare_with_pytorch.py --sam SAM --time-traveler target/release/time-traveler

PyTorch runs the authors' code with the random weights of its constructors. Two operations of that code have only CUDA
kernels. They are replaced by plain PyTorch, from the same repository (`upfirdn2d_native`) or equivalent (`leaky_relu`).
ONNX Runtime runs the export of these modules with fixed shapes. Like `time-traveler`, it runs the pretrained encoder once
per strip.
"""

import argparse
import contextlib
import io
import json
import math
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import types

import numpy
import onnxruntime
import torch
from PIL import Image
from torch.nn import functional


def reference(folder, size):
    """The modules of the authors' repository: encoder, pretrained encoder, decoder."""
    sys.path.insert(0, str(folder))
    # Importing this file would compile its CUDA operation, so only the native one is executed.
    source = (folder / "models/stylegan2/op/upfirdn2d.py").read_text()
    native = {"torch": torch, "F": functional}
    exec(source[source.index("def upfirdn2d_native") :], native)
    slope, gain = 0.2, math.sqrt(2)

    def upfirdn2d(x, kernel, up=1, down=1, pad=(0, 0)):
        batch, channels, height, width = x.shape
        x = x.reshape(-1, height, width, 1)
        x = native["upfirdn2d_native"](x, kernel, up, up, down, down, *pad, *pad)
        return x.reshape(batch, channels, *x.shape[1:3])

    def fused_leaky_relu(x, bias, negative_slope=slope, scale=gain):
        return functional.leaky_relu(x + bias.view(1, -1, *[1] * (x.dim() - 2)), negative_slope) * scale

    class FusedLeakyReLU(torch.nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.bias = torch.nn.Parameter(torch.zeros(channels))

        def forward(self, x):
            return fused_leaky_relu(x, self.bias)

    operations = types.ModuleType("models.stylegan2.op")
    operations.upfirdn2d, operations.fused_leaky_relu = upfirdn2d, fused_leaky_relu
    operations.FusedLeakyReLU = FusedLeakyReLU
    sys.modules["models.stylegan2.op"] = operations
    from models.encoders.psp_encoders import GradualStyleEncoder
    from models.stylegan2.model import Generator

    styles = 2 * int(math.log2(size)) - 2
    encoders = [
        GradualStyleEncoder(50, "ir_se", styles, argparse.Namespace(input_nc=channels)).eval() for channels in (4, 3)
    ]
    return *encoders, Generator(size, 512, 8).eval()


class Decoder(torch.nn.Module):
    """The generator, called as in the authors' inference."""

    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def forward(self, latent):
        return self.generator([latent], input_is_latent=True, randomize_noise=False)[0]


class PyTorch:
    """`pSp.forward` for each age in turn. As in the authors' scripts, each age runs the pretrained encoder."""

    def __init__(self, encoder, pretrained, decoder):
        self.modules = encoder, pretrained, decoder

    def strip(self, face, ages):
        encoder, pretrained, decoder = self.modules
        face = torch.from_numpy(face)
        with torch.inference_mode():
            for age in ages:
                x = torch.cat([face, torch.full((1, 1, 256, 256), age / 100)], 1)
                codes = encoder(x)
                codes = codes + pretrained(x[:, :-1])
                yield levels(decoder(codes).numpy())


class OnnxRuntime:
    def __init__(self, modules, folder, threads):
        examples = torch.zeros(1, 4, 256, 256), torch.zeros(1, 3, 256, 256), torch.zeros(1, modules[2].generator.n_latent, 512)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        self.sessions = []
        for index, (module, example) in enumerate(zip(modules, examples)):
            file = folder / f"{index}.onnx"
            with contextlib.redirect_stdout(io.StringIO()):
                torch.onnx.export(module, (example,), str(file), input_names=["x"], dynamo=True, external_data=False)
            self.sessions.append(onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"]))
            file.unlink()

    def strip(self, face, ages):
        encoder, pretrained, decoder = (lambda x, run=session.run: run(None, {"x": x})[0] for session in self.sessions)
        itself = pretrained(face)
        for age in ages:
            x = numpy.concatenate([face, numpy.full((1, 1, 256, 256), age / 100, numpy.float32)], 1)
            yield levels(decoder(encoder(x) + itself))


def levels(picture):
    picture = (picture[0].transpose(1, 2, 0) + 1) / 2
    return (picture.clip(0, 1) * 255).astype(numpy.uint8)


class TimeTraveler:
    def __init__(self, program, folder, threads):
        self.program, self.folder, self.threads = program, folder, str(threads)

    def command(self, *arguments):
        command = [self.program, *arguments, "--model", self.folder, "--json"]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])

    def seconds(self, ages):
        return self.command("bench", "aging", "--threads", self.threads, "--runs", "1", "--ages", str(len(ages)))

    def strip(self, face, ages):
        self.command("age", "--aligned", face, "--ages", ",".join(map(str, ages)), "--out", self.folder / "out")
        strip = numpy.load(self.folder / "out/strip.npy")
        return numpy.split(strip, 1 + len(ages), axis=1)[1:]


def write(modules, size, file):
    encoder, pretrained, decoder = modules
    parts = {"encoder": encoder, "pretrained_encoder": pretrained, "decoder": decoder.generator}
    state = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    opts = {"output_size": size, "input_nc": 4, "start_from_encoded_w_plus": True}
    torch.save({"state_dict": state, "latent_avg": torch.zeros(2 * int(math.log2(size)) - 2, 512), "opts": opts}, file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sam", type=pathlib.Path, required=True, help="a clone of the authors' repository")
    parser.add_argument("--time-traveler", type=pathlib.Path, required=True, help="the program, built for release")
    parser.add_argument("--size", type=int, default=1024, help="width of the generator's pictures")
    parser.add_argument("--ages", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--without", choices=["pytorch", "onnxruntime"], nargs="*", default=[])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    ages = [20 + 5 * index for index in range(options.ages)]
    encoder, pretrained, generator = reference(options.sam.resolve(), options.size)
    modules = encoder, pretrained, Decoder(generator)

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        # The picture is smooth. Its contents do not change the time.
        y, x = numpy.mgrid[:256, :256]
        picture = numpy.stack([x, y, (x + y) // 2], 2).astype(numpy.uint8)
        Image.fromarray(picture).save(folder / "face.png")
        face = ((picture / 255 - 0.5) / 0.5).astype(numpy.float32).transpose(2, 0, 1)[None].copy()

        write(modules, options.size, folder / "model.pt")
        ours = TimeTraveler(options.time_traveler.resolve(), folder, options.threads)
        strip = ours.strip(folder / "face.png", ages)
        peers = {}
        if "pytorch" not in options.without:
            peers[f"PyTorch {torch.__version__}"] = PyTorch(*modules)
        if "onnxruntime" not in options.without:
            peers[f"ONNX Runtime {onnxruntime.__version__}"] = OnnxRuntime(modules, folder, options.threads)
        for name, peer in peers.items():
            away = numpy.abs(numpy.subtract(list(peer.strip(face, ages)), strip, dtype=int))
            print(f"{name}: {away.max()} levels away at most, {(away > 1).mean():.6%} more than one", flush=True)
        seconds = {name: [] for name in [*peers, "time-traveler"]}
        for _ in range(options.runs):
            for name, peer in peers.items():
                start = time.perf_counter()
                for _ in peer.strip(face, ages):
                    pass
                seconds[name].append(time.perf_counter() - start)
            measured = ours.seconds(ages)
            seconds["time-traveler"].append(measured["seconds"]["strip"])
            print({name: round(times[-1], 2) for name, times in seconds.items()}, round(measured["peakGflops"]), flush=True)
    print(f"{options.ages} ages at {options.size}, {options.threads} threads, {platform.machine()}, median of {options.runs}")
    own = statistics.median(seconds["time-traveler"])
    for name, times in seconds.items():
        middle = statistics.median(times)
        print(f"{name:<24} {middle:7.2f} s {middle / own:6.2f}")


if __name__ == "__main__":
    main()
