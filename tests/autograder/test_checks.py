"""Tests of what the graded tests share: where weights are, what counts as equal, what a student reads."""

from __future__ import annotations

from types import SimpleNamespace

import adapters
import numpy as np
import probe
import pytest
import torch

from autograder import checks
from autograder.checks import CheckError

W, B = np.arange(12.0).reshape(3, 4), np.arange(3.0)
DW, DB = W + 100, B + 100


class Layer:
    """A layer with these attributes, and others that mean nothing."""

    def __init__(self, **arrays):
        vars(self).update({name: array.copy() for name, array in arrays.items()})
        self.d, self.name, self.x, self.mask = 4, "W", np.ones((5, 4)), np.ones((5, 3))


class InLists:
    def __init__(self):
        self.params, self.grads = [W.copy(), B.copy()], [DW.copy(), DB.copy()]


class InDicts:
    def __init__(self):
        self.params = {"W": W.copy(), "b": B.copy()}
        self.grads = {"W": DW.copy(), "b": DB.copy()}


class InObjects:
    def __init__(self):
        self.weight = SimpleNamespace(data=W.copy(), grad=DW.copy())
        self.bias = SimpleNamespace(data=B.copy(), grad=DB.copy())


class Lazy:
    """Has weights only after init_weights, and hands out copies."""

    W = b = None

    def init_weights(self):
        self._w, self._b = W.T.astype(np.float32), B[:, None].astype(np.float32)

    @property
    def weights(self):
        return None if not hasattr(self, "_w") else self._w.copy()

    @weights.setter
    def weights(self, value):
        self._w = value

    @property
    def bad(self):
        raise RuntimeError("not yet")


def lazy_with_gradients():
    layer = Lazy()
    layer.weights_grad, layer.bias_grad = DW.T, DB[None]
    return layer


LAYERS = {
    "handout": lambda: Layer(W=W, b=B, dW=DW, db=DB),
    "course": lambda: Layer(weights=W.T, bias=B[None], weights_grad=DW.T, bias_grad=DB[None]),
    "torch": lambda: Layer(weight=W, bias=B, weight_grad=DW, bias_grad=DB),
    "private": lambda: Layer(_w=W.T, _b=B[:, None], _grad_w=DW.T, _grad_b=DB[:, None]),
    "mixed": lambda: Layer(W=W, b=B, weights_gradient=DW.T, bias_gradient=DB),
    "spelled out": lambda: Layer(weights=W.T, biases=B, dL_dweights=DW.T, dL_dbiases=DB),
    "column-major": lambda: Layer(W=np.asfortranarray(W), b=B, dW=np.asfortranarray(DW), db=DB),
    "lists": InLists,
    "dicts": InDicts,
    "objects": InObjects,
    "lazy": lazy_with_gradients,
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_weights_are_found_and_set(make):
    layer = make()
    for found, expected in zip(adapters.parameters(layer), (W, B), strict=True):
        np.testing.assert_array_equal(found, expected)
    for found, expected in zip(adapters.gradients(layer), (DW, DB), strict=True):
        np.testing.assert_array_equal(found, expected)
    adapters.set_parameters(layer, torch.tensor(W + 0.5), B - 0.5)
    for found, expected in zip(adapters.parameters(layer), (W + 0.5, B - 0.5), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_what_else_refers_to_the_weights_sees_the_new_ones():
    layer = Layer(W=W, b=B)
    layer.everything = (layer.W, layer.b)
    adapters.set_parameters(layer, W + 1, B + 1)
    np.testing.assert_array_equal(layer.everything[0], W + 1)


def test_weights_of_whole_numbers_can_be_set():
    layer = Layer(W=np.zeros((3, 4), int), b=np.zeros(3, int))
    adapters.set_parameters(layer, W + 0.5, B)
    np.testing.assert_array_equal(layer.W, W + 0.5)


def test_nothing_is_found():
    with pytest.raises(CheckError, match=r"expected `W` of shape \(m, d\)(.|\n)*found .*`matrix` \(3, 4\)"):
        adapters.parameters(_with_init(Layer(matrix=W)))
    with pytest.raises(CheckError, match="wrong shape, or can't be assigned"):
        adapters.set_parameters(Layer(W=W.T[:2], b=B[:2]), W, B)
    with pytest.raises(CheckError, match=r"leaves no bias gradient(.|\n)*`dW` and `db`"):
        adapters.gradients(Layer(W=W, b=B, dW=DW))


def _with_init(layer):
    layer.init_weights = lambda: None
    return layer


def test_a_transposed_gradient_stays_one():
    dW, _ = adapters.gradients(Layer(W=W, b=B, dW=DW.T, db=DB))
    assert dW.shape == (4, 3)
    dW, _ = adapters.gradients(Layer(weights=W.T, bias=B, weights_grad=DW, bias_grad=DB))
    assert dW.shape == (4, 3)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *(("W", "weights"), ("dW", "weights gradient"), ("grad_bias", "bias gradient"), ("bias_", "bias")),
        *((name, None) for name in ("layer1_weights", "dx", "wb", "batch", "grad", "words")),
    ],
)
def test_roles(name, role):
    assert probe.role_of(name) == role


