"""Two processes that share a training give what one gives: runs, and recipes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ee411 import bonus
from ee411.bonus import Outcome, Recipe, train_recipe
from ee411.data import PARTS, load_parts
from ee411.experiments import code_of
from ee411.training import Place, Run, RunRecord, train
from fashion_mnist import Results

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = ("mlp", "--dataset", "synthetic", "--epochs", "1", "--batch-size", "63", "--results-dir", ".")
"""Batches that two processes can't share equally: 63 images each, the last 29."""
RECIPE = Recipe(
    "CNN 16-32-64",
    epochs=2,
    batch_size=63,
    lr=0.006,
    weight_decay=0.01,
    hardest=0.5,
    dataset="synthetic",
    place=Place(),
)
SCRIPT = f"""
import sys
from pathlib import Path
import torch
from ee411 import __main__, bonus
from ee411.bonus import Recipe
from ee411.experiments import Experiments
from ee411.training import Place

def both(self, command=Experiments.mlp):
    command(self)
    self._save(bonus.train_recipe({RECIPE!r}, self.parts, self.workers))

Experiments.mlp = both
train_one_epoch = bonus.train_one_epoch

def noting(*arguments):
    result = train_one_epoch(*arguments)
    first = Path(f"losses-{{arguments[3].rank}}.pt")
    if not first.exists():
        torch.save(arguments[-1], first)
    return result

bonus.train_one_epoch = noting
bonus.has_bfloat16 = lambda device: False
code = __main__.main({COMMAND})
threads = [task.joinpath("comm").read_text() for task in Path("/proc/self/task").glob("*")]  # on Linux
if any("gloo" in name for name in threads):
    sys.exit(f"left when the processes had parted: {{threads}}")
sys.exit(code)
"""
"""Threads of gloo that are left may abort the process when it ends."""


def test_two_processes_give_what_one_gives(tmp_path, monkeypatch):
    """Through torchrun, with gloo on the CPU: the records of one process, but for rounding.

    In float32: bfloat16 would magnify what rounding makes of another order of sums. It is one torchrun for
    everything, whose start takes most of the time.
    """
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = subprocess.run(
        [*torchrun, "script.py"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        encoding="utf-8",
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("MLP, sgd 0.01, batch 63, seed 0") == 1  # and not once for each process
    assert (tmp_path / "mlp.png").exists()

    parts = load_parts("synthetic")
    for optimizer in ("sgd", "nesterov"):
        setting = Run("mlp", optimizer, 0.01, batch_size=63, epochs=1, dataset="synthetic")
        by_two = replace(setting, place=Place("cpu", 2, 1))
        shared, alone = Results(tmp_path, code_of(setting)).load(by_two, RunRecord), train(setting, parts)
        for part in PARTS:
            assert shared.final(f"{part}_loss") == pytest.approx(alone.final(f"{part}_loss"), rel=1e-4)
            assert shared.final(f"{part}_accuracy") == pytest.approx(
                alone.final(f"{part}_accuracy"), abs=1.5 / len(parts[part])
            )

    seen, train_one_epoch = [], bonus.train_one_epoch
    monkeypatch.setattr(
        bonus, "train_one_epoch", lambda *a: (train_one_epoch(*a), seen.append(a[-1].tolist()))[0]
    )
    monkeypatch.setattr(bonus, "has_bfloat16", lambda device: False)
    shared, alone = Results(tmp_path, code_of(RECIPE)).load(RECIPE, Outcome), train_recipe(RECIPE, parts)
    for quantity in ("accuracy", "accuracy_of_views"):
        assert getattr(shared, quantity) == pytest.approx(
            getattr(alone, quantity), abs=1.5 / len(parts["test"])
        )
    assert alone.accuracy > 0.5
    losses = [torch.load(tmp_path / f"losses-{rank}.pt") for rank in range(2)]
    assert torch.equal(*losses)  # so both choose the same images to go on with
    assert losses[0].min() > 0
    few = slice(4 * RECIPE.batch_size)  # AdamW's first steps magnify rounding
    assert losses[0][few].tolist() == pytest.approx(seen[0][few], rel=1e-3)
