"""Tests that what students' files do for their own machines, such as asking for a screen, costs nothing."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import test_fashion_mnist as graded
import torchvision_operators  # noqa: F401
from default_assignment import ASSIGNMENT

from autograder.checks import CheckError
from autograder.grading import grade

REPOSITORY = Path(__file__).resolve().parents[2]
COURSE = Path(__file__).parent / "solutions" / "course_files" / "fashion_mnist.py"
HEAD = """
import io, sys
sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
print("naïve")
import matplotlib
matplotlib.use("TkAgg")
import matplotlib.pyplot as plt
plt.switch_backend("Qt5Agg")
import pandas as pd
import seaborn as sns
sns.set_theme()
LOG = pd.DataFrame()
"""
CHANGES = {  # a folder of one's own for the data, loaders that start their workers anew, and a compiler
    '"./data", train=True': '"~/datasets", train=True',
    '"./data", train=False': '"/content/drive", train=False',
    "num_workers=4,": 'num_workers=2,\n            multiprocessing_context="forkserver",',
    "        self.optimizer = None": "        self.optimizer, self.fast = None, torch.compile(self.layers)",
    "return self.layers(x": "return self.fast(x",
}


def test_what_is_for_another_machine_costs_nothing(tmp_path):
    for name in ("q1.py", "q2.py"):
        shutil.copy(REPOSITORY / name, tmp_path)
    source = COURSE.read_text(encoding="utf-8")
    for old, new in CHANGES.items():
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    (tmp_path / "fashion_mnist.py").write_text(HEAD + source, encoding="utf-8")
    result = grade(tmp_path, ASSIGNMENT, seed=1, only=["3.1", "3.9", "3.26"])
    assert result.total == result.maximum == 5, [outcome.message for outcome in result.outcomes.values()]


@pytest.mark.parametrize("root", [".", "./dataset", "~/data", "/no/such/folder", "data/../data"])
def test_roots(root, tmp_path, monkeypatch):
    torchvision = pytest.importorskip("torchvision")
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "raw_folder", None)
    raw_folder = importlib.import_module("data_root").raw_folder
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    dataset = torchvision.datasets.FashionMNIST.__new__(torchvision.datasets.FashionMNIST)
    dataset.root = root
    own = Path(root, "FashionMNIST", "raw")
    assert raw_folder(dataset) == str(own)  # nothing is given
    given = tmp_path / "data" / "FashionMNIST" / "raw"
    given.mkdir(parents=True)
    assert raw_folder(dataset) == str(given)
    if root == "./dataset":
        own.mkdir(parents=True)
        (own / "t10k-labels-idx1-ubyte").touch()
        assert raw_folder(dataset) == str(own)


@pytest.mark.parametrize("error", [FileNotFoundError("images.gz"), RuntimeError("Dataset not found")])
def test_where_the_data_are_is_said(error, monkeypatch):
    monkeypatch.setattr(graded, "fashion_mnist", SimpleNamespace(FashionMNIST=mock.Mock(side_effect=error)))
    with pytest.raises(CheckError, match=rf"{error}(.|\n)*in the folder `./data`"):
        graded.open_dataset(10)


WITHOUT_COMPILER = """
import os, sys
sys.path[:0] = sys.argv[1:3]
import no_compiler, torchvision_operators, adapters, numpy, torch, torchvision.transforms.v2
from torch.utils.data import DataLoader, TensorDataset

weight = torch.nn.Parameter(torch.ones(2))
for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.LBFGS):
    optimizer = kind([weight], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = sum((weight * x).sum() ** 2 for x, in DataLoader(TensorDataset(torch.ones(4, 2)), 2))
        loss.backward()
        return loss

    before = weight.detach().clone()
    optimizer.step(closure)
    assert not torch.equal(weight, before)
    optimizer.load_state_dict(optimizer.state_dict())
compiled = torch.compile(weight), torch.compile(mode="default")(weight), torch.compiler.disable(weight)
assert all(model is weight for model in compiled)
adapters.with_gradient(torch.relu, numpy.ones((2, 3)), numpy.ones((2, 3)))
assert not {"sympy", "torch._dynamo.config"} & sys.modules.keys()

import torch.distributed.fsdp, torch.fx.experimental.symbolic_shapes  # what all would import longest
for wish in sys.argv[3:]:
    child = os.fork()
    if child == 0:
        exec(wish)
        closure()
        optimizer.step(closure)
        assert "torch._dynamo.config" in sys.modules
        print("granted", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
WISHES = (
    "torch._dynamo.config.suppress_errors = True; torch._dynamo.reset()",
    "from torch._dynamo.eval_frame import OptimizedModule; OptimizedModule",
    "torch._dynamo.utils.counters",
)


def test_the_compiler_is_there_for_who_asks_for_it():
    """What trains a network has no need of it; the grader has none of SymPy, either."""
    tests = REPOSITORY / "tests"
    command = [sys.executable, "-c", WITHOUT_COMPILER, str(tests), str(REPOSITORY), *WISHES]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("granted") == len(WISHES), done.stderr
