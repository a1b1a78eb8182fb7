"""The right answers to exercise 1, and the wrong ones that common mistakes give.

A wrong answer stands beside the sentence that a student is told whose code gives it; a tuple holds those of
one mistake that can show in several ways. Everything is computed in float64, B samples as the rows of X.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from autograder.checks import generator

Array: TypeAlias = np.ndarray
Gradient: TypeAlias = dict[str, Array]

EPSILONS = (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16, float(np.finfo(float).eps))

SUM = "the losses of the batch are added up, and not averaged: divide by B"
SIGN = "the minus sign is missing"
EXCHANGED_LABELS = "the labels 0 and 1 are exchanged"
PLUS_MINUS_ONE = "the formula is that for labels of -1 and 1, and here they are 0 and 1"
ORDER = "the outputs are in the wrong order: return z_1, then z_2, then ŷ"
RATIO_OVERFLOWS = "exp overflows: exp(z) / (1 + exp(z)) is inf / inf for large z, 1 / (1 + exp(-z)) is not"
OVERFLOW = (
    "exp overflows, or ŷ is rounded to 0 or 1, on the way to the logarithm: "
    "np.logaddexp(0, z) is log(1 + exp(z)) without either"
)
CLIPPED = "an epsilon, or predictions that are clipped, shift the loss"


def sigmoid(z: Array) -> Array:
    """Return σ(z), with all its digits for every z."""
    decayed = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, decayed) / (1 + decayed)


def ratio_sigmoid(z: Array) -> Array:
    """Return σ(z) as a formula has it that overflows."""
    return np.exp(z) / (1 + np.exp(z))


def relu(z: Array) -> Array:
    """Return max(z, 0)."""
    return np.maximum(z, 0)


def draw_labels(n: int, seed: int = 0) -> Array:
    """Return labels (n, 1), as many ones as zeros, or one more zero."""
    return generator(seed, n).permutation(np.arange(n) % 2)[:, None].astype(float)


@dataclass(frozen=True)
class Network:
    """A batch, a network, and what is computed from them.

    Attributes:
        X: the batch (B, D).
        y: the labels (B, 1).
        W: the weights, "w_1" (D, K) and "w_2" (K, 1).
        hidden, output: the activations.
    """

    X: Array
    y: Array
    W: dict[str, Array]
    hidden: Callable[[Array], Array] = sigmoid
    output: Callable[[Array], Array] = sigmoid

    @classmethod
    def draw(cls, n: int, d: int = 5, k: int = 6, seed: int = 0) -> Network:
        """Return a network of the handout's D and K, or of others, and a batch of n samples."""
        random = generator(seed, n, d, k)
        # Not around 0: there z (1 - z), for example, could be σ' for all that the numbers tell.
        W = {"w_1": random.normal(0.3, 1, (d, k)), "w_2": random.normal(0.5, 1, (k, 1))}
        return cls(random.normal(0.3, 1, (n, d)), draw_labels(n, seed), W)

    @cached_property
    def z_1(self) -> Array:
        """The hidden units' logits (B, K)."""
        return self.X @ self.W["w_1"]

    @cached_property
    def x_1(self) -> Array:
        """The hidden units (B, K)."""
        return self.hidden(self.z_1)

    @cached_property
    def z_2(self) -> Array:
        """The logits (B, 1)."""
        return self.x_1 @ self.W["w_2"]

    @cached_property
    def y_hat(self) -> Array:
        """The predictions (B, 1)."""
        return self.output(self.z_2)

    @property
    def right_delta(self) -> Array:
        """The derivatives of the average loss with respect to z_2: ŷ - y with all its digits, over B."""
        away = 1 - 2 * self.y
        return away * sigmoid(away * self.z_2) / len(self.y)

    def gradient(self, delta: Any = None, slope: Any = None, **changes: Any) -> Gradient:
        """Return the gradient of the average loss, or what it is with wrong factors.

        Args:
            delta: the derivatives with respect to z_2 (B, 1).
            slope: those of the hidden activation (B, K).
            **changes: other x_1 or w_2 than the network has.
        """
        delta = self.right_delta if delta is None else delta
        slope = self.x_1 * sigmoid(-self.z_1) if slope is None else slope
        x_1, w_2 = changes.get("x_1", self.x_1), changes.get("w_2", self.W["w_2"])
        return {"w_1": self.X.T @ (delta @ w_2.T * slope), "w_2": x_1.T @ delta}

    def other(self, **changes: Any) -> Network:
        """Return a network that differs in some attributes."""
        return Network(**{**{name: getattr(self, name) for name in self.__dataclass_fields__}, **changes})


