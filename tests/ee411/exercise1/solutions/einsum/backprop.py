import numpy as np


def sigma(z):
    return 0.5 * (1 + np.tanh(z / 2))


def predict(X, W):
    z_1 = np.einsum("bd,dk->bk", X, W["w_1"])
    z_2 = np.einsum("bk,ko->b", sigma(z_1), W["w_2"])
    return z_1, z_2, sigma(z_2)


def logistic_loss(y, y_hat):
    y, y_hat = np.ravel(y), np.ravel(y_hat)
    return -np.einsum("b->", np.log(np.where(y == 1, y_hat, 1 - y_hat))) / y.size


def stable_logistic_loss(y, z_2):
    sign = 1 - 2 * np.ravel(y)
    return np.einsum("b->", np.logaddexp(0.0, sign * np.ravel(z_2))) / sign.size


def gradient(X, y, W):
    z_1, z_2, _ = predict(X, W)
    sign = 1 - 2 * np.ravel(y)
    delta = sign * np.exp(-np.logaddexp(0, -sign * z_2))
    x_1 = sigma(z_1)
    dw_1 = np.einsum("b,k,bk,bd->dk", delta, W["w_2"][:, 0], x_1 - x_1**2, X)
    dw_2 = np.einsum("b,bk->k", delta, x_1)
    return {"w_1": dw_1 / len(X), "w_2": dw_2 / len(X)}
