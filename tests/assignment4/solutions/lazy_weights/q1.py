"""Layers whose weights are made by init_weights, which the network calls."""

import numpy as np


class Layer:
    def init_weights(self):
        pass

    def forward(self, x):
        raise NotImplementedError

    def backward(self, output_grad):
        raise NotImplementedError

    def update(self, learning_rate):
        pass


class Dense(Layer):
    def __init__(self, input_size, output_size):
        self.input_size, self.output_size = input_size, output_size
        self.W = self.b = None

    def init_weights(self):
        a = np.sqrt(6 / (self.input_size + self.output_size))
        self.W = 2 * a * np.random.rand(self.output_size, self.input_size) - a
        self.b = np.zeros((self.output_size,))

    def forward(self, x):
        if x.shape[-1] != self.W.shape[1] or x.ndim != 2:
            raise ValueError("the input does not fit the weights")
        self.cache = x
        return np.add(x.dot(self.W.transpose()), self.b)

    def backward(self, output_grad):
        x = self.cache
        if output_grad.shape != (x.shape[0], self.W.shape[0]):
            raise ValueError("the gradient does not fit the weights")
        self.grad_W = output_grad.transpose().dot(x)
        self.grad_b = output_grad.sum(axis=0)
        return output_grad.dot(self.W)

    def update(self, learning_rate):
        self.W = self.W - learning_rate * self.grad_W
        self.b = self.b - learning_rate * self.grad_b


class ReLULayer(Layer):
    def forward(self, x):
        self.cache = x
        return (np.abs(x) + x) / 2

    def backward(self, output_grad):
        return output_grad * np.heaviside(self.cache, 0)


class TanhLayer(Layer):
    def forward(self, x):
        c = np.clip(x, -20, 20)
        self.y = (np.exp(c) - np.exp(-c)) / (np.exp(c) + np.exp(-c))
        return self.y

    def backward(self, output_grad):
        return output_grad * (1 + self.y) * (1 - self.y)


class SoftmaxLayer(Layer):
    def forward(self, x):
        x = (x.T - x.max(axis=1)).T
        self.y = (np.exp(x).T / np.exp(x).sum(axis=1)).T
        return self.y

    def backward(self, output_grad):
        n, k = self.y.shape
        jacobians = np.eye(k)[None] * self.y[:, :, None] - self.y[:, :, None] * self.y[:, None, :]
        return (jacobians @ output_grad[:, :, None]).reshape(n, k)


class CrossEntropyLossLayer(Layer):
    def forward(self, prediction, target):
        self.n = prediction.shape[0]
        self.p, self.y = prediction, target
        picked = np.take_along_axis(prediction, np.reshape(target, (-1, 1)), axis=1)
        return np.negative(np.log(np.maximum(picked, 1e-20))).mean()

    def backward(self, output_grad=1.0):
        gradient = np.zeros_like(self.p)
        index = np.reshape(self.y, (-1, 1))
        picked = np.maximum(np.take_along_axis(self.p, index, axis=1), 1e-20)
        np.put_along_axis(gradient, index, -output_grad / (self.n * picked), axis=1)
        return gradient
