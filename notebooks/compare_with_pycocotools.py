"""Compare the speed and the figures of COCO's evaluation: pycocotools, faster-coco-eval and `time-traveler`.

    pip install numpy pycocotools faster-coco-eval
    cargo build --release -p time-traveler
    python notebooks/compare_with_pycocotools.py --time-traveler target/release/time-traveler

The set is synthetic, and the same for the same seed. Each program reads both files and evaluates; they take turns. The time of
`time-traveler` is that of the whole process, with confusions and mistakes.
"""

import argparse
import contextlib
import io
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy
from faster_coco_eval import COCO as FasterCOCO
from faster_coco_eval import COCOeval_faster
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

WIDTH, HEIGHT = 640, 480
LIMITS = numpy.array([WIDTH, HEIGHT])


def boxes(random, count):
    sides = numpy.exp(random.uniform(numpy.log(8), numpy.log(300), (count, 2)))
    corners = random.uniform(0, 1, (count, 2)) * (LIMITS - sides)
    return numpy.concatenate([corners, sides], 1)


def made(seed, pictures, objects, detections, classes):
    """A ground truth and results: somewhat less than half of the detections lie near an object."""
    random = numpy.random.default_rng(seed)
    truth_boxes = boxes(random, objects).round(2)
    truth_pictures, truth_classes = random.integers(1, pictures + 1, objects), random.integers(1, classes + 1, objects)
    crowds = random.random(objects) < 0.02
    truth = {
        "images": [{"id": n, "width": WIDTH, "height": HEIGHT, "file_name": f"{n}.jpg"} for n in range(1, pictures + 1)],
        "categories": [{"id": n, "name": f"class {n}"} for n in range(1, classes + 1)],
        "annotations": [
            {
                "id": n + 1,
                "image_id": int(truth_pictures[n]),
                "category_id": int(truth_classes[n]),
                "bbox": truth_boxes[n].tolist(),
                "area": float(truth_boxes[n][2] * truth_boxes[n][3]),
                "iscrowd": int(crowds[n]),
            }
            for n in range(objects)
        ],
    }
    near = random.random(detections) < 0.45
    meant = random.integers(0, objects, detections)
    moved = truth_boxes[meant] + random.normal(0, 0.12, (detections, 4)) * truth_boxes[meant][:, [2, 3, 2, 3]]
    found = numpy.where(near[:, None], moved, boxes(random, detections))
    found[:, 2:] = numpy.maximum(found[:, 2:], 1)
    found = found.round(2)
    found_pictures = numpy.where(near, truth_pictures[meant], random.integers(1, pictures + 1, detections))
    is_right = near & (random.random(detections) < 0.9)
    found_classes = numpy.where(is_right, truth_classes[meant], random.integers(1, classes + 1, detections))
    scores = numpy.clip(random.beta(1, 3, detections) + 0.3 * near, 0, 1).round(3)
    results = [
        {
            "image_id": int(found_pictures[n]),
            "category_id": int(found_classes[n]),
            "bbox": found[n].tolist(),
            "score": float(scores[n]),
        }
        for n in range(detections)
    ]
    return truth, results


def by_python(reader, evaluator, truth, results):
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = reader(str(truth))
        evaluation = evaluator(ground_truth, ground_truth.loadRes(str(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return list(evaluation.stats[:12])


def by_time_traveler(program, truth, results):
    line = subprocess.run([program, "evaluate", truth, results, "--json"], check=True, capture_output=True).stdout
    return [-1 if value is None else value for value in json.loads(line)["figures"].values()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--time-traveler", type=pathlib.Path, required=True, help="the program, built for release")
    parser.add_argument("--pictures", type=int, default=5_000)
    parser.add_argument("--objects", type=int, default=36_000)
    parser.add_argument("--detections", type=int, default=200_000)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        truth, results = pathlib.Path(folder, "truth.json"), pathlib.Path(folder, "results.json")
        both = made(options.seed, options.pictures, options.objects, options.detections, options.classes)
        for file, value in zip((truth, results), both):
            file.write_text(json.dumps(value))
        programs = {
            "pycocotools": lambda: by_python(COCO, COCOeval, truth, results),
            "faster-coco-eval": lambda: by_python(FasterCOCO, COCOeval_faster, truth, results),
            "time-traveler": lambda: by_time_traveler(options.time_traveler, truth, results),
        }
        times, figures = {name: [] for name in programs}, {}
        for _ in range(options.runs):
            for name, program in programs.items():
                start = time.perf_counter()
                figures[name] = program()
                times[name].append(time.perf_counter() - start)
    own = statistics.median(times["time-traveler"])
    for name in programs:
        median = statistics.median(times[name])
        away = max(abs(a - b) for a, b in zip(sorted(figures[name]), sorted(figures["pycocotools"])))
        print(f"{name:<17} {median:8.2f} s  {median / own:7.1f} times as long  figures differ by {away:.1e}")


if __name__ == "__main__":
    main()
