"""The gradient is one vector of partial derivatives, and all else is flat."""

import numpy as np


def softplus(z):
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def sigma(z):
    return np.exp(-softplus(-z))


def predict(X, W):
    w_1, w_2 = W["w_1"], W["w_2"].ravel()
    z_1 = X @ w_1
    z_2 = sigma(z_1) @ w_2
    return z_1, z_2, sigma(z_2)


def logistic_loss(y, y_hat):
    right = np.where(y > 0.5, y_hat, 1 - y_hat)
    return float(np.average(-np.log(right)))


def stable_logistic_loss(y, z_2):
    return float(np.average(softplus(np.where(y > 0.5, -z_2, z_2))))


def gradient(X, y, W):
    w_2 = W["w_2"].ravel()
    z_1, z_2, _ = predict(X, W)
    sign = np.where(y.ravel() > 0.5, -1.0, 1.0)
    delta = sign * sigma(sign * z_2) / y.size
    back = delta[:, None] * w_2 * sigma(z_1) * sigma(-z_1)
    return np.concatenate([(X.T @ back).ravel(), delta @ sigma(z_1)])
