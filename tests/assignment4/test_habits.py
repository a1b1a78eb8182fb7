"""Tests that a habit which the handout leaves room for costs nothing, or the point of its item alone."""

from __future__ import annotations

import sys
import types
import unittest
from pathlib import Path

import pytest
import test_fashion_mnist
import test_q1
import test_q2
import torchvision_operators  # noqa: F401
from default_assignment import ASSIGNMENT

from autograder.grading import grade

HERE = Path(__file__).parent
HANDOUT, COURSE = (HERE / "solutions" / name for name in ("handout", "course_files"))
OTHER_NAMES = {
    name: (HERE / "other_names" / f"{name}.py").read_text(encoding="utf-8") for name in ("q1", "q2")
}
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
                if number.startswith(only) and in_handout(test):
                    if hasattr(test, "module"):
                        monkeypatch.setattr(type(test), "module", sys.modules[test.module.__name__])
                    result = unittest.TestResult()
                    test.run(result)
                    yield from ((number, text) for _, text in result.failures + result.errors)

    return run


def in_handout(test):
    """Say whether what is tested is the handout's, and nothing that staff have added since."""
    if not hasattr(test, "tested"):
        return True
    text = (HANDOUT / f"{test.module.__name__}.py").read_text(encoding="utf-8")
    return f"class {test.tested}" in text


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
def test_plots(form, lost, monkeypatch):
    monkeypatch.setattr(test_fashion_mnist, "require_custom_model", lambda: None)  # there is but a plot
    plots = ("3.26", "3.27")
    assert list(lost(plots, fashion_mnist=FIGURE + PLOTS[form] + AXES)) == []
    (without,) = lost(plots, fashion_mnist=FIGURE + PLOTS[form])
    assert "title and the xlabel and the ylabel of a figure is missing" in without[1]
    ((number, _),) = lost(
        plots, fashion_mnist=FIGURE + PLOTS[form].replace("accuracies)):", "losses)):") + AXES
    )
    assert number == "3.27"


def test_arrays_of_any_name_at_any_place(lost):
    assert list(lost(("1.", "2."), **OTHER_NAMES)) == []


CUSTOM = "class CustomMLPFashionMNIST(Layer):\n"
TRAINING = {
    CUSTOM: f"{CUSTOM}    trainable = True\n\n    def summary(self):\n        return 'a network'\n\n",
    "criterion(outputs, labels)\n            running_loss += loss.item()\n            self": (
        "criterion(outputs, labels.numpy()[:, None])\n            running_loss += loss\n            self"
    ),
    "criterion.backward(1)": "criterion.backward(loss)",
}


def test_training_with_them(lost):
    source = (COURSE / "fashion_mnist.py").read_text(encoding="utf-8")
    for old, new in TRAINING.items():
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    assert (
        list(lost(("3.5", "3.16", "3.17", "3.19", "3.21", "3.25"), **OTHER_NAMES, fashion_mnist=source)) == []
    )


def test_wrong_numbers_are_said_to_be_in_the_arrays_that_were_taken(lost):
    doubled = OTHER_NAMES["q1"].replace(
        "columns.sum(axis=1, keepdims=True))", "2 * columns.sum(axis=1, keepdims=True))"
    )
    failed = dict(lost("1.1", q1=doubled))
    assert failed.keys() == {"1.1.7", "1.1.8", "1.1.12"}
    assert "dL/db (your `_current[1]`) of Dense(4, 3) for 7 examples is wrong" in failed["1.1.7"]
    assert "Likely bug: dL/db is twice what it should be." in failed["1.1.7"]
    assert "Likely bug: update does right, with a gradient from backward that is wrong." in failed["1.1.12"]


def test_a_network_of_abstract_layers_does_not_pay_for_their_faults(tmp_path):
    faulty = OTHER_NAMES["q1"].replace("return weighted -", "return 0.5 * weighted -")
    assert faulty != OTHER_NAMES["q1"]
    for name, source in {**OTHER_NAMES, "q1": faulty}.items():
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    result = grade(tmp_path, ASSIGNMENT, seed=1, only=["2.1"])
    assert result.total == result.maximum == 10, [outcome.message for outcome in result.outcomes.values()]


FORWARD, BACKWARD = "return x @ self.W.T + self.b", "return output_grad @ self.W"
SUSPICIONS = {  # module, what is replaced, by what; tests, and what they must say, or must not
    "forward is transposed": (
        "q1",
        FORWARD,
        "return x @ self.W + self.b",
        "1.1.4",
        "the weights are transposed",
        True,
    ),
    "forward has the bias as a column": (
        *("q1", FORWARD, "return x @ self.W.T + self.b[:, None] + np.ones(999)", "1.1.4"),
        *("the weights are transposed", False),
    ),
    "backward is transposed": ("q1", BACKWARD, f"{BACKWARD}.T", "1.1.5", "in backward the weights or", True),
    "dL/dW is transposed": (
        "q1",
        "output_grad.T @ self.x",
        "output_grad @ self.x",
        "1.1.5",
        "in backward the",
        True,
    ),
    "backward stumbles": (
        "q1",
        BACKWARD,
        f"{BACKWARD} + np.ones(999)",
        "1.1.5",
        "in backward the weights",
        False,
    ),
    "the layers are reversed": (
        "q2",
        "in self.layers:\n            x",
        "in self.layers[::-1]:\n            x",
        "2.1.1",
        "in the wrong order",
        True,
    ),
    "a layer gets but two columns": (
        "q2",
        "layer.forward(x)",
        "layer.forward(x[:, :2])",
        "2.1.1",
        "wrong order",
        False,
    ),
    "all is NaN": (
        "q1",
        "self.y = np.sign(x) * (1 - e) / (1 + e)",
        "self.y = x * np.nan",
        "1.2b.3",
        "overflows",
        False,
    ),
    "large numbers are NaN": (
        "q1",
        "e = np.exp(-2 * np.abs(x))",
        "e = np.exp(-2 * np.abs(x))\n        e[e == 0] = np.nan",
        "1.2b.3",
        "overflows",
        True,
    ),
    "the loss is NaN": ("q1", LOSS, "return np.nan", "1.3.3", "log 0", False),
    "weights in two heaps": (
        *("q1", "np.random.uniform(-limit, limit, size=(self.output_size, self.input_size))"),
        *(
            "np.sign(np.random.normal(size=(self.output_size, self.input_size)))",
            "1.1.1",
            "normal one",
            False,
        ),
    ),
    "an update of one step only": (
        "q1",
        "self.b -= lr * self.db",
        "self.b -= 2 * lr * self.db",
        "1.1.12",
        "takes the step twice",
        False,
    ),
}


@pytest.mark.parametrize("case", SUSPICIONS)
def test_a_mistake_is_named_where_it_is_shown(case, lost):
    name, old, new, number, sentence, is_shown = SUSPICIONS[case]
    sources = {"q1": changed("q1"), "q2": changed("q2"), name: changed(name, (old, new))}
    messages = [text for found, text in lost(number, **sources) if found == number]
    assert len(messages) == 1
    assert (sentence in messages[0]) is is_shown, messages[0][-900:]
