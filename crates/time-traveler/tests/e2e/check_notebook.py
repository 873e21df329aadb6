"""Checks the outputs of a notebook, both those saved in the repository and those of a fresh run:

    python check_notebook.py notebooks/pipeline.ipynb executed/pipeline.ipynb
"""

import base64
import io
import re
import sys
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np
from PIL import Image


class Figure(NamedTuple):
    """A figure: its rows and columns of panels, which have numbers row by row."""

    rows: int
    columns: int
    # The panels that show the original and then rising ages.
    older: tuple[int, ...] = ()
    # The width of each panel, divided by its height; without it, all are squares.
    across: tuple[int, ...] = ()
    # The panels that have boxes in red and points in green.
    drawn: tuple[int, ...] = ()
    # Whether it shows what a long training has found. The tests train for a few steps, so it is not compared with the saved one.
    trained: bool = False


# The figures of each notebook, in order.
FIGURES = {
    "batch-transform.ipynb": [Figure(1, 4, across=(1, 1, 1, 2), drawn=(0, 1, 2, 3))],
    "classifier.ipynb": [Figure(1, 4), Figure(1, 1, trained=True)],
    "deploy.ipynb": [Figure(1, 1), Figure(1, 5, older=(0, 3, 4))],
    "detectron-dataprep.ipynb": [Figure(1, 4, drawn=(0, 1, 2, 3)), Figure(1, 1, across=(2,))],
    "detectron-deploy.ipynb": [Figure(1, 4, drawn=(0, 1, 2, 3), trained=True)],
    "detectron-evaluate.ipynb": [Figure(1, 2, trained=True), Figure(1, 4, drawn=(0, 1, 2, 3), trained=True)],
    "detectron-train.ipynb": [Figure(1, 3, across=(1.5, 1.5, 1.5), trained=True)],
    "faces.ipynb": [Figure(1, 1, drawn=(0,)), Figure(1, 3, drawn=(0, 1))],
    "object-detection.ipynb": [
        Figure(1, 2, across=(1.5, 1.5), trained=True),
        Figure(1, 3, drawn=(0, 1, 2), trained=True),
    ],
    "pipeline.ipynb": [Figure(1, 5, older=(0, 3, 4)), Figure(1, 3), Figure(4, 4, older=(5, 8, 10, 12, 15))],
}
# The lines that have to be printed, in this order.
WORDS = {
    "batch-transform.ipynb": [
        r"^notebook-transform/photos/broken\.png$",
        r"^model: s3://.*/model\.tar\.gz$",
        r"^manifest: Completed$",
        r"^mirrored\.png\.out smaller\.png\.out turned\.png\.out two\.png\.out$",
        r"^prefix: Failed$",
        r"^mirrored\.png\.out smaller\.png\.out turned\.png\.out two\.png\.out$",
        r"broken\.png: ClientError: 400$",
        r'broken\.png: .*"code": ?"CORRUPT_IMAGE"',
        r"^list: Failed$",
        r"^outputs:$",
        r"^prefix-skip: Completed$",
        r"^_records\.jsonl mirrored\.png\.out smaller\.png\.out turned\.png\.out two\.png\.out$",
        r"^list-skip: Completed$",
        r"^_records\.jsonl all\.csv\.out$",
        r"^mirrored\.png: answered, faces: 3$",
        r"^broken\.png: failed, ClientError: 400: .*CORRUPT_IMAGE",
        r"^two\.png: answered, faces: 7$",
        r"^model: gone \(ValidationException\)$",
        r"^objects left: 0$",
        r"^jobs still running: 0$",
    ],
    "classifier.ipynb": [
        r"^160 pictures of 4 breeds, 32 held back$",
        r"^training: Completed$",
        r"^classes\.json model\.safetensors$",
        r"^epochs: 12$",
        r"^the loss has fallen: True$",
        r"^accuracy of at least 0\.9: True$",
        r"^endpoint: InService$",
        r"^\w+_\d+\.jpg is \w+$",
        r"^class confidence top$",
        r"^probabilities fall: True$",
        r"^right: (29|30|31|32) of 32$",
        r"^confused pairs: [0-3](;|$)",
        r"^endpoint: gone \(ValidationException\)$",
        r"^configuration: gone \(ValidationException\)$",
        r"^model: gone \(ValidationException\)$",
        r"^objects left: 0$",
    ],
    "deploy.ipynb": [
        r"^model: s3://.*/model\.tar\.gz$",
        r"^endpoint: Creating$",
        r"^endpoint: InService$",
        r"^queued: notebook-astronaut$",
        r"^application/x-npy engine=preview$",
        r"^\(1024, 5120, 3\) uint8$",
        r'"code": ?"UNSUPPORTED_IMAGE"',
        r"^endpoint: gone \(ValidationException\)$",
        r"^configuration: gone \(ValidationException\)$",
        r"^model: gone \(ValidationException\)$",
        r"^objects left: 0$",
        r"^objects left: 0$",
    ],
    "detectron-dataprep.ipynb": [
        r"^s3://.*/labels/first/manifests/output/output\.manifest$",
        r"^s3://.*/labels/second/manifests/output/output\.manifest$",
        r"^800 pictures, 745 of them with objects$",
        r"^s3://.*/labels/first/pictures/000000\.jpg$",
        r'^square {"class_id": 1, "left": 2, "top": 23, "width": 34, "height": 34}$',
        r"^0\.manifest, ground-truth: 500 pictures$",
        r"^1\.manifest, ground-truth: 300 pictures$",
        r"^circle +456 +557 ",
        r"^square +462 +564 ",
        r"^no problem$",
        r"^pictures: 560 train 120 val 120 test$",
        r"^circle: 319 train 69 val 68 test$",
        r"^square: 324 train 69 val 69 test$",
        r"^no problem$",
        r"^train: 560 pictures, \d+ boxes, 1 circle 2 square$",
        r"^val: 120 pictures, \d+ boxes, 1 circle 2 square$",
        r"^test: 120 pictures, \d+ boxes, 1 circle 2 square$",
        r"^data: 682 objects$",
        r"^held-out: 121 objects$",
    ],
    "detectron-deploy.ipynb": [
        r"^classes: circle square$",
        r"^endpoint: InService$",
        r"^pred_boxes scores pred_classes image_size$",
        r"^height and width: 96 96$",
        r"^scores fall: True$",
        r"^answers: 2$",
        r"^the array is answered as the file: True$",
        r"^ModelError$",
        r"^400$",
        r"^BAD_ARRAY$",
        r"^endpoint: gone \(ValidationException\)$",
        r"^configuration: gone \(ValidationException\)$",
        r"^model: gone \(ValidationException\)$",
        r"^objects left: 0$",
    ],
    "detectron-evaluate.ipynb": [
        r"^120 pictures with \d+ objects: circle square$",
        r"^transform: Completed$",
        r"^answers: 120$",
        r"^image_id category_id bbox score$",
        r"^AP +[0-9.]+ %$",
        r"^AP50 +[0-9.]+ %$",
        r"^circle +\d+ objects, AP50 [0-9.]+ %$",
        r"^square +\d+ objects, AP50 [0-9.]+ %$",
        r"^at score 0\.\d+: precision [0-9.]+ %, recall [0-9.]+ %$",
        r"^missed: \d+$",
        r"^report\.html report\.json$",
    ],
    "detectron-train.ipynb": [
        r"^config\.yaml$",
        r"^train\.json$",
        r"^val\.json$",
        r"^training: Completed$",
        r"^total_loss +[0-9.]+$",
        r"^AP50 +[0-9.]+$",
        r"^figures of a step: loss_box_reg loss_cls loss_rpn_cls loss_rpn_loc lr total_loss$",
        r"^figures of an evaluation: AP AP-circle AP-square AP50 AP75 lr seconds train_loss validation_loss$",
        r"^model\.tar\.gz: config\.yaml labels\.txt last_checkpoint model\.pth$",
        r"^output\.tar\.gz: history\.csv report\.html report\.json training\.html$",
    ],
    "faces.ipynb": [
        r"^model: s3://.*/model\.tar\.gz$",
        r"^endpoint: InService$",
        r"^faces: 8$",
        r"^60 x 28 pixels at \(167, 205\), score 0\.90, 5 points$",
        r"^the same answer: True$",
        r"^the same answer: True$",
        r"^\(3, 256, 256, 3\) uint8$",
        r"^ModelError$",
        r"^404$",
        r'"code": ?"NO_SUCH_KEY"',
        r"^endpoint: gone \(ValidationException\)$",
        r"^configuration: gone \(ValidationException\)$",
        r"^model: gone \(ValidationException\)$",
        r"^objects left: 0$",
    ],
    "object-detection.ipynb": [
        r"^label_map\.pbtxt$",
        r"^pipeline\.config$",
        r"^training\.record$",
        r"^validation\.record$",
        r"^classes: circle square triangle$",
        r"^training: Completed$",
        r"^metrics: AP50 loss$",
        r"^hyperparameters\.json label_map\.pbtxt model\.safetensors pipeline\.config$",
        r"^rounds: 10$",
        r"^endpoint: InService$",
        r"^100 rows of 6$",
        r"^scores fall: True$",
        r"^400$",
        r"^BAD_JSON$",
        r"^endpoint: gone \(ValidationException\)$",
        r"^configuration: gone \(ValidationException\)$",
        r"^model: gone \(ValidationException\)$",
        r"^objects left: 0$",
    ],
    "pipeline.ipynb": [
        r"^notebook-astronaut SUCCESS model=preview$",
        r"^None /images/notebook-astronaut/[0-9a-f]{12}/0\.jpg$",
        r"^80 /images/notebook-astronaut/[0-9a-f]{12}/4\.jpg$",
        r"^\(1024, 5120, 3\) uint8$",
        r"^FAILED UNSUPPORTED_IMAGE$",
        r"JPEG, PNG and WebP",
        r"^notebook-text +FAILED +1 ages  model=None$",
        r"^notebook-sheet +SUCCESS +16 ages  model=preview$",
        r"^notebook-astronaut +SUCCESS +4 ages  model=preview$",
        r"^404 /jobs/notebook-astronaut$",
        r"^404 /images/notebook-astronaut/[0-9a-f]{12}/0\.jpg$",
        r"^404 /jobs/notebook-sheet$",
        r"^404 /images/notebook-sheet/[0-9a-f]{12}/0\.jpg$",
        r"^404 /jobs/notebook-text$",
    ],
}
# Lines with what a training has found, and the least that the saved one has to show. The tests may train for a few steps, and another processor
# rounds in another way, so their lines have other numbers.
TRAINED = {
    "classifier.ipynb": {r"^right: (\d+) of 32$": 29, r"^confused pairs: (\d+)": 0},
    "detectron-evaluate.ipynb": {
        r"^A\w+ +([0-9.]+) %$": 0,
        r"^AP +([0-9.]+) %$": 20,
        r"^AP50 +([0-9.]+) %$": 60,
        r"^\w+ +\d+ objects, AP50 ([0-9.]+) %$": 50,
        r"^at score ([0-9.]+): precision [0-9.]+ %, recall [0-9.]+ %$": 0.1,
        r"^(?:wrong class|duplicate|misplaced box|nothing there|missed): (\d+)$": 0,
    },
    "detectron-train.ipynb": {
        r"^(?:total_loss|loss_\w+|lr|validation_loss|AP75) +([0-9.]+)$": 0,
        r"^AP +([0-9.]+)$": 20,
        r"^AP50 +([0-9.]+)$": 60,
    },
}
# Texts that must not be saved in the repository: addresses, folders of a machine, times, random names.
OF_A_MACHINE = r"127\.0\.0\.1|localhost|/(home|root|tmp|Users)/|\d\d:\d\d:\d\d|[0-9a-f]{8}-[0-9a-f]{4}-"
# The limit for all pictures of one notebook together, in bytes.
MOST_BYTES = 400_000
# The largest mean difference between two renderings of a picture, in levels. Machines round differently.
ALIKE = 2.0

