"""As equations (1) and (2) are written: samples are columns, and W^(1) is w_1 transposed."""

import numpy as np


def sigma(z):
    return np.where(z >= 0, 1, np.exp(z)) / (1 + np.exp(-np.abs(z)))


def predict(X, W):
    z1 = W["w_1"].T @ X.T
    z2 = W["w_2"].T @ sigma(z1)
    return [z1, z2, sigma(z2)]


def logistic_loss(y, y_hat):
    y, y_hat = y.reshape(1, -1), y_hat.reshape(1, -1)
    n = y.shape[1]
    return -(y @ np.log(y_hat.T) + (1 - y) @ np.log(1 - y_hat.T)) / n


def stable_logistic_loss(y, z_2):
    y, z_2 = y.reshape(1, -1), z_2.reshape(1, -1)
    return (y @ np.logaddexp(0, -z_2.T) + (1 - y) @ np.logaddexp(0, z_2.T)) / y.shape[1]


def gradient(X, y, W):
    z1, z2, _ = predict(X, W)
    sign = 1 - 2 * y.reshape(1, -1)
    d2 = sign * sigma(sign * z2)
    x1 = sigma(z1)
    d1 = W["w_2"] @ d2 * (x1 * (1 - x1))
    return {"w_1": (d1 @ X).T / len(X), "w_2": (d2 @ x1.T).T / len(X)}
