"""Compare the speed of splitting a strip into JPEGs with NumPy and Pillow, and with `time-traveler`.

    pip install numpy pillow
    cargo build --release -p time-traveler
    target/release/time-traveler age examples/astronaut.png --ages 20,40,60,80 --out strip
    python notebooks/compare_with_pillow.py --time-traveler target/release/time-traveler --strip strip/strip.npy
"""

import argparse
import io
import json
import pathlib
import statistics
import subprocess
import time

import numpy
import PIL
from PIL import Image, features

PANEL = 1024
QUALITY = 92


def split(npy):
    strip = numpy.load(io.BytesIO(npy))
    panels = []
    for left in range(0, strip.shape[1], PANEL):
        out = io.BytesIO()
        Image.fromarray(strip[:, left : left + PANEL]).save(out, "JPEG", quality=QUALITY)
        panels.append(out.getvalue())
    return panels


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--time-traveler", type=pathlib.Path, required=True, help="the program, built for release")
    parser.add_argument("--strip", type=pathlib.Path, required=True)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    npy = options.strip.read_bytes()
    ours, theirs, peaks = [], [], []
    for _ in range(options.runs):
        command = [options.time_traveler.resolve(), "bench", "split", options.strip, "--runs", "9", "--json"]
        measured = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        ours.append(measured["milliseconds"]["split"])
        peaks.append(measured["peakMemoryBytes"] - measured["stripBytes"])
        times = []
        for _ in range(10):
            start = time.perf_counter()
            panels = split(npy)
            times.append(1e3 * (time.perf_counter() - start))
        theirs.append(statistics.median(times[1:]))
    turbo = features.version("libjpeg_turbo")
    print(f"Pillow {PIL.__version__}, libjpeg-turbo {turbo}: {statistics.median(theirs):.1f} ms, {sum(map(len, panels))} bytes")
    print(f"time-traveler: {statistics.median(ours):.1f} ms, {measured['jpegBytes']} bytes, {max(peaks) / 1e6:.1f} MB beside the strip")
    print(f"{statistics.median(theirs) / statistics.median(ours):.2f} times as fast")


if __name__ == "__main__":
    main()
