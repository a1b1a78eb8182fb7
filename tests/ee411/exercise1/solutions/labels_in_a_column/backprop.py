"""Takes labels (B, 1), as predict returns predictions; a dictionary goes out of predict."""

import numpy as np


def sigma(z):
    return 1.0 / (1.0 + np.exp(-z))


def predict(X, W):
    z_1 = np.matmul(X, W["w_1"])
    z_2 = np.matmul(sigma(z_1), W["w_2"])
    return {"z_1": z_1, "z_2": z_2, "y_hat": sigma(z_2)}


def logistic_loss(y, y_hat):
    n = y.shape[0]
    loss = -(y.T @ np.log(y_hat) + (1 - y).T @ np.log(1 - y_hat)) / n
    return loss[0, 0]


def stable_logistic_loss(y, z_2):
    n = y.shape[0]
    loss = (y.T @ np.logaddexp(0, -z_2) + (1 - y).T @ np.logaddexp(0, z_2)) / n
    return loss[0, 0]


def gradient(X, y, W):
    n = X.shape[0]
    out = predict(X, W)
    x_1 = sigma(out["z_1"])
    dz_2 = (1 - y) * sigma(out["z_2"]) - y * sigma(-out["z_2"])
    dw_2 = x_1.T @ dz_2
    dz_1 = (dz_2 @ W["w_2"].T) * x_1 * (1 - x_1)
    dw_1 = X.T @ dz_1
    return [dw_1 / n, dw_2 / n]