# ---------------------------------------------------------------------------------------------------
# Wrong predictions
# ---------------------------------------------------------------------------------------------------


def wrong_predictions(right: Network) -> dict[str, dict[str, Any]]:
    """Return wrong z_1, z_2 and ŷ by what is wrong."""
    x_1, z_2, y_hat = right.x_1, right.z_2, right.y_hat
    wrong: dict[str, dict[str, Any]] = {
        "σ(z_1) is returned where z_1 should be: return the logits": {"z_1": x_1},
        "σ is missing at the output": {"y_hat": z_2},
        "σ is applied twice at the output": {"y_hat": sigmoid(y_hat)},
        "ŷ is the probability of the label 0, not of the label 1": {"y_hat": 1 - y_hat},
        "ŷ is rounded to a label: return the probability": {"y_hat": y_hat.round()},
        "a softmax is taken of one number, which is 1: σ belongs here": {"y_hat": np.ones_like(y_hat)},
        "a softmax is taken over the batch: σ belongs here": {"y_hat": np.exp(z_2) / np.exp(z_2).sum()},
        **overflowing_predictions(right),
    }
    for what, network in other_networks(right).items():
        wrong[what] = {"z_2": network.z_2, "y_hat": network.y_hat}
    return wrong


def overflowing_predictions(right: Network) -> dict[str, dict[str, Any]]:
    """Return ŷ where exp overflows at the output, or at both layers."""
    z_2 = ratio_sigmoid(right.z_1) @ right.W["w_2"]
    return {RATIO_OVERFLOWS: {"y_hat": (ratio_sigmoid(right.z_2), ratio_sigmoid(z_2))}}


def other_networks(right: Network) -> dict[str, Network]:
    """Return networks with other activations, by what is wrong."""
    return {
        "σ is missing at the hidden units: z_2 = σ(z_1) w_2": right.other(hidden=lambda z: z),
        "tanh stands where the sigmoid should be": right.other(hidden=np.tanh),
        "tanh stands where the sigmoid should be, at the output": right.other(output=np.tanh),
        "tanh stands where the sigmoid should be, twice": right.other(hidden=np.tanh, output=np.tanh),
        "a ReLU stands where the sigmoid should be": right.other(hidden=relu),
        "a ReLU stands where the sigmoid should be, at the output": right.other(output=relu),
        "the sigmoid has the wrong sign: it is 1 / (1 + exp(-z))": right.other(
            hidden=lambda z: sigmoid(-z), output=lambda z: sigmoid(-z)
        ),
    }


# ---------------------------------------------------------------------------------------------------
# Losses
# ---------------------------------------------------------------------------------------------------


def losses(y: Array, y_hat: Array) -> Array:
    """Return the losses of samples as the formula has them, with infinities and NaN where these arise."""
    return -y * np.log(y_hat) - (1 - y) * np.log(1 - y_hat)


