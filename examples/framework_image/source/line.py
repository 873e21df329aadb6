"""Fits a straight line to CSV files, and answers with it: the script of an estimator and of its model."""

import argparse
import os
from pathlib import Path

import numpy as np


def train():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rate", type=float, default=0.3)
    parser.add_argument("--training", default=os.environ.get("SM_CHANNEL_TRAINING"))
    arguments = parser.parse_args()
    x, y = np.concatenate([np.loadtxt(file, delimiter=",", ndmin=2) for file in sorted(Path(arguments.training).rglob("*.csv"))]).T
    slope = intercept = 0.0
    for epoch in range(1, arguments.epochs + 1):
        error = slope * x + intercept - y
        slope -= arguments.rate * 2 * np.mean(error * x)
        intercept -= arguments.rate * 2 * np.mean(error)
        if epoch % 50 == 0:
            print(f"epoch={epoch} loss={np.mean(error**2):.6f}", flush=True)
    np.savez(Path(os.environ["SM_MODEL_DIR"]) / "line.npz", slope=slope, intercept=intercept)


def model_fn(folder):
    model = np.load(Path(folder) / "line.npz")
    slope, intercept = float(model["slope"]), float(model["intercept"])
    return lambda x: np.round(slope * x + intercept, 3)


if __name__ == "__main__":
    train()
