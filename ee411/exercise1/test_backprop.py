"""Graded tests of backprop.py (EE-411, homework 3, exercise 1).

    python -m pytest ee411/exercise1
    PYTHONPATH=ee411 python -m unittest discover ee411/exercise1

They ask for what the handout asks for, and no more: where it leaves a form open, any is right. Inputs are
drawn from the submission's seed.
"""

from __future__ import annotations

import unittest
from typing import Any

import backprop
import numpy as np
from answers import (
    Network,
    draw_labels,
    losses,
    overflowing_predictions,
    sigmoid,
    wrong_losses,
    wrong_stable_losses,
)
from checking import (
    compare_gradients,
    compare_losses,
    compare_predictions,
    refuse_changes,
    with_either_form,
)
from gradescope_utils.autograder_utils.decorators import number, visibility, weight

from autograder.checks import GradedTest, generator

SIZES = [(4, 1, 6), (4, 5, 1), (9, 1, 1), (7, 2, 8)]  # (B, D, K), besides the handout's D = 5 and K = 6
SMALL = "the result is rounded to 0: next to 1 a small number is lost, so compute neither 1 + it nor 1 - it"


class TestPredict(GradedTest):
    """predict, 25 points."""

    module = backprop
    tested = "predict"

    @weight(8)
    @number("1.1.1")
    @visibility("visible")
    def test_z_1(self) -> None:
        """predict: z_1 = X w_1, the logits of the hidden units."""
        compare_predictions([Network.draw(4), Network.draw(9)], "z_1")

    @weight(6)
    @number("1.1.2")
    @visibility("visible")
    def test_z_2(self) -> None:
        """predict: z_2 = σ(z_1) w_2, the logit of the output."""
        compare_predictions([Network.draw(4), Network.draw(9)], "z_2")

    @weight(6)
    @number("1.1.3")
    @visibility("visible")
    def test_y_hat(self) -> None:
        """predict: ŷ = σ(z_2), the prediction."""
        compare_predictions([Network.draw(4), Network.draw(9)], "y_hat")

    @weight(2)
    @number("1.1.4")
    @visibility("visible")
    def test_one_sample(self) -> None:
        """predict: works for a batch of one sample."""
        networks = [Network.draw(1, seed=seed) for seed in range(4)]
        compare_predictions(networks, "z_1", "z_2", "y_hat")

    @weight(1)
    @number("1.1.5")
    @visibility("visible")
    def test_other_sizes(self) -> None:
        """predict: works for other D and K than 5 and 6."""
        compare_predictions([Network.draw(*sizes) for sizes in SIZES], "z_1", "z_2", "y_hat")

    @weight(1)
    @number("1.1.6")
    @visibility("visible")
    def test_large_logits(self) -> None:
        """predict: ŷ is a number for large logits, too."""
        compare_predictions(saturated(4), "y_hat", wrong=overflowing_predictions)

    @weight(1)
    @number("1.1.7")
    @visibility("visible")
    def test_arguments_stay_as_they_are(self) -> None:
        """predict: doesn't write into X and W."""
        network = Network.draw(4)
        compare_predictions([network], "y_hat")
        refuse_changes("predict", ["X", "W"], network.X, network.W)


def saturated(n: int) -> list[Network]:
    """Return networks whose logits are about ±1000: those of the output, and those of the hidden units."""
    network, large = Network.draw(n, seed=1), Network.draw(n, seed=2)
    size = 1000 / np.abs(network.x_1.sum(axis=1)).min()
    w_2 = size * np.ones_like(network.W["w_2"])
    return [
        network.other(W={**network.W, "w_2": w_2}),
        network.other(W={**network.W, "w_2": -w_2}),
        large.other(X=1000 * large.X),
    ]


