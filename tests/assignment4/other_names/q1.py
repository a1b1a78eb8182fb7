"""Layers with an abstract base of their own, whose arrays have names and places of their own."""

from abc import ABC, abstractmethod
from collections import namedtuple

import numpy as np

Slopes = namedtuple("Slopes", "matrix vector")


class Layer(ABC):
    """The base of all layers, which asks each for a forward, a backward and a line about itself."""

    registry = {}  # noqa: RUF012

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.registry.setdefault(cls.__name__, cls)

    def init_weights(self):
        return None

    @abstractmethod
    def forward(self, x): ...

    @abstractmethod
    def backward(self, output_grad): ...

    @abstractmethod
    def summary(self): ...

    @property
    @abstractmethod
    def trainable(self): ...

    def update(self, learning_rate):
        return None

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)


class Dense(Layer):
    trainable = True

    def __init__(self, input_size, output_size):
        self.shape = (output_size, input_size)
        self.velocity_w = np.zeros(self.shape)
        self.velocity_b = np.zeros((output_size, 1))
        self._grad_W_total = np.zeros(self.shape)
        self._current = Slopes(None, None)
        self.init_weights()

    def init_weights(self):
        limit = np.sqrt(6.0 / sum(self.shape))
        self.tensors = {
            "weight_matrix": np.random.uniform(-limit, limit, self.shape),
            "rest": [np.zeros((self.shape[0], 1))],
        }

    def forward(self, x):
        if x.ndim != 2 or x.shape[1] != self.shape[1]:
            raise ValueError(f"expected (n, {self.shape[1]}), got {x.shape}")
        self.columns = x.T
        return (self.tensors["weight_matrix"] @ self.columns + self.tensors["rest"][0]).T

    def backward(self, output_grad):
        if output_grad.shape != (self.columns.shape[1], self.shape[0]):
            raise ValueError(f"got a gradient of shape {output_grad.shape}")
        columns = output_grad.T
        self._current = Slopes(columns @ self.columns.T, columns.sum(axis=1, keepdims=True))
        self._grad_W_total = self._grad_W_total + self._current.matrix
        return (self.tensors["weight_matrix"].T @ columns).T

    def update(self, learning_rate):
        self.velocity_w = -learning_rate * self._current.matrix
        self.velocity_b = -learning_rate * self._current.vector
        self.tensors["weight_matrix"] = self.tensors["weight_matrix"] + self.velocity_w
        self.tensors["rest"][0] = self.tensors["rest"][0] + self.velocity_b

    def summary(self):
        return f"Dense {self.shape}"


class Activation(Layer):
    trainable = False

    def summary(self):
        return type(self).__name__


class ReLULayer(Activation):
    def forward(self, x):
        self.slope = np.where(x > 0, 1.0, 0.0)
        return x * self.slope

    def backward(self, output_grad):
        return output_grad * self.slope


class TanhLayer(Activation):
    def forward(self, x):
        decay = np.exp(-2 * np.abs(x))
        self.result = np.sign(x) * (1 - decay) / (1 + decay)
        return self.result

    def backward(self, output_grad):
        return output_grad - output_grad * self.result**2


class SoftmaxLayer(Activation):
    def forward(self, x):
        shifted = x - x.max(axis=1, keepdims=True)
        self.result = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        return self.result

    def backward(self, output_grad):
        weighted = self.result * output_grad
        return weighted - self.result * weighted.sum(axis=1, keepdims=True)


class CrossEntropyLossLayer(Layer):
    trainable = False

    def forward(self, prediction, target):
        self.inside = np.clip(prediction, 1e-12, 1.0)
        self.labels = np.asarray(target).reshape(-1)
        return -np.log(self.inside[np.arange(len(self.labels)), self.labels]).mean()

    def backward(self, loss=None):
        """Return dL/dprediction; the loss, which training hands over, is not needed."""
        grad, rows = np.zeros_like(self.inside), np.arange(len(self.labels))
        grad[rows, self.labels] = -1 / (len(rows) * self.inside[rows, self.labels])
        return grad

    def summary(self):
        return "cross-entropy"
