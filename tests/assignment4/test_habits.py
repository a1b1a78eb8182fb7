"""Tests that a habit which the handout leaves room for costs nothing, or the point of its item alone."""

from __future__ import annotations

import sys
import types
import unittest

import pytest
import test_fashion_mnist
import test_q1
import test_q2
from mutants import REFERENCE

HANDOUT = REFERENCE / "tests" / "assignment4" / "solutions" / "handout"
FIGURE = "import matplotlib.pyplot as plt\n\ndef plot(losses, accuracies):\n"


@pytest.fixture
def lost(monkeypatch):
    """Return a function that yields number and message of the tests that some modules fail."""

    def run(only, **sources):
        for name, source in sources.items():
            module = types.ModuleType(name)
            module.__file__ = str(HANDOUT / f"{name}.py")
            monkeypatch.setitem(sys.modules, name, module)
            for tests in (test_q1, test_q2, test_fashion_mnist):
                if hasattr(tests, name):
                    monkeypatch.setattr(tests, name, module)
            exec(compile(source, module.__file__, "exec"), vars(module))  # noqa: S102
        for tests in (test_q1, test_q2, test_fashion_mnist):
            for test in (
                test for group in unittest.defaultTestLoader.loadTestsFromModule(tests) for test in group
            ):
                number = getattr(test, test.id().rpartition(".")[2]).__number__
                if number.startswith(only):
                    if hasattr(test, "module"):
                        monkeypatch.setattr(type(test), "module", sys.modules[test.module.__name__])
                    result = unittest.TestResult()
                    test.run(result)
                    yield from ((number, text) for _, text in result.failures + result.errors)

    return run


def changed(name, *changes):
    """Return a module of the handout's solution in which some text is replaced."""
    source = (HANDOUT / f"{name}.py").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    return source


TARGET = "self.target = target if np.ndim(target) == 2 else np.eye(prediction.shape[1])[target]"
LOSS = "return -np.sum(self.target * np.log(self.p)) / len(self.p)"
COLUMN = """assert target.shape == (len(prediction), 1)
        self.target = np.eye(prediction.shape[1])[target[:, 0]]"""
LOSSES = {
    "labels in a column": ((TARGET, COLUMN), set()),
    "a loss of shape (1,)": ((LOSS, f"{LOSS.replace('return ', 'return np.array([')}])"), {"1.3.7"}),
    "no use of the upstream gradient": (
        ("return -output_grad * self.target", "return -self.target"),
        set(),
    ),
}


@pytest.mark.parametrize("habit", LOSSES)
def test_losses(habit, lost):
    change, numbers = LOSSES[habit]
    q1 = changed("q1", change)
    assert {number for number, _ in lost(("1.3", "2.1.5"), q1=q1, q2=changed("q2"))} == numbers


INIT = "layer.init_weights()"
KAIMING = """
            if hasattr(layer, "W"):
                m, d = layer.W.shape
                layer.W, layer.b = {}, np.zeros(m)
"""
INITS = {
    "Xavier": (INIT, True),
    "Kaiming, uniform": (KAIMING.format("np.random.uniform(-1, 1, (m, d)) * np.sqrt(6 / d)"), True),
    "Kaiming, normal": (KAIMING.format("np.random.normal(0, np.sqrt(2 / d), (m, d))"), True),
    "Kaiming, by the outputs": (KAIMING.format("np.random.normal(0, np.sqrt(2 / m), (m, d))"), True),
    "far too small": (KAIMING.format("np.random.normal(0, 0.01, (m, d))"), False),
    "far too large": (KAIMING.format("np.random.normal(0, 1, (m, d))"), False),
    "all zero": (KAIMING.format("np.zeros((m, d))"), False),
}


@pytest.mark.parametrize("kind", INITS)
def test_initial_weights_of_a_network(kind, lost):
    own, is_right = INITS[kind]
    q2 = "import numpy as np\n" + changed("q2", (INIT, own.strip()))
    assert (not list(lost("2.1.4", q1=changed("q1"), q2=q2))) is is_right


PLOTS = {
    "one model": (
        "    for axes, curve in zip(plt.subplots(2)[1], (losses, accuracies)):\n        axes.plot(curve)\n"
    ),
    "both models by name": (
        "    for axes, curves in zip(plt.subplots(2)[1], (losses, accuracies)):\n"
        "        for model, curve in curves.items():\n            axes.plot(curve, label=model)\n"
    ),
    "both models by names of one's own": (
        "    for axes, curves in zip(plt.subplots(2)[1], (losses, accuracies)):\n"
        "        axes.plot(curves['PyTorch'])\n        axes.plot(curves['Custom'])\n"
    ),
    "both models in a list": (
        "    for axes, curves in zip(plt.subplots(2)[1], (losses, accuracies)):\n"
        "        for curve in curves:\n            axes.plot(range(3), curve)\n"
    ),
}
AXES = "        axes.set(title='a title', xlabel='epoch', ylabel='number')\n"


@pytest.mark.parametrize("form", PLOTS)
def test_plots(form, lost):
    plots = ("3.26", "3.27")
    assert list(lost(plots, fashion_mnist=FIGURE + PLOTS[form] + AXES)) == []
    (without,) = lost(plots, fashion_mnist=FIGURE + PLOTS[form])
    assert "title and the xlabel and the ylabel of a figure is missing" in without[1]
    ((number, _),) = lost(
        plots, fashion_mnist=FIGURE + PLOTS[form].replace("accuracies)):", "losses)):") + AXES
    )
    assert number == "3.27"
