"""Writes the pickles of arrays among the fixtures, with NumPy alone: python make_arrays.py"""
import pickle
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "checkpoints"


class Shell:
    """What a pickle must not do."""

    def __reduce__(self):
        return print, ("run",)


def write(name, value, protocol):
    (FOLDER / name).write_bytes(pickle.dumps(value, protocol))


model = {
    "stem.weight": np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4) / 8 - 1,
    "stem.bias": np.array([0.5, -2.0]),
    "steps": np.array(300, dtype=np.int64),
}
content = {"model": model, "__author__": "A Model Zoo", "matching_heuristics": True}
for protocol in (2, 4, 5):
    write(f"arrays_{protocol}.pkl", content, protocol)
write("arrays_columns.pkl", {"model": {"a": np.asfortranarray(np.ones((2, 3), np.float32))}}, 4)
write("arrays_code.pkl", {"model": {"a": Shell()}}, 4)
