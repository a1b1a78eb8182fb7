"""Exercise 1: a network with one hidden layer, its loss and its gradient, with NumPy.

The network maps D inputs over K hidden units to the probability that the label is 1:

    z_1 = X w_1,   x_1 = σ(z_1),   z_2 = x_1 w_2,   ŷ = σ(z_2)

B is the number of samples in a batch. The exercise has D = 5 and K = 6; your functions should work for any.
Arrays are np.ndarray of float64, labels may also be whole numbers. No function may change the arrays that it
is handed: make new ones. PyTorch and others that differentiate by themselves are not there when your code is
graded.

Write your code where it says TODO. Don't rename the functions, and keep what they take and return. You may
add functions of your own.
"""

import numpy as np


def sigmoid(z):
    """Compute σ(z) = 1 / (1 + exp(-z)), to a few ulp and without overflow for every z.

    Args:
        z: a number, or np.ndarray of any shape.

    Returns:
        np.ndarray of the same shape.
    """
    decayed = np.exp(-np.abs(z))  # of -|z| and not of -z: at most 1
    return np.where(np.asarray(z) >= 0, 1, decayed) / (1 + decayed)


def predict(X, W):
    """Compute the network's logits and predictions for a batch (exercise 1.1).

    Args:
        X: np.ndarray (B, D), the batch.
        W: the weights, a dictionary: "w_1" is an np.ndarray (D, K), "w_2" one of (K, 1).

    Returns:
        Three np.ndarrays: z_1 (B, K), z_2 (B, 1) and ŷ (B, 1).
    """
    # BEGIN SOLUTION
    z_1 = X @ W["w_1"]
    z_2 = sigmoid(z_1) @ W["w_2"]
    return z_1, z_2, sigmoid(z_2)
    # END SOLUTION


def logistic_loss(y, y_hat):
    """Compute the mean of -y log ŷ - (1 - y) log(1 - ŷ), as the formula is written (exercise 1.2).

    Args:
        y: np.ndarray (B,), the labels, each 0 or 1.
        y_hat: np.ndarray (B,), the predictions, each between 0 and 1. If you prefer (B, 1), both are.

    Returns:
        One float, the mean over the batch.
    """
    # BEGIN SOLUTION
    return -np.mean(y * np.log(y_hat) + (1 - y) * np.log(1 - y_hat))
    # END SOLUTION


def stable_logistic_loss(y, z_2):
    """Compute the same loss from the logits.

    Logits such as -10¹⁰ must not overflow, and a small loss must not be rounded to 0.

    Args:
        y: np.ndarray (B,), the labels, each 0 or 1.
        z_2: np.ndarray (B,), the logits. If you prefer (B, 1), both are.

    Returns:
        One float, the mean over the batch.
    """
    # BEGIN SOLUTION
    return np.mean(y * np.logaddexp(0, -z_2) + (1 - y) * np.logaddexp(0, z_2))
    # END SOLUTION


def gradient(X, y, W):
    """Compute the gradient of the average loss with respect to all weights (exercise 1.5).

    It should be as stable as the loss: right for large logits, too, and where ŷ is almost y.

    Args:
        X: np.ndarray (B, D), the batch.
        y: np.ndarray (B,), the labels, each 0 or 1.
        W: the weights, as for `predict`.

    Returns:
        A dictionary with the partial derivatives: "w_1" is an np.ndarray (D, K), "w_2" one of (K, 1).
    """
    # BEGIN SOLUTION
    y = y.reshape(-1, 1)
    z_1 = X @ W["w_1"]
    x_1 = sigmoid(z_1)
    z_2 = x_1 @ W["w_2"]
    delta_2 = np.where(y == 1, -sigmoid(-z_2), sigmoid(z_2)) / len(X)
    delta_1 = delta_2 @ W["w_2"].T * x_1 * sigmoid(-z_1)
    return {"w_1": X.T @ delta_1, "w_2": x_1.T @ delta_2}
    # END SOLUTION
