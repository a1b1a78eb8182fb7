"""Layers in a functional style: forward returns with a closure that knows how to go back."""

from dataclasses import dataclass, field

import numpy as np


class Layer:
    __slots__ = ("pull",)

    def init_weights(self):
        return self

    def apply(self, *inputs):
        """Return the output, and the function from dL/doutput to dL/dinput."""
        raise NotImplementedError

    def forward(self, *inputs):
        output, self.pull = self.apply(*inputs)
        return output

    def backward(self, output_grad):
        try:
            return self.pull(output_grad)
        except AttributeError:
            raise NotImplementedError from None

    def update(self, lr):
        return self


@dataclass
class Parameter:
    value: np.ndarray
    grad: np.ndarray = field(default=None)

    def step(self, lr):
        self.value = self.value - lr * self.grad


class Dense(Layer):
    __slots__ = ("bias", "limit", "weights")

    def __init__(self, input_size: int, output_size: int):
        self.limit = float(np.sqrt(6 / (input_size + output_size)))
        self.weights = Parameter(np.zeros((input_size, output_size)))
        self.bias = Parameter(np.zeros((1, output_size)))
        self.init_weights()

    def init_weights(self):
        shape = self.weights.value.shape
        self.weights.value = np.random.default_rng().uniform(-self.limit, self.limit, shape)
        self.bias.value = np.zeros((1, shape[1]))
        return self

    def apply(self, x):
        weights, bias = self.weights, self.bias
        if x.ndim != 2 or x.shape[1] != len(weights.value):
            raise ValueError(f"cannot multiply {x.shape} by {weights.value.shape}")

        def pull(g):
            if g.shape != (x.shape[0], bias.value.size):
                raise ValueError(f"cannot pull {g.shape}")
            weights.grad, bias.grad = x.T @ g, g.sum(0, keepdims=True)
            return g @ weights.value.T

        return x @ weights.value + bias.value, pull

    def update(self, lr):
        for parameter in (self.weights, self.bias):
            parameter.step(lr)
        return self


class ReLULayer(Layer):
    __slots__ = ()

    def apply(self, x):
        positive = np.greater(x, 0)
        return x * positive, lambda g: g * positive


class TanhLayer(Layer):
    __slots__ = ()

    def apply(self, x):
        e = np.expm1(2 * np.clip(x, -20, 20))
        y = e / (e + 2)
        return y, lambda g: g * (1 - y * y)


class SoftmaxLayer(Layer):
    __slots__ = ()

    def apply(self, x):
        e = np.exp(x - x.max(-1, keepdims=True))
        y = e / e.sum(-1, keepdims=True)
        return y, lambda g: y * (g - (g * y).sum(-1, keepdims=True))


class CrossEntropyLossLayer(Layer):
    __slots__ = ()

    def apply(self, p, labels):
        rows, n = np.arange(len(p)), len(p)
        safe = np.maximum(p[rows, labels], 1e-100)

        def pull(g=1.0):
            gradient = np.zeros(p.shape)
            gradient[rows, labels] = -g / (n * safe)
            return gradient

        return np.log(safe).sum() / -n, pull

    def backward(self, output_grad=1.0):
        return self.pull(output_grad)