def wrong_losses(y: Array, y_hat: Array) -> dict[str, Any]:
    """Return wrong answers of ``logistic_loss`` by what is wrong."""
    right = losses(y, y_hat)
    return {
        **wrong_means(right),
        "the term with log(1 - ŷ) is missing": np.mean(-y * np.log(y_hat)),
        "the term with log ŷ is missing": np.mean(-(1 - y) * np.log(1 - y_hat)),
        "the second term has the wrong sign": np.mean(-y * np.log(y_hat) + (1 - y) * np.log(1 - y_hat)),
        EXCHANGED_LABELS: losses(1 - y, y_hat).mean(),
        "y and ŷ are exchanged: the logarithm is that of ŷ": losses(y_hat, y).mean(),
        "σ is applied to what are predictions already": losses(y, sigmoid(y_hat)).mean(),
        "this is the squared error": (np.mean((y - y_hat) ** 2), np.mean((y - y_hat) ** 2) / 2),
        PLUS_MINUS_ONE: np.logaddexp(0, -y * y_hat).mean(),
        CLIPPED: shifted_losses(y, y_hat),
    }


def wrong_stable_losses(y: Array, z_2: Array) -> dict[str, Any]:
    """Return wrong answers of ``stable_logistic_loss`` by what is wrong, whatever the size of the logits."""
    away = 1 - 2 * y
    y_hat = 1 / (1 + np.exp(-z_2))
    return {
        **wrong_means(np.logaddexp(0, away * z_2)),
        EXCHANGED_LABELS: np.logaddexp(0, -away * z_2).mean(),
        PLUS_MINUS_ONE: np.logaddexp(0, -y * z_2).mean(),
        "the label is left out": (np.logaddexp(0, z_2).mean(), np.logaddexp(0, -z_2).mean()),
        "the term for the label 0 is missing": np.mean(y * np.logaddexp(0, -z_2)),
        "the term for the label 1 is missing": np.mean((1 - y) * np.logaddexp(0, z_2)),
        "z_2 is taken for a prediction, and it is a logit": losses(y, z_2).mean(),
        "σ is applied twice": losses(y, sigmoid(sigmoid(z_2))).mean(),
        OVERFLOW: (
            np.log(1 + np.exp(away * z_2)).mean(),
            np.mean(np.log(1 + np.exp(z_2)) - y * z_2),
            np.mean(np.log(1 + np.exp(-z_2)) + (1 - y) * z_2),
            losses(y, y_hat).mean(),
            losses(y, ratio_sigmoid(z_2)).mean(),
            np.where(y == 1, -np.log(ratio_sigmoid(z_2)), -np.log(1 - ratio_sigmoid(z_2))).mean(),
        ),
        CLIPPED: shifted_losses(y, y_hat),
    }


def wrong_means(right: Array) -> dict[str, Any]:
    """Return what is not the mean of losses (B, 1), by what is wrong."""
    mean = right.mean()
    return {
        SUM: right.sum(),
        SIGN: -mean,
        f"{SIGN}, and {SUM}": -right.sum(),
        "it is divided by B twice": mean / len(right),
        "it is divided by 2, which the handout's loss is not": mean / 2,
        "the logarithm has base 2: it is the natural one": mean / np.log(2),
        "the logarithm has base 10: it is the natural one": mean / np.log(10),
        "the losses are not averaged: return one number, their mean": (right, right.ravel()),
        "only the first sample counts": (right[0, 0], right[0, 0] / len(right)),
        "only the last sample counts": (right[-1, 0], right[-1, 0] / len(right)),
    }


def shifted_losses(y: Array, y_hat: Array) -> tuple[float, ...]:
    """Return the average losses with predictions that are clipped, or an epsilon in the logarithm."""
    answers = []
    for epsilon in EPSILONS:
        answers.append(losses(y, np.clip(y_hat, epsilon, 1 - epsilon)).mean())
        answers.append(np.mean(-y * np.log(y_hat + epsilon) - (1 - y) * np.log(1 - y_hat + epsilon)))
    return tuple(answers)


# ---------------------------------------------------------------------------------------------------
# Wrong gradients
# ---------------------------------------------------------------------------------------------------


