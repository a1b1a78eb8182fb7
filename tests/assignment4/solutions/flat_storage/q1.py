"""Layers whose parameters are views of one vector."""

import abc

import numpy as np


class Layer(abc.ABC):
    def init_weights(self):
        return

    @abc.abstractmethod
    def forward(self, x): ...

    @abc.abstractmethod
    def backward(self, output_grad): ...

    def update(self, learning_rate):
        return

    def __call__(self, x):
        return self.forward(x)


class Dense(Layer):
    def __init__(self, input_size, output_size, rng=None):
        self._in, self._out = input_size, output_size
        self._theta = np.empty((input_size + 1) * output_size)
        self._grad = np.empty_like(self._theta)
        self._rng = rng or np.random.default_rng(0)
        self.init_weights()

    def _split(self, vector):
        n = self._in * self._out
        return vector[:n].reshape(self._in, self._out), vector[n:].reshape(1, self._out)

    @property
    def weights(self):
        return self._split(self._theta)[0]

    @weights.setter
    def weights(self, value):
        self.weights[...] = value

    @property
    def bias(self):
        return self._split(self._theta)[1]

    @bias.setter
    def bias(self, value):
        self.bias[...] = value

    @property
    def weights_grad(self):
        return self._split(self._grad)[0]

    @property
    def bias_grad(self):
        return self._split(self._grad)[1]

    def init_weights(self):
        bound = (6 / (self._in + self._out)) ** 0.5
        self.weights = self._rng.uniform(-bound, bound, (self._in, self._out))
        self.bias = 0

    def forward(self, x):
        if x.ndim != 2 or x.shape[1] != self._in:
            raise ValueError(f"Dense expects (n, {self._in}), got {x.shape}")
        self._x = x.copy()
        return x @ self.weights + self.bias

    def backward(self, output_grad):
        if output_grad.shape != (len(self._x), self._out):
            raise ValueError(f"Dense expects a gradient ({len(self._x)}, {self._out})")
        self.weights_grad[...] = self._x.T @ output_grad
        self.bias_grad[...] = output_grad.sum(0)
        return output_grad @ self.weights.T

    def update(self, learning_rate):
        self._theta -= learning_rate * self._grad


class ReLULayer(Layer):
    def forward(self, x):
        self._positive = x > 0
        return np.where(self._positive, x, 0.0)

    def backward(self, output_grad):
        return np.where(self._positive, output_grad, 0.0)


class TanhLayer(Layer):
    def forward(self, x):
        sigmoid = np.where(x > 0, 1 / (1 + np.exp(-2 * np.abs(x))), 1 - 1 / (1 + np.exp(-2 * np.abs(x))))
        self._y = 2 * sigmoid - 1
        return self._y.copy()

    def backward(self, output_grad):
        return output_grad - output_grad * self._y**2


class SoftmaxLayer(Layer):
    def forward(self, x):
        z = x - x.max(-1, keepdims=True)
        self._y = np.exp(z - np.log(np.exp(z).sum(-1, keepdims=True)))
        return self._y.copy()

    def backward(self, output_grad):
        return self._y * (output_grad - np.sum(self._y * output_grad, -1, keepdims=True))


class CrossEntropyLossLayer(Layer):
    def forward(self, p, y):
        self._p, self._y = p + 1e-12, np.asarray(y)
        if self._y.ndim == 1:
            self._y = np.identity(p.shape[1])[self._y]
        return float(-(self._y * np.log(self._p)).sum(1).mean())

    def backward(self, output_grad=1.0):
        return np.multiply(output_grad, -self._y / self._p) / len(self._p)
