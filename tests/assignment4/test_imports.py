"""Tests that what students' files do for their own machines, such as asking for a screen, costs nothing."""

import importlib
import shutil
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
