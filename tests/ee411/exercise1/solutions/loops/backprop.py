"""Sample by sample, with loops, for the handout's sizes."""

import math

import numpy as np


def sigma(z):
    if z >= 0:
        return 1 / (1 + math.exp(-z))
    return math.exp(z) / (1 + math.exp(z))


def predict(X, W):
    outputs = []
    for x in X:
        z_1 = [sum(x[i] * W["w_1"][i, j] for i in range(len(x))) for j in range(W["w_1"].shape[1])]
        z_2 = sum(sigma(z) * W["w_2"][j, 0] for j, z in enumerate(z_1))
        outputs.append((z_1, z_2, sigma(z_2)))
    return outputs


def logistic_loss(y, y_hat):
    total = 0
    for label, prediction in zip(y, y_hat, strict=True):
        total -= math.log(prediction) if label == 1 else math.log(1 - prediction)
    return total / len(y)


def stable_logistic_loss(y, z_2):
    total = 0
    for label, z in zip(y, z_2, strict=True):
        if label == 1:
            z = -z
        total += z + math.log1p(math.exp(-z)) if z > 0 else math.log1p(math.exp(z))
    return total / len(y)


def gradient(X, y, W):
    first, second = np.zeros(W["w_1"].shape), np.zeros(W["w_2"].shape)
    d, k = W["w_1"].shape
    for x, label, (z_1, z_2, _) in zip(X, y, predict(X, W), strict=True):
        delta = -sigma(-z_2) if label == 1 else sigma(z_2)
        for j in range(k):
            second[j, 0] += delta * sigma(z_1[j]) / len(X)
            for i in range(d):
                slope = sigma(z_1[j]) * (1 - sigma(z_1[j]))
                first[i, j] += delta * W["w_2"][j, 0] * slope * x[i] / len(X)
    return first, second
