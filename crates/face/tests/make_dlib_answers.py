"""Makes `fixtures/dlib.json`: dlib's answers, with the built-in models, for the sample portrait and for variants of it.

    pip install dlib numpy pillow
    python crates/face/tests/make_dlib_answers.py

The last run used dlib 20.0.1. `dlib.rs` makes the same variants, with integer arithmetic only.
"""

import gzip
import json
import pathlib
import tempfile

import dlib
import numpy as np
from PIL import Image

FACE = pathlib.Path(__file__).resolve().parent.parent
PORTRAIT = FACE.parent.parent / "examples" / "astronaut.png"


def pictures():
    """The portrait and its variants, by name."""
    portrait = np.array(Image.open(PORTRAIT).convert("RGB"))
    quarters = portrait.astype(np.uint32).reshape(256, 2, 256, 2, 3).sum(axis=(1, 3))
    framed = np.full((560, 640, 3), 90, np.uint8)
    framed[30:542, 100:612] = portrait
    return {
        "portrait": portrait,
        "mirrored": portrait[:, ::-1],
        "half": (quarters // 4).astype(np.uint8),
        "dark": (portrait.astype(np.uint32) * 3 // 8).astype(np.uint8),
        "framed": framed,
        "cropped": portrait[40:231, 120:337],
        "grey": np.repeat(portrait[:, :, 1:2], 3, axis=2),
    }


def main():
    detector = dlib.fhog_object_detector(str(FACE / "models" / "detector.svm"))
    with tempfile.NamedTemporaryFile(suffix=".dat") as unpacked:
        unpacked.write(gzip.decompress((FACE / "models" / "landmarks.dat.gz").read_bytes()))
        unpacked.flush()
        predictor = dlib.shape_predictor(unpacked.name)
    answers = {}
    for name, picture in pictures().items():
        picture = np.ascontiguousarray(picture)
        for upsample, threshold in [(0, 0.0), (1, 0.0), (1, -0.6)]:
            rectangles, scores, filters = detector.run(picture, upsample, threshold)
            answers.setdefault(name, []).append({
                "upsample": upsample,
                "threshold": threshold,
                "faces": [
                    {
                        "left": box.left(),
                        "top": box.top(),
                        "right": box.right(),
                        "bottom": box.bottom(),
                        "score": round(score, 6),
                        "filter": int(number),
                        "landmarks": [[point.x, point.y] for point in predictor(picture, box).parts()],
                    }
                    for box, score, number in zip(rectangles, scores, filters)
                ],
            })
    text = json.dumps(answers, separators=(",", ":"))
    (FACE / "tests" / "fixtures" / "dlib.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