def test_updates_of_one_s_own():
    class Own:
        def update(self, learning_rate):
            pass

    class Optimizer:
        def update(self, optimizer, learning_rate):
            pass

    assert adapters.has_update(Own())
    assert not adapters.has_update(Optimizer())
    assert not adapters.has_update(Layer())
    q1 = pytest.importorskip("q1")
    assert adapters.has_update(q1.Dense(2, 3))
    assert not adapters.has_update(q1.ReLULayer())


def message_of(*args, **kwargs):
    with pytest.raises(CheckError) as caught:
        checks.assert_close(*args, **kwargs)
    return str(caught.value)


def test_messages_about_numbers():
    wrong = W.copy()
    wrong[1, 2] = 8
    assert message_of(wrong, W, "y") == (
        "**y is wrong.**\n\n"
        "- largest error 2 at [1, 2]: expected 6, got 8\n"
        "- largest relative error 0.33\n"
        "- shape (3, 4), as it should be; dtype float64"
    )
    assert message_of(np.float32(3), 2.0, "the loss").startswith(
        "**the loss is wrong.**\n\n- largest error 1: expected 2, got 3\n"
    )
    assert message_of(W.T, W, "y", suspects={"it is transposed": W.T}) == (
        "**y has the wrong shape.**\n\n- expected (3, 4)\n- got (4, 3)\n\nLikely bug: it is transposed."
    )
    assert "Likely bug: twice." in message_of(
        2 * W, W, "y", suspects={"half": W / 2, "twice": (W + 9, 2 * W)}
    )
    assert "Likely bug" not in message_of(2 * W, W, "y", suspects={"half": W / 2})
    for answer, expected, named in (
        (np.where(W > 9, np.nan, W), W, True),
        (W * np.nan, W, False),  # nothing shows that it is the size that matters
        (np.where(W > 9, np.nan, W + 1), W, False),
        (np.nan, 1.0, False),
    ):
        assert ("Likely bug: overflow." in message_of(answer, expected, "y", not_finite="overflow")) is named
    assert "Likely bug: it is not implemented yet, or a `return` is missing." in message_of(None, W, "y")
    for nonsense in ("abc", [[1], [1, 2]], object(), W + 1j, np.array(["a"])):
        assert "array of real numbers" in message_of(nonsense, W, "y")


def test_what_counts_as_equal():
    for actual, expected in (
        (W.astype(np.float32) / 3, W / 3),
        (torch.tensor(W), W),
        (np.array([np.nan, np.inf]), [np.nan, np.inf]),
        (1e-6, 0.0),
        (np.zeros((0, 3)), np.zeros((0, 3))),
    ):
        checks.assert_close(actual, expected, "y")
    for actual, expected in (
        ([np.nan, 1], [1, 1]),
        ([1, 1], [np.nan, 1]),
        ([np.inf], [-np.inf]),
        ([1e300], [np.inf]),
        ([1.001], [1.0]),
        (1e-4, 0.0),
        ([1.0], 1.0),
    ):
        with pytest.raises(CheckError):
            checks.assert_close(np.array(actual), expected, "y")
    checks.assert_close(1.0009, 1.0, "y", tolerance=1e-3)
    with pytest.raises(CheckError):
        checks.assert_close(1e-6, 0.0, "y", scale=0)