class TestLogisticLoss(GradedTest):
    """logistic_loss, 15 points."""

    module = backprop
    tested = "logistic_loss"

    def check(self, form: Any, *batches: tuple[np.ndarray, np.ndarray]) -> None:
        """Check the losses of labels and predictions, both (B, 1), in a form."""
        triples = [(form(y), form(y_hat), losses(y, y_hat).mean()) for y, y_hat in batches]
        compare_losses("logistic_loss", triples, wrong_losses)

    def draw(self, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return labels and predictions."""
        return draw_labels(n, seed), generator(seed, n, 1).uniform(0.05, 0.95, (n, 1))

    @weight(9)
    @number("1.2.1")
    @visibility("visible")
    @with_either_form
    def test_average(self, form: Any) -> None:
        """logistic_loss: the mean of -y log ŷ - (1 - y) log(1 - ŷ)."""
        self.check(form, self.draw(4), self.draw(9))

    @weight(3)
    @number("1.2.2")
    @visibility("visible")
    @with_either_form
    def test_labels(self, form: Any) -> None:
        """logistic_loss: takes one sample, and labels that are whole numbers."""
        y, y_hat = self.draw(4, seed=1)
        one = y_hat[:1]
        self.check(form, (y.astype(int), y_hat), (np.zeros((1, 1)), one), (np.ones((1, 1), int), one))

    @weight(2)
    @number("1.2.3")
    @visibility("visible")
    @with_either_form
    def test_confident_predictions(self, form: Any) -> None:
        """logistic_loss: is not shifted where predictions are close to 0 or 1."""
        y, _ = self.draw(6, seed=2)
        small = 10 ** generator(6, 2).uniform(-8.5, -8, y.shape)
        self.check(form, (y, small), (y, np.abs(y - small)), (1 - y, np.abs(y - small)))

    @weight(1)
    @number("1.2.4")
    @visibility("visible")
    @with_either_form
    def test_arguments_stay_as_they_are(self, form: Any) -> None:
        """logistic_loss: doesn't write into y and ŷ."""
        y, y_hat = self.draw(4)
        self.check(form, (y, y_hat))
        refuse_changes("logistic_loss", ["y", "y_hat"], form(y), form(y_hat))


class TestStableLogisticLoss(GradedTest):
    """stable_logistic_loss, 25 points."""

    module = backprop
    tested = "stable_logistic_loss"

    def check(self, form: Any, *batches: tuple[np.ndarray, np.ndarray]) -> None:
        """Check the losses of labels and logits, both (B, 1), in a form."""
        triples = [(form(y), form(z_2), np.logaddexp(0, (1 - 2 * y) * z_2).mean()) for y, z_2 in batches]
        compare_losses("stable_logistic_loss", triples, wrong_stable_losses)

    def draw(self, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return labels and logits."""
        return draw_labels(n, seed), generator(seed, n, 2).normal(0.3, 2, (n, 1))

    @weight(9)
    @number("1.3.1")
    @visibility("visible")
    @with_either_form
    def test_average(self, form: Any) -> None:
        """stable_logistic_loss: the average logistic loss, from the logits."""
        y, z_2 = self.draw(9)
        self.check(form, self.draw(4), (y, z_2), (y, sigmoid(z_2)))

    @weight(9)
    @number("1.3.2")
    @visibility("visible")
    @with_either_form
    def test_large_logits(self, form: Any) -> None:
        """stable_logistic_loss: is right for logits of about ±1000."""
        sizes = generator(3).uniform(800, 1200, (2, 4, 1))
        batches = [
            (np.full((4, 1), y), sign * z) for y in (0.0, 1.0) for sign, z in zip((-1, 1), sizes, strict=True)
        ]
        self.check(form, *batches)

    @weight(2)
    @number("1.3.3")
    @visibility("visible")
    @with_either_form
    def test_handout(self, form: Any) -> None:
        """stable_logistic_loss: is right for logits of ±10¹⁰, as in the handout."""
        batches = [(np.full((4, 1), y), np.full((4, 1), z)) for y in (0.0, 1.0) for z in (-1e10, 1e10)]
        self.check(form, *batches)

    @weight(3)
    @number("1.3.4")
    @visibility("visible")
    @with_either_form
    def test_labels(self, form: Any) -> None:
        """stable_logistic_loss: takes one sample, and labels that are whole numbers."""
        y, z_2 = self.draw(4, seed=1)
        one = z_2[:1]
        self.check(form, (y.astype(int), z_2), (np.zeros((1, 1)), one), (np.ones((1, 1), int), one))

    @weight(1)
    @number("1.3.5")
    @visibility("visible")
    @with_either_form
    def test_small_losses(self, form: Any) -> None:
        """stable_logistic_loss: a small loss keeps its digits."""
        self.check(form, self.draw(4))
        z_2 = generator(4).uniform(38, 45, (4, 1))
        batches = [(np.ones((4, 1)), z_2), (np.zeros((4, 1)), -z_2)]
        right = np.logaddexp(0, -z_2).mean()
        triples = [(form(y), form(z), right) for y, z in batches]
        compare_losses("stable_logistic_loss", triples, lambda y, z: {SMALL: (0.0, right)}, scale=0)

    @weight(1)
    @number("1.3.6")
    @visibility("visible")
    @with_either_form
    def test_arguments_stay_as_they_are(self, form: Any) -> None:
        """stable_logistic_loss: doesn't write into y and z_2."""
        y, z_2 = self.draw(4)
        self.check(form, (y, z_2))
        refuse_changes("stable_logistic_loss", ["y", "z_2"], form(y), form(z_2))


class TestGradient(GradedTest):
    """gradient, 35 points."""

    module = backprop
    tested = "gradient"

    @weight(13)
    @number("1.5.1")
    @visibility("visible")
    @with_either_form
    def test_w_1(self, form: Any) -> None:
        """gradient: dL/dw_1 is that of the average loss."""
        compare_gradients([(it, form(it.y)) for it in map(Network.draw, (4, 9))], "w_1")

    @weight(9)
    @number("1.5.2")
    @visibility("visible")
    @with_either_form
    def test_w_2(self, form: Any) -> None:
        """gradient: dL/dw_2 is that of the average loss."""
        compare_gradients([(it, form(it.y)) for it in map(Network.draw, (4, 9))], "w_2")

    @weight(4)
    @number("1.5.3")
    @visibility("visible")
    @with_either_form
    def test_labels(self, form: Any) -> None:
        """gradient: takes one sample, and labels that are whole numbers."""
        one, more = Network.draw(1), Network.draw(4, seed=1)
        other = one.other(y=1 - one.y)
        pairs = [(one, one.y), (other, other.y.astype(int)), (more, more.y.astype(int))]
        compare_gradients([(it, form(y)) for it, y in pairs], "w_1", "w_2")

    @weight(6)
    @number("1.5.4")
    @visibility("visible")
    @with_either_form
    def test_large_logits(self, form: Any) -> None:
        """gradient: is right for logits of about ±1000."""
        compare_gradients([(it, form(it.y)) for it in saturated(4)], "w_1", "w_2")

    @weight(1)
    @number("1.5.5")
    @visibility("visible")
    @with_either_form
    def test_other_sizes(self, form: Any) -> None:
        """gradient: works for other D and K than 5 and 6."""
        networks = [Network.draw(*sizes) for sizes in SIZES]
        compare_gradients([(it, form(it.y)) for it in networks], "w_1", "w_2")

    @weight(1)
    @number("1.5.6")
    @visibility("visible")
    @with_either_form
    def test_small_gradients(self, form: Any) -> None:
        """gradient: keeps its digits where the prediction is almost the label."""
        network = Network.draw(4)
        compare_gradients([(network, form(network.y))], "w_1", "w_2")
        w_2 = np.abs(network.W["w_2"]) + 0.1
        w_2 *= 45 / (network.x_1 @ w_2).min()
        sure = network.other(y=np.ones_like(network.y), W={**network.W, "w_2": w_2})
        lost = {f"ŷ - y has lost its digits, and {SMALL}": sure.gradient(np.zeros_like(sure.y))}
        compare_gradients([(sure, form(sure.y))], "w_1", "w_2", wrong=lambda it: lost, scale=0)

    @weight(1)
    @number("1.5.7")
    @visibility("visible")
    @with_either_form
    def test_arguments_stay_as_they_are(self, form: Any) -> None:
        """gradient: doesn't write into X, y and W."""
        network = Network.draw(4)
        compare_gradients([(network, form(network.y))], "w_1", "w_2")
        refuse_changes("gradient", ["X", "y", "W"], network.X, form(network.y), network.W)


if __name__ == "__main__":
    unittest.main()
