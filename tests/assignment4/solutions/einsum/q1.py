"""Layers in Einstein's notation; answers come in whatever memory order suits."""

import numpy as np


class Layer:
    def init_weights(self):
        """Nothing to draw."""

    def forward(self, *inputs):
        raise NotImplementedError

    def backward(self, *gradients):
        raise NotImplementedError

    def update(self, lr):
        """Nothing to learn."""


class Dense(Layer):
    def __init__(self, input_size, output_size):
        self.params = {
            "W": np.zeros((output_size, input_size), order="F"),
            "b": np.zeros(output_size),
        }
        self.grads = {}
        self.init_weights()

    def init_weights(self):
        bound = np.sqrt(6 / sum(self.params["W"].shape))
        self.params["W"][...] = np.random.default_rng(1).uniform(-bound, bound, self.params["W"].shape)
        self.params["b"][...] = 0

    def forward(self, x):
        if np.ndim(x) != 2:
            raise ValueError("a batch of vectors, please")
        self.x = x
        return np.asfortranarray(np.einsum("nd,md->nm", x, self.params["W"]) + self.params["b"][None])

    def backward(self, output_grad):
        if output_grad.shape != (len(self.x), len(self.params["b"])):
            raise ValueError("the gradient's shape is not the output's")
        self.grads["W"] = np.einsum("nm,nd->md", output_grad, self.x)
        self.grads["b"] = np.einsum("nm->m", output_grad)
        return np.einsum("md,nm->dn", self.params["W"], output_grad).T

    def update(self, lr):
        for name, gradient in self.grads.items():
            self.params[name] -= lr * gradient


class ReLULayer(Layer):
    slope = staticmethod(np.vectorize(lambda x: 1.0 if x > 0 else 0.0, otypes=[float]))

    def forward(self, x):
        self.slopes = self.slope(x)
        padded = np.zeros((*x.shape[:-1], 2 * x.shape[-1]))
        padded[..., ::2] = x * self.slopes
        return padded[..., ::2]

    def backward(self, output_grad):
        return np.einsum("...,...->...", output_grad, self.slopes)


class TanhLayer(Layer):
    def forward(self, x):
        x = np.clip(x, -350, 350)
        self.y = (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))
        return self.y.view()

    def backward(self, output_grad):
        return np.asfortranarray(output_grad * (1 - self.y**2))


class SoftmaxLayer(Layer):
    def forward(self, x):
        e = np.exp(np.subtract(x, np.amax(x, axis=-1, keepdims=True)))
        self.y = np.einsum("nk,n->kn", e, 1 / np.einsum("nk->n", e)).T
        return self.y

    def backward(self, output_grad):
        inner = np.einsum("nk,nk->n", self.y, output_grad)
        return np.einsum("nk,nk->nk", self.y, output_grad - inner[:, None])


class CrossEntropyLossLayer(Layer):
    def forward(self, p, y):
        self.p = np.clip(p, np.finfo(float).tiny, 1)
        self.y = np.eye(p.shape[1])[y] if np.ndim(y) == 1 else y
        return -np.einsum("nk,nk->", self.y, np.log(self.p)) / p.shape[0]

    def backward(self, output_grad=1.0):
        return np.einsum(",nk,nk->nk", -np.float64(output_grad) / len(self.p), self.y, 1 / self.p)
