"""Records of runs, made up and read again, and what else tests of whole runs share."""

import signal
from pathlib import Path

import numpy as np

import fashion_mnist
from fashion_mnist import Mistake, Record, as_text, read_record

PICTURE = as_text(np.linspace(-1, 1, 784).reshape(28, 28))
MADE_UP = {
    "confusion": (np.full((10, 10), 2) + 80 * np.eye(10, dtype=int)).tolist(),
    "mistakes": [Mistake(label, 9 - label, 0.9, PICTURE) for label in range(10)],
    "first_layer": [PICTURE] * 20,
}
"""What a made-up record says of the test images and the weights."""


def make_record(setting, losses=None, accuracies=None, test_accuracy=0.5, seconds=1.0, parameters=1000):
    """Make up the record of a run; by default the losses fall from 2 to 1, and the accuracies are 0.5.

    Args:
        setting: what was run.
        losses, accuracies: one per epoch.
        test_accuracy, parameters: as ``Record`` has them.
        seconds: the training time of all epochs together.
    """
    epochs = setting.epochs
    losses = [2 - epoch / max(1, epochs - 1) for epoch in range(epochs)] if losses is None else losses
    accuracies = [0.5] * epochs if accuracies is None else accuracies
    seconds_of_each = [seconds / epochs] * epochs
    measured = (
        losses,
        [1.1 * loss for loss in losses],
        accuracies,
        test_accuracy,
        seconds_of_each,
        seconds_of_each,
    )
    return Record(setting, parameters, *measured, cores=1, **MADE_UP)


def draw_less(monkeypatch):
    """Leave out the figures that take longest to draw, which tests/fashion_mnist/test_figures.py looks at."""
    for name in ("samples", "losses", "confusion", "mistakes", "first_layer"):
        monkeypatch.setattr(fashion_mnist, f"plot_{name}", lambda *_: None)


def records_in(folder):
    """Return the records in a results folder by their setting, in the order of the files' names."""
    paths = sorted(Path(folder, "runs").glob("*.json"))
    return {record.setting: record for record, _ in (read_record(path, Record) for path in paths)}


def leftovers_in(folder):
    """Return the files in a results folder that are neither records nor figures nor tables."""
    kinds = {".json", ".png", ".csv", ".md"}
    return [path for path in Path(folder).rglob("*") if path.is_file() and path.suffix not in kinds]


def heed_interrupts():
    """Let a child process hear Ctrl-C, also where this one was started in the background, deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
