"""The benchmark's commands, on the small made-up data set: what they write, and what they refuse."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import benchmarks.__main__
from benchmarks.__main__ import SWEEPS, contradicts_itself, plot_growth, plot_speed
from benchmarks.contenders import CONTENDERS

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = ("--dataset", "synthetic", "--results-dir", "out", "--rounds", "1", "--epochs", "1")


def run(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "MPLBACKEND": "agg"},
        capture_output=True,
        encoding="utf-8",
    )


@pytest.fixture
def main(capsys, monkeypatch):
    """Return a function that runs a command in this process: its exit status, stdout and stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
        try:
            status = benchmarks.__main__.main()
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return call


def test_speed(tmp_path):
    """A row for each contender and a column for each batch size, and the numbers behind them."""
    arguments = ("--contenders", "custom", "--batch-sizes", "100", "256")
    done = run("speed", *arguments, *SMALL, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "out" / "speed.md").read_text(encoding="utf-8")
    for words in ("custom (NumPy)", "100", "256", "synthetic"):
        assert words in table
    kept = json.loads((tmp_path / "out" / "speed.json").read_text(encoding="utf-8"))
    assert kept
    assert (tmp_path / "out" / "speed.png").stat().st_size > 10_000


def test_spread(main, monkeypatch):
    """A row for each contender and batch size; a process counts with the median of its epochs."""
    processes = {("custom", 32): [[1, 2, 9], [3, 3, 3], [5, 4, 4]], ("jax", 32): [[2], [2], [2.5]]}

    def time_contender(name, _, batch_size, epochs, dataset):
        assert (epochs, dataset) == (1, "synthetic")
        return {"seconds": processes[name, batch_size].pop(0)}

    monkeypatch.setattr(benchmarks.__main__, "time_contender", time_contender)
    assert main("spread", "--batch-sizes", "32", *SMALL, "--rounds", "3")[0] == 0
    rows = Path("out/spread.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows if " 32 " in row]
    assert cells == [
        ["custom (NumPy)", "32", "3", "2.000", "3.000", "4.000", "1.33"],
        ["JAX, jit", "32", "3", "2.000", "2.000", "2.500", "1.25"],
    ]
    assert not any(processes.values())


def test_calls(tmp_path):
    done = run("calls", "--batch-sizes", "64", *SMALL, folder=tmp_path)
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
def test_wrong_calls(main, one_line, tmp_path, arguments, told):
    status, stdout, stderr = main(*arguments)
    assert (status, stdout) == (2, "")
    one_line(stderr, told)
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