def wrong_gradients(right: Network) -> dict[str, Gradient | tuple[Gradient, ...]]:
    """Return wrong gradients by what is wrong."""
    y, z_1, x_1, z_2, y_hat = right.y, right.z_1, right.x_1, right.z_2, right.y_hat
    delta, answer, n = right.right_delta, right.gradient, len(y)
    ratio = right.other(hidden=ratio_sigmoid, output=ratio_sigmoid)
    uncancelled = (y_hat - y) / (y_hat * (1 - y_hat)) * (y_hat * (1 - y_hat))
    wrong: dict[str, Any] = {
        "it is the gradient of the sum of the losses, not of their mean: divide by B": answer(n * delta),
        "it is divided by B twice": answer(delta / n),
        "a sign is wrong: the derivative with respect to z_2 is ŷ - y, not y - ŷ": answer(-delta),
        "σ'(z_1) is missing": answer(slope=1),
        "σ' is σ (1 - σ): its factor 1 - σ is missing": answer(slope=x_1),
        "σ' is σ (1 - σ): its factor σ is missing": answer(slope=1 - x_1),
        "σ' is taken from z_1, as z_1 (1 - z_1): it is σ(z_1) (1 - σ(z_1))": answer(slope=z_1 * (1 - z_1)),
        "σ' is taken at σ(z_1): it is taken at z_1": answer(slope=sigmoid(x_1) * sigmoid(-x_1)),
        "σ' is that of z_2 where it should be that of z_1": answer(slope=y_hat * (1 - y_hat)),
        "1 - x² is the derivative of tanh: that of σ is σ (1 - σ)": answer(slope=1 - x_1**2),
        "the derivative is that of a ReLU: that of σ is σ (1 - σ)": answer(slope=z_1 > 0),
        "the factor w_2 is missing": answer(w_2=np.ones_like(right.W["w_2"])),
        "the derivative has a factor ŷ (1 - ŷ) too many, as that of the squared error has: it cancels": tuple(
            answer(factor * delta * y_hat * (1 - y_hat)) for factor in (1, 2)
        ),
        "the factor ŷ (1 - ŷ) is missing, with which the derivative of the loss becomes ŷ - y": answer(
            (y_hat - y) / (y_hat * (1 - y_hat)) / n
        ),
        "the label is left out": answer(y_hat / n),
        EXCHANGED_LABELS: answer((y_hat - (1 - y)) / n),
        PLUS_MINUS_ONE: answer(-y * sigmoid(-y * z_2) / n),
        "z_1 stands where σ(z_1) should be": answer(x_1=z_1),
        "only the first sample counts": alone(right, slice(1)),
        "only the last sample counts": alone(right, slice(-1, None)),
        "it stays zero": answer(0 * delta),
        "it divides by ŷ (1 - ŷ), which is 0 where ŷ is 0 or 1: cancel that by hand": answer(uncancelled / n),
        RATIO_OVERFLOWS: tuple(
            ratio.gradient(its_delta / n, ratio.x_1 * (1 - ratio.x_1))
            for its_delta in (ratio.y_hat - y, (1 - 2 * y) * ratio_sigmoid((1 - 2 * y) * ratio.z_2))
        ),
        "exp overflows: exp(-z) / (1 + exp(-z))² is inf / inf for a large -z, σ (1 - σ) is not": answer(
            slope=np.exp(-z_1) / (1 + np.exp(-z_1)) ** 2
        ),
        "the gradient is transposed: it has the shape of its weights": {
            key: value.T for key, value in answer().items()
        },
    }
    for what, network in other_networks(right).items():
        x = network.x_1
        slopes = (x * (1 - x), 1 - x**2, network.z_1 > 0, 1)
        wrong[what] = tuple(network.gradient((network.y_hat - y) / n, slope) for slope in slopes)
    return wrong


def alone(right: Network, sample: slice) -> tuple[Gradient, Gradient]:
    """Return the gradient of one sample's loss, and its share of that of the average loss."""
    gradient = right.other(X=right.X[sample], y=right.y[sample]).gradient()
    return gradient, {key: value / len(right.y) for key, value in gradient.items()}
