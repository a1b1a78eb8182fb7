"""The benchmark's commands, on the small made-up data set: what they write, and what they refuse."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import SWEEPS, contradicts_itself, plot_growth, plot_speed
from benchmarks.contenders import CONTENDERS

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = ("--dataset", "synthetic", "--results-dir", "out", "--rounds", "1", "--epochs", "1")


def benchmarks(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "MPLBACKEND": "agg"},
        capture_output=True,
        encoding="utf-8",
    )


def test_speed(tmp_path):
    """A row for each contender and a column for each batch size, and the numbers behind them."""
    arguments = ("--contenders", "custom", "--batch-sizes", "100", "256")
    done = benchmarks("speed", *arguments, *SMALL, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "out" / "speed.md").read_text(encoding="utf-8")
    for words in ("custom (NumPy)", "100", "256", "synthetic"):
        assert words in table
    kept = json.loads((tmp_path / "out" / "speed.json").read_text(encoding="utf-8"))
    assert kept
    assert (tmp_path / "out" / "speed.png").stat().st_size > 10_000


def test_spread(tmp_path):
    """A row for each contender and batch size, with the numbers of each process behind it."""
    arguments = ("--contenders", "custom", "same-work", "--batch-sizes", "100")
    done = benchmarks("spread", *arguments, *SMALL, "--rounds", "2", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "out" / "spread.json").read_text(encoding="utf-8"))["seconds"]
    assert kept.keys() == {CONTENDERS[name].label for name in ("custom", "same-work")}
    table = (tmp_path / "out" / "spread.md").read_text(encoding="utf-8")
    for label, by_size in kept.items():
        (times,) = by_size.values()
        assert len(times) == 2
        (row,) = [line for line in table.splitlines() if label in line]
        assert [cell.strip() for cell in row.split("|")][2:6] == [
            "100",
            "2",
            *(f"{min(times):.3f}",),
            f"{sum(times) / 2:.3f}",
        ]


def test_calls(tmp_path):
    done = benchmarks("calls", "--batch-sizes", "64", *SMALL, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "forward" in (tmp_path / "out" / "calls.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--rounds", "0"), "--rounds"),
        (("--contenders", "caffe"), "caffe"),
        (("calls", "--contenders", "jax"), "expected one of the commands speed and spread, got calls"),
    ],
)
def test_wrong_calls(tmp_path, arguments, told):
    done = benchmarks(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_floor_above_what_it_bounds_is_seen():
    seconds = {"custom": 2.0, "products": 1.0, "same-work": 1.5}
    medians = {CONTENDERS[name].label: {8: value} for name, value in seconds.items()}
    assert not contradicts_itself(medians, 8)
    assert contradicts_itself({**medians, CONTENDERS["products"].label: {8: 2.5}}, 8)


@pytest.mark.parametrize("seed", range(3))
def test_labels(check_labels, seed):
    random = np.random.default_rng(seed)
    sizes = (8, 16, 32, 64, 128, 256)
    labels = [
        it.label + kernel for it in CONTENDERS.values() for kernel in ("", ", OPENBLAS_CORETYPE=Haswell")
    ]
    check_labels(
        plot_speed({label: {size: random.uniform(0.1, 9) for size in sizes} for label in labels}, "synthetic")
    )
    runs = {
        sweep: {
            name: {value: {"seconds": [random.uniform(0.1, 9)]} for value in values}
            for name in ("custom", "pytorch")
        }
        for sweep, (*_, values) in SWEEPS.items()
    }
    check_labels(plot_growth(runs, "synthetic"))
