"""The numbers of the published table of architectures, as records that have them."""

import csv
from pathlib import Path

import numpy as np
from runs import make_record

from fashion_mnist import ARCHITECTURES, MODELS, Setting, plan

TABLE = Path(__file__).resolve().parents[2] / "docs" / "results" / "architectures.csv"


def groups(accuracy=None, seconds=None):
    """Return runs of three seeds for ``plot_accuracy_against_time``, with the published means and deviations.

    Args:
        accuracy, seconds: functions of the means as published, which return others.
    """
    with open(TABLE, newline="", encoding="utf-8") as file:
        rows = {(row["Configuration"], row["Model"]): row for row in csv.DictReader(file)}
    found = {}
    for architecture, settings in plan("architectures", Setting(), list(MODELS)).items():
        found[architecture] = []
        for setting in settings:
            row = rows[architecture.name, MODELS[setting.model]]
            values = []
            for name, change in (("Test accuracy", accuracy), ("Training (s)", seconds)):
                mean, std = float(row[name]), float(row[f"{name}, standard deviation"])
                values.append((change(mean) if change else mean) + std * np.array([-1, 0, 1]))
            found[architecture].append(
                [
                    make_record(setting, test_accuracy=float(of_one), seconds=max(float(took), 1e-3))
                    for of_one, took in zip(*values, strict=True)
                ]
            )
    assert list(found) == list(ARCHITECTURES)
    return found
