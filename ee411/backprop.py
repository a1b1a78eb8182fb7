"""A network with one hidden layer, its loss and its gradient, in NumPy (EE-411, homework 3, exercise 1).

The network maps D inputs over K hidden units to the probability that the label is 1:

    z_1 = X w_1,   x_1 = σ(z_1),   z_2 = x_1 w_2,   ŷ = σ(z_2)

and the loss of a sample is -y log ŷ - (1 - y) log(1 - ŷ). ``backprop.md`` derives the gradient step by step
and answers the exercise's questions. B is the size of the batch. Everything is computed in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]


def sigmoid(z: ArrayLike) -> Array:
    """Compute σ(z) = 1 / (1 + exp(-z)), to a few ulp and without overflow for every z."""
    z = np.asarray(z, np.float64)
    decayed = np.exp(-np.abs(z))  # of -|z| and not of -z: at most 1
    return np.where(z >= 0, 1, decayed) / (1 + decayed)


def predict(X: ArrayLike, W: Mapping[str, ArrayLike]) -> tuple[Array, Array, Array]:
    """Compute the network's logits and predictions for a batch (exercise 1.1).

    Args:
        X: the batch (B, D).
        W: the weights, "w_1" (D, K) and "w_2" (K, 1) or (K,).

    Returns:
        z_1 (B, K), z_2 and ŷ, both (B, 1) where w_2 is (K, 1) and (B,) where it is (K,).

    Raises:
        ValueError: the shapes don't fit together, or the keys of W are others.
    """
    X, w_1, w_2 = _read_network(X, W)
    z_1 = X @ w_1
    z_2 = sigmoid(z_1) @ w_2
    return z_1, z_2, sigmoid(z_2)


def logistic_loss(y: ArrayLike, y_hat: ArrayLike) -> float:
    """Compute the mean of -y log ŷ - (1 - y) log(1 - ŷ), as the formula is written (exercise 1.2).

    Where a prediction is exactly 0 or 1 the formula meets log 0 = -∞. If the label is the other one that
    gives ∞, rightly so. If the label is the predicted one it gives 0 · (-∞), which is NaN, although the limit
    is 0. ``stable_logistic_loss`` has neither problem.

    Args:
        y: the labels (B,) or (B, 1), each 0 or 1.
        y_hat: the predictions (B,) or (B, 1), each in [0, 1].

    Returns:
        The mean over the batch.

    Raises:
        ValueError: there are no samples, not as many labels as predictions, or values of another kind.
    """
    labels, predictions = _read_pairs(y, y_hat, "y_hat")
    if not ((predictions >= 0) & (predictions <= 1)).all():
        bad = predictions[~((predictions >= 0) & (predictions <= 1))][0]
        raise ValueError(f"y_hat: expected predictions in [0, 1], got {bad}")
    with np.errstate(divide="ignore", invalid="ignore"):  # the answer shows it: infinite or NaN
        losses = -labels * np.log(predictions) - (1 - labels) * np.log(1 - predictions)
    return float(losses.mean())


def stable_logistic_loss(y: ArrayLike, z_2: ArrayLike) -> float:
    """Compute the same loss from the logits: the mean of log(1 + exp(∓z_2)) (exercise 1.3).

    The sign is - for the label 1 and + for the label 0. ``np.logaddexp(0, z)`` is log(exp(0) + exp(z))
    without overflow, and without rounding a small loss to 0.

    Args:
        y: the labels (B,) or (B, 1), each 0 or 1.
        z_2: the logits (B,) or (B, 1).

    Returns:
        The mean over the batch.

    Raises:
        ValueError: there are no samples, not as many labels as logits, or other labels than 0 and 1.
    """
    labels, logits = _read_pairs(y, z_2, "z_2")
    return float(np.logaddexp(0, _away_from(labels) * logits).mean())


def gradient(X: ArrayLike, y: ArrayLike, W: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Compute the gradient of the average loss with respect to all weights (exercise 1.5).

    Args:
        X: the batch (B, D).
        y: the labels (B,) or (B, 1), each 0 or 1.
        W: the weights, "w_1" (D, K) and "w_2" (K, 1) or (K,).

    Returns:
        The partial derivatives by the keys of W, each of its weight's shape.

    Raises:
        ValueError: as for ``predict`` and ``stable_logistic_loss``.
    """
    X, w_1, w_2 = _read_network(X, W)
    z_1 = X @ w_1
    x_1 = sigmoid(z_1)
    labels, logits = _read_pairs(y, x_1 @ w_2, "X")
    away = _away_from(labels)
    # ŷ - y, but as ±σ(±z_2): where ŷ is close to y the difference would lose all its digits. σ' likewise.
    delta_2 = away * sigmoid(away * logits) / len(labels)
    delta_1 = np.outer(delta_2, w_2) * x_1 * sigmoid(-z_1)
    return {"w_1": X.T @ delta_1, "w_2": (x_1.T @ delta_2).reshape(w_2.shape)}


def _away_from(labels: Array) -> Array:
    """Return the direction in which a logit raises the loss: -1 for the label 1, 1 for the label 0."""
    return 1 - 2 * labels


def _read_network(X: ArrayLike, W: Mapping[str, ArrayLike]) -> tuple[Array, Array, Array]:
    """Return X, w_1 and w_2 as float64, or raise a ValueError."""
    if not isinstance(W, Mapping) or set(W) != {"w_1", "w_2"}:
        found: Any = list(W) if isinstance(W, Mapping) else W
        raise ValueError(f"W: expected a dictionary with the keys 'w_1' and 'w_2', got {found!r}")
    X, w_1, w_2 = (np.asarray(array, np.float64) for array in (X, W["w_1"], W["w_2"]))
    if X.ndim != 2:
        raise ValueError(f"X: expected the shape (B, D), got {X.shape}")
    if w_1.ndim != 2 or len(w_1) != X.shape[1]:
        raise ValueError(f"w_1: expected the shape (D, K) with D = {X.shape[1]} as in X, got {w_1.shape}")
    if w_2.shape not in ((w_1.shape[1],), (w_1.shape[1], 1)):
        raise ValueError(
            f"w_2: expected the shape (K, 1) or (K,) with K = {w_1.shape[1]} as in w_1, got {w_2.shape}"
        )
    return X, w_1, w_2


def _read_pairs(y: ArrayLike, values: ArrayLike, name: str) -> tuple[Array, Array]:
    """Return labels and what belongs to them as float64 of shape (B,), or raise a ValueError."""
    labels, values = np.asarray(y, np.float64), np.asarray(values, np.float64)
    for array_name, array in (("y", labels), (name, values)):
        if array.ndim not in (1, 2) or array.shape[1:] not in ((), (1,)):
            raise ValueError(f"{array_name}: expected the shape (B,) or (B, 1), got {array.shape}")
    if len(labels) != len(values):
        raise ValueError(
            f"y: expected as many labels as {name} has samples, {len(values)}, got {len(labels)}"
        )
    if not len(labels):
        raise ValueError("y: expected at least one label, got none; the mean of nothing is not defined")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"y: expected labels that are 0 or 1, got {labels[~np.isin(labels, (0, 1))][0]}")
    return labels.ravel(), values.ravel()
