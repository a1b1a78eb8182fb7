"""Exercise 1 against PyTorch in float64, numeric gradients, exact values, and answers known to be wrong.

The checks take an implementation, so that wrong ones can be put to them as well: each must fail one.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from ee411 import backprop

D, K, B = 5, 6, 7
EXTREMES = (0.0, 1.0, -1.0, 36.0, -36.0, 745.0, -745.0, 1e4, -1e4, 1e10, -1e10, 1e300, -1e300)


def make_problem(seed=0, column=True, scale=1.0):
    """Return X, y and W, random; w_2 and y are columns or vectors."""
    random = np.random.default_rng(seed)
    shape = (-1, 1) if column else (-1,)
    W = {
        "w_1": scale * random.normal(size=(D, K)),
        "w_2": scale * random.normal(size=K).reshape(shape),
    }
    return random.normal(size=(B, D)), random.integers(0, 2, B).reshape(shape), W


def one_logit(z):
    """Return X and W of a network whose hidden units are all 1/2 and whose last logit is z."""
    return np.ones((1, D)), {"w_1": np.zeros((D, 1)), "w_2": np.array([2.0 * z])}


def torch_gradient(X, y, W):
    """Return the loss and its gradient, by PyTorch in float64."""
    weights = {key: torch.tensor(value, requires_grad=True) for key, value in W.items()}
    z_2 = torch.sigmoid(torch.tensor(X) @ weights["w_1"]) @ weights["w_2"]
    loss = binary_cross_entropy_with_logits(z_2.ravel(), torch.tensor(y, dtype=torch.float64).ravel())
    gradients = torch.autograd.grad(loss, list(weights.values()))
    return loss.item(), dict(zip(W, (gradient.numpy() for gradient in gradients), strict=True))


# The checks.


def check_predict(own):
    for column in (True, False):
        X, _, W = make_problem(1, column)
        z_1, z_2, y_hat = own.predict(X, W)
        expected_z_1 = torch.tensor(X) @ torch.tensor(W["w_1"])
        expected_z_2 = torch.sigmoid(expected_z_1) @ torch.tensor(W["w_2"])
        for found, expected in ((z_1, expected_z_1), (z_2, expected_z_2), (y_hat, expected_z_2.sigmoid())):
            assert found.shape == tuple(expected.shape)
            assert_allclose(found, expected, rtol=1e-12)


def check_naive_loss(own):
    y = np.array([0, 1, 1, 0])
    for tiny in (0.25, 1e-3, 1e-9, 1e-15):  # an epsilon in the logarithm would show
        y_hat = np.array([tiny, tiny, 1 - tiny, 0.5])
        expected = binary_cross_entropy(torch.tensor(y_hat), torch.tensor(y, dtype=torch.float64))
        assert_allclose(own.logistic_loss(y, y_hat), expected, rtol=1e-12)
    assert math.isnan(own.logistic_loss(np.zeros(4), np.zeros(4)))
    assert own.logistic_loss(np.ones(4), np.zeros(4)) == math.inf


def check_stable_loss(own):
    random = np.random.default_rng(2)
    y, z_2 = random.integers(0, 2, 50), random.normal(scale=20, size=50)
    expected = binary_cross_entropy_with_logits(torch.tensor(z_2), torch.tensor(y, dtype=torch.float64))
    assert_allclose(own.stable_logistic_loss(y, z_2), expected, rtol=1e-12)
    assert own.stable_logistic_loss(np.zeros(3), np.full(3, -1e10)) == 0


def check_stable_extremes(own):
    for z in EXTREMES:
        for y in (0, 1):
            signed = (1 - 2 * y) * z
            exact = max(signed, 0) + math.log1p(math.exp(-abs(z)))
            assert_allclose(own.stable_logistic_loss([y], [z]), exact, rtol=1e-12)


def check_gradient(own):
    for seed, column in enumerate((True, False, True, False)):
        X, y, W = make_problem(seed, column, scale=3)
        found, (_, expected) = own.gradient(X, y, W), torch_gradient(X, y, W)
        assert found.keys() == W.keys()
        for key in W:
            assert found[key].shape == W[key].shape
            assert_allclose(found[key], expected[key], rtol=1e-12, atol=1e-12)


def check_numeric_gradient(own):
    X, y, W = make_problem(5)
    found, step = own.gradient(X, y, W), 1e-6
    for key, weights in W.items():
        for index in np.ndindex(weights.shape):
            losses = []
            for sign in (1, -1):
                moved = {name: array.copy() for name, array in W.items()}
                moved[key][index] += sign * step
                losses.append(own.stable_logistic_loss(y, own.predict(X, moved)[1]))
            slope = (losses[0] - losses[1]) / (2 * step)
            assert_allclose(found[key][index], slope, rtol=1e-5, atol=1e-9, err_msg=f"{key}{index}")


def check_gradient_extremes(own):
    for z in EXTREMES:
        for y in (0, 1):
            X, W = one_logit(z)
            signed = (1 - 2 * y) * z
            share = math.exp(min(signed, 0)) / (1 + math.exp(-abs(z)))
            delta = (1 - 2 * y) * share
            found = own.gradient(X, [y], W)
            assert_allclose(found["w_2"], [delta / 2], rtol=1e-12)
            with np.errstate(under="ignore"):
                assert_allclose(found["w_1"], np.full((D, 1), delta * 2 * z / 4), rtol=1e-12)


def check_hidden_saturation(own):
    for z in EXTREMES:  # of the hidden units; σ' must not lose its digits either
        W = {"w_1": np.array([[z]]), "w_2": np.array([1.0])}
        decayed = math.exp(-abs(z))
        slope = decayed / (1 + decayed) ** 2
        delta = own.predict([[1.0]], W)[2][0]
        assert_allclose(own.gradient([[1.0]], [0], W)["w_1"], [[delta * slope]], rtol=1e-12)


CHECKS = [value for name, value in globals().items() if name.startswith("check_")]


@pytest.mark.parametrize("check", CHECKS)
def test_backprop(check):
    check(backprop)


# Answers known to be wrong.


def with_gradient(change):
    """Return a gradient function that changes the right answer."""

    def gradient(X, y, W):
        return change(backprop.gradient(X, y, W), np.asarray(X), np.asarray(y), W)

    return gradient


def overflowing_sigmoid(z):
    return 1 / (1 + np.exp(-z))


def plain_gradient(X, y, W, sigmoid=backprop.sigmoid):
    """Return the gradient as ŷ - y has it, whose digits are gone where ŷ is close to y."""
    z_1 = np.asarray(X) @ W["w_1"]
    x_1 = sigmoid(z_1)
    delta_2 = (sigmoid(x_1 @ W["w_2"]).ravel() - np.ravel(y)) / len(X)
    delta_1 = np.outer(delta_2, W["w_2"]) * x_1 * (1 - x_1)
    return {"w_1": np.asarray(X).T @ delta_1, "w_2": (x_1.T @ delta_2).reshape(W["w_2"].shape)}


def shifted_loss(y, y_hat, epsilon=1e-8):
    y, y_hat = np.ravel(y), np.ravel(y_hat)
    return float(np.mean(-y * np.log(y_hat + epsilon) - (1 - y) * np.log(1 - y_hat + epsilon)))


def clipped_loss(y, y_hat):
    return shifted_loss(y, np.clip(y_hat, 1e-12, 1 - 1e-12), 0)


def loss_of_probabilities(y, z_2):
    with np.errstate(all="ignore"):
        return backprop.logistic_loss(y, overflowing_sigmoid(np.asarray(z_2)))


def overflowing_loss(y, z_2):
    return float(np.mean(np.log(1 + np.exp((1 - 2 * np.asarray(y)) * z_2))))


def cancelling_loss(y, z_2):
    return float(np.mean(np.logaddexp(0, z_2) - np.asarray(y) * z_2))


WRONG = {
    "a sum where a mean belongs, gradient": {
        "gradient": with_gradient(lambda found, X, *_: {key: len(X) * found[key] for key in found})
    },
    "a sum where a mean belongs, loss": {
        "stable_logistic_loss": lambda y, z_2: len(y) * backprop.stable_logistic_loss(y, z_2)
    },
    "a sum where a mean belongs, naive loss": {
        "logistic_loss": lambda y, y_hat: len(y) * backprop.logistic_loss(y, y_hat)
    },
    "the wrong sign": {"gradient": with_gradient(lambda found, *_: {key: -found[key] for key in found})},
    "wrong keys": {
        "gradient": with_gradient(lambda found, *_: {"dw_1": found["w_1"], "dw_2": found["w_2"]})
    },
    "w_1 transposed": {"gradient": with_gradient(lambda found, *_: found | {"w_1": found["w_1"].T})},
    "w_2 flat": {"gradient": with_gradient(lambda found, *_: found | {"w_2": found["w_2"].ravel()})},
    "w_2 as a column": {
        "gradient": with_gradient(lambda found, *_: found | {"w_2": found["w_2"].reshape(-1, 1)})
    },
    "digits lost": {"gradient": plain_gradient},
    "exp overflows, gradient": {"gradient": lambda X, y, W: plain_gradient(X, y, W, overflowing_sigmoid)},
    "exp overflows, loss": {"stable_logistic_loss": overflowing_loss},
    "an epsilon that shifts the loss": {"logistic_loss": shifted_loss},
    "predictions clipped": {"logistic_loss": clipped_loss},
    "the loss of probabilities": {"stable_logistic_loss": loss_of_probabilities},
    "small losses cancelled": {"stable_logistic_loss": cancelling_loss},
    "tanh for σ": {"predict": lambda X, W: (X @ W["w_1"], np.tanh(X @ W["w_1"]) @ W["w_2"], None)},
    "z_2 as a vector": {"predict": lambda X, W: tuple(np.squeeze(part) for part in backprop.predict(X, W))},
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_answers_fail(wrong):
    own = SimpleNamespace(**{**vars(backprop), **WRONG[wrong]})
    with pytest.raises(Exception):  # noqa: B017  (a check's own, or NumPy's overflow warning, an error here)
        for check in CHECKS:
            check(own)


# What holds for every input.

logits = st.floats(-1e300, 1e300)


@given(st.lists(st.tuples(logits, st.integers(0, 1)), min_size=1, max_size=5))
def test_stable_loss_of_anything(pairs):
    """It is finite but for the sum of several huge ones, not negative, and never warns."""
    z_2, y = zip(*pairs, strict=True)
    loss = backprop.stable_logistic_loss(y, z_2)
    assert 0 <= loss < math.inf
    assert loss >= max(max((1 - 2 * label) * logit, 0) for logit, label in pairs) / len(pairs) * (1 - 1e-12)


@given(st.lists(logits, min_size=1, max_size=5))
def test_sigmoid_of_anything(z):
    values = backprop.sigmoid(z)
    assert ((values >= 0) & (values <= 1)).all()
    assert_allclose(values + backprop.sigmoid(-np.array(z)), 1, rtol=1e-15)


@given(st.integers(0, 2**32 - 1), st.floats(-12, 12), st.booleans())
def test_gradient_at_every_scale(seed, exponent, column):
    X, y, W = make_problem(seed, column, scale=10.0**exponent)
    found, (_, expected) = backprop.gradient(X, y, W), torch_gradient(X, y, W)
    for key in W:
        assert_allclose(found[key], expected[key], rtol=1e-9, atol=1e-12 * max(1, np.abs(W["w_2"]).max()))


@pytest.mark.parametrize("shape", [(B,), (B, 1)])
@pytest.mark.parametrize("column", [True, False])
def test_columns_and_vectors_mix(shape, column):
    """Labels (B,) beside logits (B, 1) must not broadcast to (B, B)."""
    X, y, W = make_problem(3, column)
    _, z_2, y_hat = backprop.predict(X, W)
    expected, _ = torch_gradient(X, y, W)
    assert_allclose(backprop.stable_logistic_loss(y.reshape(shape), z_2), expected, rtol=1e-12)
    assert_allclose(backprop.logistic_loss(y.reshape(shape), y_hat), expected, rtol=1e-12)
    for key, value in backprop.gradient(X, y.reshape(shape), W).items():
        assert_array_equal(value, backprop.gradient(X, y, W)[key])


def test_nothing_is_changed():
    X, y, W = make_problem()
    before = X.copy(), y.copy(), {key: value.copy() for key, value in W.items()}
    backprop.gradient(X, y, W)
    assert_array_equal(X, before[0])
    assert_array_equal(y, before[1])
    for key in W:
        assert_array_equal(W[key], before[2][key])


# Bad input.

X, Y, W = make_problem()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: backprop.predict(X, {"w1": 0, "w2": 0}), "keys 'w_1' and 'w_2', got \\['w1', 'w2'\\]"),
        (lambda: backprop.predict(X, W | {"b": 0}), "got \\['w_1', 'w_2', 'b'\\]"),
        (lambda: backprop.predict(X, [1, 2]), "expected a dictionary"),
        (lambda: backprop.predict(X[0], W), "X: expected the shape \\(B, D\\), got \\(5,\\)"),
        (lambda: backprop.predict(X[:, :4], W), "w_1: .* with D = 4 as in X, got \\(5, 6\\)"),
        (lambda: backprop.predict(X, W | {"w_2": np.ones((1, K))}), "w_2: .* K = 6 .*, got \\(1, 6\\)"),
        (lambda: backprop.predict(X, W | {"w_2": np.ones(5)}), "w_2: .* got \\(5,\\)"),
        (lambda: backprop.gradient(X, Y[:3], W), "y: expected as many labels as X has samples, 7, got 3"),
        (lambda: backprop.gradient(X, 2 * Y, W), "y: expected labels that are 0 or 1, got 2.0"),
        (lambda: backprop.gradient(X, Y - 0.5, W), "got (-)?0.5"),
        (lambda: backprop.gradient(X, Y.reshape(1, -1), W), "y: expected the shape .*, got \\(1, 7\\)"),
        (lambda: backprop.gradient(X[:0], Y[:0], W), "at least one label"),
        (lambda: backprop.stable_logistic_loss([], []), "at least one label"),
        (lambda: backprop.stable_logistic_loss(1, 1), "y: expected the shape"),
        (lambda: backprop.stable_logistic_loss([1], [[1, 2]]), "z_2: expected the shape"),
        (lambda: backprop.stable_logistic_loss([math.nan], [1]), "got nan"),
        (lambda: backprop.logistic_loss([1, 0], [0.5]), "as many labels as y_hat has samples, 1, got 2"),
        (lambda: backprop.logistic_loss([1], [1.5]), "y_hat: expected predictions in \\[0, 1\\], got 1.5"),
        (lambda: backprop.logistic_loss([1], [math.nan]), "got nan"),
    ],
)  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