def test_errors_of_the_student_s_code(monkeypatch, tmp_path):
    path = tmp_path / "q1.py"
    path.write_text("def f(x):\n    return x @ x\n\n\ndef g(x):\n    assert len(x) == 1\n", encoding="utf-8")
    monkeypatch.setattr(checks, "submission_modules", {"q1"})
    module = {}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module)  # noqa: S102
    with pytest.raises(ValueError, match="matmul") as caught:
        module["f"](W)
    text = checks.explain(caught.value)
    assert text.startswith(
        "**Your code raised an error.**\n\n```\nq1.py, line 2\n    return x @ x\nValueError: matmul"
    )
    assert __file__ not in text
    with pytest.raises(AssertionError) as caught:
        module["g"](W)
    assert "q1.py, line 6\n    assert len(x) == 1\nAssertionError: " in checks.explain(caught.value)
    assert checks.explain(CheckError("y is wrong", bug="a typo")) == "**y is wrong.**\n\nLikely bug: a typo."
    for is_shown, end in (
        (lambda: True, r"\n\nLikely bug: something is transposed\.$"),
        (lambda: False, r"```$"),
        (lambda: 1 / 0, r"```$"),
    ):
        with (
            pytest.raises(CheckError, match=rf"q1\.py, line 2(.|\n)*{end}"),
            checks.hint("something is transposed", is_shown),
        ):
            module["f"](W)
    with pytest.raises(CheckError, match=r"^\*\*y is wrong"), checks.hint("transposed", lambda: True):
        raise CheckError("y is wrong")


def test_a_mistake_is_named_only_if_it_explains_every_case():
    def told(*answers, error=None):
        with pytest.raises((CheckError, ZeroDivisionError)) as caught, checks.Comparison() as compare:
            for scale, answer in enumerate(answers, 1):
                suspects = {"negative": -scale * W, "twice": 2 * scale * W, "zero": 0 * W}
                compare(answer, scale * W, f"y{scale}", suspects=suspects if scale < 3 else {})
            if error:
                raise error
        return str(caught.value)

    assert "y1 is wrong" in told(2 * W, 4 * W)
    assert "Likely bug: twice." in told(2 * W, 4 * W)
    assert "Likely bug" not in told(2 * W, -2 * W)
    assert "Likely bug" not in told(2 * W, 2 * W)  # the second is right, which a factor 2 does not explain
    assert "Likely bug: twice." in told(2 * W, 4 * W, 3 * W)  # of the third the mistake says nothing
    assert "Likely bug" not in told(2 * W, 4 * W, 6 * W)
    assert "y2 is wrong" in told(W, W + 1, error=ZeroDivisionError())
    assert told(W, 2 * W, error=ZeroDivisionError("1 / 0")) == "1 / 0"
    assert "y1 is None" in told(None)
    with checks.Comparison() as compare:
        compare(W, W, "y")


def test_relative_errors_are_those_of_numbers_that_are_not_0():
    expected = np.array([0.0, 1e-300, 4])
    assert "relative" not in message_of(np.array([1.0, 1, 4]), expected, "y")
    assert "largest relative error 0.25\n" in message_of(np.array([7.0, 7, 5]), expected, "y")
    assert "largest relative error inf\n" in message_of(np.array([0, 0, np.nan]), expected, "y")


def test_either_target():
    def run(test):
        return adapters.with_either_target(test)(None)

    def check(target, error):
        if target(np.array([1]), 3).ndim == 1:
            raise error

    run(lambda self, target: check(target, ValueError()))
    for first, second, raised in (
        (ValueError("1"), CheckError("2"), "2"),
        (CheckError("1"), ValueError("2"), "1"),
        (CheckError("1"), CheckError("2", bug="bug"), "2"),
        (CheckError("1"), CheckError("2"), "1"),
    ):
        failures = iter([first, second, CheckError("column", bug="bug")])

        def fail(self, target, failures=failures):
            raise next(failures)

        with pytest.raises((ValueError, CheckError), match=raised):
            run(fail)


def test_draws_belong_to_the_submission(monkeypatch):
    before = checks.random_batch(2, 3)
    np.testing.assert_array_equal(checks.random_batch(2, 3), before)
    assert not np.array_equal(checks.random_batch(2, 3, seed=1), before)
    monkeypatch.setattr(checks, "submission_seed", 2**64 + 5)
    assert not np.array_equal(checks.random_batch(2, 3), before)


def test_changes_in_place_are_seen():
    class Careless:
        def forward(self, x):
            x[x < 0] = 0
            return x

        def backward(self, g):
            g *= 2
            return g

    x, g = -np.ones((2, 3)), np.ones((2, 3))
    with pytest.raises(CheckError, match="argument 1 of forward and argument 1 of backward is changed"):
        adapters.assert_unchanged(Careless(), [x], [g], np.zeros((2, 3)))
    with pytest.raises(CheckError, match="has to be right first"):
        adapters.assert_unchanged(Careless(), [x], [g], np.ones((2, 3)))
    np.testing.assert_array_equal(x, -np.ones((2, 3)))
