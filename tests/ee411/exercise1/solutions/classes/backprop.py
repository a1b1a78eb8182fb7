from typing import NamedTuple

import numpy as np


class Outputs(NamedTuple):
    z_1: np.ndarray
    z_2: np.ndarray
    y_hat: np.ndarray


class Sigmoid:
    def __call__(self, z):
        out = np.empty_like(z)
        positive = z >= 0
        out[positive] = 1 / (1 + np.exp(-z[positive]))
        out[~positive] = np.exp(z[~positive]) / (1 + np.exp(z[~positive]))
        return out

    def derivative(self, z):
        return self(z) * self(-z)


class Network:
    sigma = Sigmoid()

    def __init__(self, W):
        self.w_1, self.w_2 = W["w_1"], W["w_2"]

    def forward(self, X):
        self.X = X
        self.z_1 = X @ self.w_1
        self.z_2 = self.sigma(self.z_1) @ self.w_2
        return Outputs(self.z_1, self.z_2, self.sigma(self.z_2))

    def backward(self, delta):
        hidden = delta * self.w_2.T * self.sigma.derivative(self.z_1)
        return {"w_2": self.sigma(self.z_1).T @ delta, "w_1": self.X.T @ hidden}


def predict(X, W):
    return Network(W).forward(X)


def logistic_loss(y, y_hat):
    ones, zeros = y == 1, y == 0
    return -(np.log(y_hat[ones]).sum() + np.log(1 - y_hat[zeros]).sum()) / len(y)


def stable_logistic_loss(y, z_2):
    signs = 2 * y - 1
    return np.logaddexp(0, -signs * z_2).sum() / len(y)


def gradient(X, y, W):
    network = Network(W)
    network.forward(X)
    signs = 2 * y.reshape(-1, 1) - 1
    return network.backward(-signs * network.sigma(-signs * network.z_2) / len(y))
