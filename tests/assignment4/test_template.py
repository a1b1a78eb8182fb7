"""Tests that who hands in what was handed out gets no points for what is to be written."""

import importlib
import shutil
from pathlib import Path

import pytest
import torchvision_operators  # noqa: F401
from default_assignment import ASSIGNMENT
from in_place_tests import cases_of, install, messages_of

from autograder.grading import describe, grade

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COURSE = HERE / "solutions" / "course_files" / "fashion_mnist.py"  # whose data and PyTorch model are provided
MODULES = ("q1", "q2", "fashion_mnist")
PROVIDED = ("FashionMNIST:", "PyTorch model:")  # as the names of their tests begin
TO_WRITE = """
class CustomMLPFashionMNIST(Layer):
    def __init__(self, input_size=784, hidden_size1=256, hidden_size2=128, output_size=10):
        pass

    def forward(self, x):
        pass

    def backward(self, output_grad):
        pass

    def update(self, learning_rate):
        pass

    def train(self, data, criterion=None, lr=0.001):
        pass

    def test(self, data):
        pass


def plot(train_losses, val_accuracies, title):
    pass
"""


@pytest.fixture
def template(tmp_path):
    """Return a folder with what was handed out."""
    for name in ("q1.py", "q2.py"):
        shutil.copy(HERE / "template" / name, tmp_path)
    provided, found, _ = COURSE.read_text(encoding="utf-8").partition("class CustomMLPFashionMNIST(Layer):")
    assert found
    (tmp_path / "fashion_mnist.py").write_text(provided + TO_WRITE, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("module", MODULES)
def test_template_earns_nothing(module, template, monkeypatch):
    """In place, where what is below the module is right."""
    graded = importlib.import_module(f"test_{module}")
    for name in MODULES[: MODULES.index(module) + 1]:
        install(monkeypatch, (template if name == module else ROOT) / f"{name}.py", graded)
    cases = [case for case in cases_of(graded) if not describe(case).name.startswith(PROVIDED)]
    assert len(cases) >= (40 if module == "q1" else 8)
    assert [case.id() for case in cases if not messages_of(case)] == []


def test_template_earns_nothing_with_stand_ins(template):
    """Isolated: the grader's layers come in place of those that are missing."""
    result = grade(template, ASSIGNMENT, seed=1, only=["2", "3.5", "3.16", "3.17", "3.25", "3.27"])
    assert len(result.tests) >= 13
    assert not result.notes
    assert [test.name for test in result.tests if result.outcomes[test.id].passed] == []
