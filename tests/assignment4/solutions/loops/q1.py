"""Layers that go through the batch one example after the other."""

import math

import numpy as np


class Layer:
    def init_weights(self):
        return None

    def forward(self, x):
        raise NotImplementedError("forward")

    def backward(self, output_grad):
        raise NotImplementedError("backward")

    def update(self, lr):
        return None


class Dense(Layer):
    def __init__(self, input_size, output_size):
        self.d, self.m = input_size, output_size
        self.W = np.zeros((output_size, input_size))
        self.b = np.zeros(output_size)
        self.dW = np.zeros((output_size, input_size))
        self.db = np.zeros(output_size)
        self.init_weights()

    def init_weights(self):
        bound = math.sqrt(6) / math.sqrt(self.d + self.m)
        random = np.random.default_rng()
        for i in range(self.m):
            self.W[i] = random.uniform(-bound, bound, self.d)
            self.b[i] = 0

    def forward(self, x):
        if len(np.shape(x)) != 2 or np.shape(x)[1] != self.d:
            raise ValueError("wrong shape")
        self.x = [np.array(row, dtype=float) for row in x]
        outputs = [[float(weights @ row) + self.b[i] for i, weights in enumerate(self.W)] for row in self.x]
        return np.array(outputs).reshape(len(x), self.m)

    def backward(self, output_grad):
        if np.shape(output_grad) != (len(self.x), self.m):
            raise ValueError("wrong shape")
        self.dW = np.zeros((self.m, self.d))
        self.db = np.zeros(self.m)
        x_grad = np.zeros((len(self.x), self.d))
        for n, row in enumerate(self.x):
            for i in range(self.m):
                self.dW[i] += output_grad[n][i] * row
                self.db[i] += output_grad[n][i]
                x_grad[n] += output_grad[n][i] * self.W[i]
        return x_grad

    def update(self, lr):
        for i in range(self.m):
            self.W[i] = self.W[i] - lr * self.dW[i]
            self.b[i] = self.b[i] - lr * self.db[i]


class Elementwise(Layer):
    """An activation of single numbers."""

    def forward(self, x):
        self.x = np.array(x, dtype=float)
        return np.array([[self.function(value) for value in row] for row in self.x]).reshape(self.x.shape)

    def backward(self, output_grad):
        answer = np.zeros(self.x.shape)
        for n, row in enumerate(self.x):
            for k, value in enumerate(row):
                answer[n, k] = output_grad[n][k] * self.derivative(value)
        return answer


class ReLULayer(Elementwise):
    def function(self, value):
        return value if value > 0 else 0.0

    def derivative(self, value):
        return 1.0 if value > 0 else 0.0


class TanhLayer(Elementwise):
    def function(self, value):
        if value >= 0:
            return 1 - 2 / (1 + math.exp(min(2 * value, 700)))
        return 2 / (1 + math.exp(max(2 * value, -700) * -1)) - 1

    def derivative(self, value):
        return 1 - self.function(value) ** 2


class SoftmaxLayer(Layer):
    def forward(self, x):
        rows = []
        for row in x:
            largest = max(row)
            exponentials = [math.exp(value - largest) for value in row]
            rows.append([value / sum(exponentials) for value in exponentials])
        self.y = np.array(rows).reshape(np.shape(x))
        return self.y.copy()

    def backward(self, output_grad):
        answer = np.zeros(self.y.shape)
        classes = self.y.shape[1]
        for n, y in enumerate(self.y):
            for j in range(classes):
                for k in range(classes):
                    answer[n, j] += output_grad[n][k] * y[k] * ((1 if j == k else 0) - y[j])
        return answer


class CrossEntropyLossLayer(Layer):
    def forward(self, prediction, target):
        self.p, self.t = np.array(prediction, dtype=float), target
        total = 0.0
        for row, label in zip(self.p, self.t, strict=True):
            total -= math.log(max(row[label], 1e-300))
        return total / len(self.p)

    def backward(self, output_grad=1):
        answer = np.zeros(self.p.shape)
        for n, label in enumerate(self.t):
            answer[n, label] = -output_grad / max(self.p[n, label], 1e-300) / len(self.p)
        return answer
