"""Tests that who hands in what was handed out gets no points for what is to be written."""

import shutil
from pathlib import Path

from default_assignment import ASSIGNMENT

from autograder.grading import grade, load_tests

HERE = Path(__file__).parent
COURSE = HERE / "solutions" / "course_files" / "fashion_mnist.py"  # whose data and PyTorch model are provided
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


def test_template_earns_nothing(tmp_path):
    for name in ("q1.py", "q2.py"):
        shutil.copy(HERE / "template" / name, tmp_path)
    provided, found, _ = COURSE.read_text(encoding="utf-8").partition("class CustomMLPFashionMNIST(Layer):")
    assert found
    (tmp_path / "fashion_mnist.py").write_text(provided + TO_WRITE, encoding="utf-8")
    cases = load_tests(ASSIGNMENT).cases
    to_write = [case.test.number for case in cases if not case.test.name.startswith(PROVIDED)]
    result = grade(tmp_path, ASSIGNMENT, seed=1, only=to_write)
    assert len(result.tests) == len(to_write) > 60
    assert not result.notes
    assert [test.name for test in result.tests if result.outcomes[test.id].passed] == []
