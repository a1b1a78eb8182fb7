"""What each part of exercise 1 takes and returns: kinds and shapes, no numbers."""

import numpy as np
from sanity.expect import ProblemError, expect_array, expect_number

B, D, K = 4, 5, 6
X = np.linspace(-1, 1, B * D).reshape(B, D)
Y = np.array([0.0, 1.0, 1.0, 0.0])
W = {"w_1": np.linspace(-1, 1, D * K).reshape(D, K), "w_2": np.linspace(-1, 1, K).reshape(K, 1)}


def predict(backprop):
    """Try predict."""
    outputs = backprop.predict(X.copy(), {name: weights.copy() for name, weights in W.items()})
    if not isinstance(outputs, (tuple, list)) or len(outputs) != 3:
        raise ProblemError(f"predict should return three arrays, z_1, z_2 and ŷ, and returns {outputs!r:.60}")
    for name, output, shapes in zip(
        ("z_1", "z_2", "ŷ"), outputs, ([(B, K)], [(B, 1), (B,)], [(B, 1), (B,)]), strict=True
    ):
        expect_array(output, f"{name} of predict", *shapes)


def in_either_form(function, *vectors):
    """Call a function with vectors of shape (B,), and if it doesn't take these, of shape (B, 1)."""
    try:
        return function(*vectors)
    except (ValueError, IndexError):
        return function(*(vector.reshape(-1, 1) for vector in vectors))


def logistic_loss(backprop):
    """Try logistic_loss."""
    expect_number(in_either_form(backprop.logistic_loss, Y, np.full(B, 0.25)), "The loss")


def stable_logistic_loss(backprop):
    """Try stable_logistic_loss."""
    expect_number(in_either_form(backprop.stable_logistic_loss, Y, np.full(B, 2.0)), "The loss")


def gradient(backprop):
    """Try gradient."""
    found = in_either_form(lambda y: backprop.gradient(X.copy(), y, dict(W)), Y)
    if not isinstance(found, dict) or set(found) != set(W):
        raise ProblemError(
            f"gradient should return a dictionary with the keys w_1 and w_2, not {found!r:.60}"
        )
    expect_array(found["w_1"], "w_1 of gradient", (D, K))
    expect_array(found["w_2"], "w_2 of gradient", (K, 1), (K,))


ASKED = {
    "predict": "1.1: z_1, z_2 and ŷ of a batch",
    "logistic_loss": "1.2: the average loss from the predictions",
    "stable_logistic_loss": "1.3: the average loss from the logits, for logits of any size",
    "gradient": "1.5: the gradient of the average loss with respect to both weights, just as stable",
}
"""What is asked for, for README.md."""

CHECKS = {
    "predict": predict,
    "logistic_loss": logistic_loss,
    "stable_logistic_loss": stable_logistic_loss,
    "gradient": gradient,
}
