import numpy as np
from scipy.special import expit, log_expit, xlog1py, xlogy


def predict(X, W):
    z_1 = X.dot(W["w_1"])
    z_2 = expit(z_1).dot(W["w_2"]).squeeze()
    return z_1.squeeze(), z_2, expit(z_2)


def logistic_loss(y, y_hat):
    return -(xlogy(y, y_hat) + xlog1py(1 - y, -y_hat)).mean()


def stable_logistic_loss(y, z_2):
    return -np.where(y == 1, log_expit(z_2), log_expit(-z_2)).mean()


def gradient(X, y, W):
    hidden = expit(X.dot(W["w_1"]))
    z_2 = hidden.dot(W["w_2"])
    away = np.where(np.reshape(y, z_2.shape) == 1, -1, 1)
    error = away * expit(away * z_2) / X.shape[0]
    dw_2 = hidden.T.dot(error)
    dw_1 = X.T.dot(error.dot(W["w_2"].T) * hidden * (1 - hidden))
    return {"dL_dw_1": dw_1, "dL_dw_2": dw_2}