wrong = []


def check(condition, where, what):
    if not condition:
        wrong.append(f"{where}: {what}")


class Shown:
    """The sources, printed lines and pictures of a notebook, with the numbers of their cells."""

    def __init__(self, path):
        self.path = path
        self.cells = nbformat.read(path, as_version=4).cells
        self.words, self.pictures, self.bytes = [], [], 0
        for number, cell in enumerate(self.cells):
            for output in cell.get("outputs", []):
                self.read(self.at(number), number, output)

    def at(self, number):
        return f"{self.path}, cell {number}"

    def read(self, where, number, output):
        if output.output_type == "error":
            return check(False, where, f"it failed: {output.ename}: {output.evalue}")
        if output.output_type == "stream":
            check(output.name == "stdout", where, f"it writes to {output.name}: {output.text}")
            self.words += [(number, line) for line in output.text.splitlines()]
            return None
        for kind, data in output.data.items():
            if kind in ("image/jpeg", "image/png"):
                encoded = base64.b64decode(data)
                self.bytes += len(encoded)
                self.pictures.append((number, np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"), dtype=float)))
            elif kind == "text/plain":
                self.words += [(number, line) for line in data.splitlines()]
            else:
                check(False, where, f"an output of type {kind}")


def spans(filled):
    """The runs of true values in a row of booleans that are longer than the height of a title."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], filled.astype(int), [0]])))
    return [(start, end) for start, end in edges.reshape(-1, 2) if end - start > 50]


def panels(figure):
    """The number of rows and columns in a figure, and its panels row by row. The figure's background is white."""
    ink = figure.min(axis=2) < 240
    rows = spans(ink.mean(axis=1) > 0.6)
    columns = spans(ink[slice(*rows[0])].mean(axis=0) > 0.3) if rows else []
    return len(rows), len(columns), [figure[slice(*row), slice(*column)] for row in rows for column in columns]


def apart(one, other):
    """The mean difference of two pictures, in levels. The panels of a figure may differ by a pixel in size."""
    height, width = np.minimum(one.shape[:2], other.shape[:2])
    return np.abs(one[:height, :width] - other[:height, :width]).mean()


def pure(picture, channel):
    """The number of pixels that have one colour and hardly any of the others. Photographs have none."""
    others = np.delete(picture, channel, axis=2)
    return np.count_nonzero((picture[..., channel] > 200) & (others.max(axis=2) < 90))


def check_figures(shown, expected, few_steps=False):
    check(len(shown.pictures) == len(expected), shown.path, f"{len(expected)} pictures were expected: {len(shown.pictures)}")
    for (number, figure), (rows, columns, older, across, drawn, trained) in zip(shown.pictures, expected):
        where = shown.at(number)
        seen_rows, seen_columns, pictures = panels(figure)
        seen = (seen_rows, seen_columns)
        check(seen == (rows, columns), where, f"{rows} x {columns} panels were expected: {seen} in a picture of {figure.shape}")
        if seen != (rows, columns):
            continue
        found = False
        for n, picture in enumerate(pictures):
            height, width = picture.shape[:2]
            ratio = across[n] if across else 1
            check(abs(height * ratio - width) <= 4 * ratio and height >= 200, where, f"panel {n} is {width} x {height}")
            check(picture.std() > 20, where, f"panel {n} is blank: its levels vary by {picture.std():.1f}")
            red, green = pure(picture, 0), pure(picture, 1)
            marked = red >= 50 and green >= 10
            # After a few steps, nothing may be found in some of the pictures.
            may_lack = few_steps and trained and n in drawn
            check(marked == (n in drawn) or may_lack, where, f"panel {n} has {red} red and {green} green pixels")
            found = found or marked
        check(found or not drawn, where, "no panel has boxes and points")
        for one, other in combinations(range(len(pictures)), 2):
            difference = apart(pictures[one], pictures[other])
            check(difference > 0.3, where, f"panels {one} and {other} are the same: {difference:.2f} levels apart")
        changes = [apart(pictures[older[0]], pictures[n]) for n in older]
        grows = all(later > earlier + 0.3 for earlier, later in zip(changes, changes[1:]))
        check(grows, where, f"panels {older} do not age: they differ from the first by {np.round(changes, 1)}")


def check_words(shown, expected):
    left = iter(shown.words)
    for pattern in expected:
        found = any(re.search(pattern, line) for _, line in left)
        check(found, shown.path, f"no line matches {pattern!r} in its place: {shown.words}")
        if not found:
            return
    for number, line in shown.words:
        found = re.search(OF_A_MACHINE, line)
        check(not found, shown.at(number), f"{line!r} depends on the machine or the time")


def check_kept(kept, ran, figures, trained):
    """Checks that the saved outputs are those of the code."""
    is_trained = trained or any(figure.trained for figure in figures)
    renew = "run_notebook.py without TIME_TRAVELER_STEPS updates it" if is_trained else f"`cp {ran.path} {kept.path}` updates it"
    sources = [[(cell.cell_type, cell.source) for cell in shown.cells] for shown in (kept, ran)]
    check(sources[0] == sources[1], kept.path, "the notebook that was run has other cells")
    counts = [cell.execution_count for cell in kept.cells if cell.cell_type == "code"]
    check(counts == list(range(1, len(counts) + 1)), kept.path, f"it was not run from top to bottom: {counts}; {renew}")
    for (number, one), (_, other) in zip(kept.words, ran.words):
        same = one == other
        for pattern, least in trained.items():
            if found := re.search(pattern, one):
                check(float(found[1]) >= least, kept.at(number), f"{one!r} is saved, but the training has to reach {least}; {renew}")
                same = same or re.search(pattern, other) is not None
        check(same, kept.at(number), f"{one!r} is saved, but it prints {other!r}; {renew}")
        if not same:
            break
    check(len(kept.words) == len(ran.words), kept.path, f"{len(kept.words)} lines are saved, but it prints {len(ran.words)}; {renew}")
    for (number, one), (_, other), figure in zip(kept.pictures, ran.pictures, figures):
        if figure.trained:
            continue
        difference = apart(one, other) if np.abs(np.subtract(one.shape, other.shape)).max() <= 4 else np.inf
        seen = f"{one.shape} and {other.shape}, {difference:.2f} levels apart"
        check(difference < ALIKE, kept.at(number), f"the saved picture is not the one it shows: {seen}; {renew}")
    check(kept.bytes <= MOST_BYTES, kept.path, f"its pictures have {kept.bytes} bytes: at most {MOST_BYTES} are allowed")


kept, ran = (Shown(path) for path in sys.argv[1:])
name = Path(kept.path).name
for shown in (ran, kept):
    check_figures(shown, FIGURES[name], few_steps=shown is ran)
    check_words(shown, WORDS[name])
check_kept(kept, ran, FIGURES[name], TRAINED.get(name, {}))
if wrong:
    raise SystemExit("\n".join(wrong))
