"""Layers in float32, whatever comes in."""

import numpy as np

F = np.float32


class Layer:
    def init_weights(self):
        pass

    def forward(self, inputs):
        raise NotImplementedError

    def backward(self, output_grad):
        raise NotImplementedError

    def update(self, lr):
        pass


class Dense(Layer):
    def __init__(self, input_size, output_size):
        self.shape = (output_size, input_size)
        self.init_weights()

    def init_weights(self):
        limit = np.sqrt(6 / sum(self.shape))
        self.W = np.random.uniform(-limit, limit, self.shape).astype(F)
        self.b = np.zeros(self.shape[0], dtype=F)
        self.dW, self.db = np.zeros_like(self.W), np.zeros_like(self.b)

    def forward(self, inputs):
        inputs = np.asarray(inputs, dtype=F)
        if inputs.shape[1:] != self.shape[1:]:
            raise ValueError(f"expected (n, {self.shape[1]}), got {inputs.shape}")
        self.inputs = inputs
        return np.matmul(inputs, self.W.T) + self.b

    def backward(self, output_grad):
        output_grad = np.asarray(output_grad, dtype=F)
        if output_grad.shape != (self.inputs.shape[0], self.shape[0]):
            raise ValueError(f"got a gradient of shape {output_grad.shape}")
        np.matmul(output_grad.T, self.inputs, out=self.dW)
        np.sum(output_grad, axis=0, out=self.db)
        return np.matmul(output_grad, self.W)

    def update(self, lr):
        self.W -= F(lr) * self.dW
        self.b -= F(lr) * self.db


class ReLULayer(Layer):
    def forward(self, inputs):
        inputs = np.asarray(inputs, dtype=F)
        self.mask = (inputs > 0).astype(F)
        return inputs * self.mask

    def backward(self, output_grad):
        return np.asarray(output_grad, dtype=F) * self.mask


class TanhLayer(Layer):
    def forward(self, inputs):
        inputs = np.asarray(inputs, dtype=F)
        u = np.expm1(-2 * np.abs(inputs))
        self.outputs = np.copysign(-u / (u + 2), inputs)
        return self.outputs

    def backward(self, output_grad):
        return np.asarray(output_grad, dtype=F) * (1 - np.square(self.outputs))


class SoftmaxLayer(Layer):
    def forward(self, inputs):
        inputs = np.asarray(inputs, dtype=F)
        self.outputs = np.exp(inputs - inputs.max(axis=1, keepdims=True))
        self.outputs /= self.outputs.sum(axis=1, keepdims=True)
        return self.outputs

    def backward(self, output_grad):
        product = np.asarray(output_grad, dtype=F) * self.outputs
        return product - self.outputs * product.sum(axis=1, keepdims=True)


class CrossEntropyLossLayer(Layer):
    def forward(self, prediction, target):
        self.prediction = np.maximum(np.asarray(prediction, dtype=F), F(1e-30))
        target = np.asarray(target)
        if target.ndim == 1:
            target = np.eye(self.prediction.shape[1], dtype=F)[target]
        self.target = target.astype(F)
        return F(-np.sum(self.target * np.log(self.prediction)) / F(len(self.target)))

    def backward(self):
        return -self.target / self.prediction / F(len(self.target))
