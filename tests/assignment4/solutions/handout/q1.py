"""Layers, with the handout's symbols: W, b and their gradients dW, db."""

import numpy as np


class Layer:
    def init_weights(self):
        pass

    def forward(self, x):
        raise NotImplementedError

    def backward(self, output_grad):
        raise NotImplementedError

    def update(self, lr):
        pass

    def __call__(self, *args):
        return self.forward(*args)


class Dense(Layer):
    def __init__(self, input_size, output_size):
        self.input_size = input_size
        self.output_size = output_size
        self.init_weights()

    def init_weights(self):
        limit = np.sqrt(6 / (self.input_size + self.output_size))
        self.W = np.random.uniform(-limit, limit, size=(self.output_size, self.input_size))
        self.b = np.zeros(self.output_size)

    def forward(self, x):
        if x.ndim != 2 or x.shape[1] != self.input_size:
            raise ValueError(f"expected {self.input_size} columns, got an input of shape {x.shape}")
        self.x = x
        return x @ self.W.T + self.b

    def backward(self, output_grad):
        if output_grad.shape != (len(self.x), self.output_size):
            raise ValueError(f"gradient has wrong shape {output_grad.shape}")
        self.dW = output_grad.T @ self.x
        self.db = output_grad.sum(axis=0)
        return output_grad @ self.W

    def update(self, lr):
        self.W -= lr * self.dW
        self.b -= lr * self.db


class ReLULayer(Layer):
    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, output_grad):
        return output_grad * (self.x > 0)


class TanhLayer(Layer):
    def forward(self, x):
        e = np.exp(-2 * np.abs(x))
        self.y = np.sign(x) * (1 - e) / (1 + e)
        return self.y

    def backward(self, output_grad):
        return output_grad * (1 - self.y**2)


class SoftmaxLayer(Layer):
    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.y = e / e.sum(axis=1, keepdims=True)
        return self.y

    def backward(self, output_grad):
        dot = (output_grad * self.y).sum(axis=1, keepdims=True)
        return self.y * (output_grad - dot)


class CrossEntropyLossLayer(Layer):
    def forward(self, prediction, target):
        self.p = np.clip(prediction, 1e-15, None)
        self.target = target if np.ndim(target) == 2 else np.eye(prediction.shape[1])[target]
        return -np.sum(self.target * np.log(self.p)) / len(self.p)

    def backward(self, output_grad=1.0):
        return -output_grad * self.target / self.p / len(self.p)
