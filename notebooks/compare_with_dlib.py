"""Compare the speed of dlib's face detection with that of `time-traveler bench face`.

    pip install dlib numpy pillow
    cargo build --release
    python notebooks/compare_with_dlib.py DETECTOR.svm

DETECTOR.svm is any serialized detector. `dlib.get_frontal_face_detector().save("DETECTOR.svm")`
writes dlib's own. The two programs run alternately, five times. The script prints the medians of
whole calls, and their ratios.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import dlib
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "time-traveler"
TURNS, RUNS = 5, 9


def main():
    detector_path = sys.argv[1]
    detector = dlib.fhog_object_detector(detector_path)
    portrait = Image.open(ROOT / "examples" / "astronaut.png").convert("RGB")
    large = np.array(portrait.resize((1024, 1024), Image.BICUBIC))
    cases = {
        "detect512Upsample1": (np.array(portrait), 1),
        "detect1024Upsample0": (large, 0),
        "detect1024Upsample1": (large, 1),
    }
    dlib_times, our_times = {name: [] for name in cases}, {name: [] for name in cases}
    for _ in range(TURNS):
        for name, (picture, upsample) in cases.items():
            for _ in range(RUNS):
                start = time.perf_counter()
                detector.run(picture, upsample, 0.0)
                dlib_times[name].append((time.perf_counter() - start) * 1e3)
        command = [PROGRAM, "bench", "face", "--detector", detector_path, "--runs", str(RUNS), "--json"]
        measured = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        for name in cases:
            our_times[name].append(measured["milliseconds"][name])
    print(f"{'':20} {'dlib':>9} {'here':>9} {'ratio':>7}   ({measured['threads']} threads)")
    for name in cases:
        theirs, ours = statistics.median(dlib_times[name]), statistics.median(our_times[name])
        print(f"{name:20} {theirs:6.1f} ms {ours:6.1f} ms {theirs / ours:7.1f}")
    print(f"landmarks {measured['milliseconds']['landmarks']:.2f} ms, crop {measured['milliseconds']['align1024']:.2f} ms")


if __name__ == "__main__":
    main()
