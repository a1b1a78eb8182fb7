import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def predict(X, W):
    z_1 = X @ W["w_1"]
    x_1 = sigmoid(z_1)
    z_2 = x_1 @ W["w_2"]
    return z_1, z_2, sigmoid(z_2)


def logistic_loss(y, y_hat):
    return -np.mean(y * np.log(y_hat) + (1 - y) * np.log(1 - y_hat))


def stable_logistic_loss(y, z_2):
    return np.mean(y * np.logaddexp(0, -z_2) + (1 - y) * np.logaddexp(0, z_2))


def gradient(X, y, W):
    n = len(X)
    z_1, z_2, y_hat = predict(X, W)
    y = y.reshape(-1, 1)
    x_1 = sigmoid(z_1)
    delta_2 = np.where(y == 1, -sigmoid(-z_2), y_hat)
    delta_1 = delta_2 @ W["w_2"].T * x_1 * (1 - x_1)
    return {"w_1": X.T @ delta_1 / n, "w_2": x_1.T @ delta_2 / n}


if __name__ == "__main__":
    print(logistic_loss(np.zeros(4), np.zeros(4)))
    print(stable_logistic_loss(np.zeros(4), -1e10 * np.ones(4)))
