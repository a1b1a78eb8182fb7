"""Layers; targets are one-hot rows, and the logarithm has an epsilon."""

import numpy as np

EPSILON = 1e-8


class Layer(object):  # noqa: UP004
    def __init__(self, name="layer"):
        self.name = name

    def __repr__(self):
        return self.name

    def init_weights(self):
        pass

    def forward(self, inputs):
        raise NotImplementedError()

    def backward(self, output_grad):
        raise NotImplementedError()

    def update(self, learning_rate):
        pass


class Dense(Layer):
    def __init__(self, input_size, output_size):
        super().__init__(f"Dense {input_size}x{output_size}")
        self.bound = np.sqrt(6.0) / np.sqrt(input_size + output_size)
        self.W = np.empty([output_size, input_size])
        self.b = np.empty([1, output_size])
        self.dW = None
        self.db = None
        self.init_weights()

    def init_weights(self):
        self.W = np.random.RandomState(33).uniform(-self.bound, self.bound, self.W.shape)
        self.b = np.zeros_like(self.b)

    def forward(self, inputs):
        n, d = inputs.shape
        if d != self.W.shape[1]:
            raise ValueError("Dense: dimensions do not match")
        self.inputs = inputs
        return inputs @ self.W.T + np.repeat(self.b, n, axis=0)

    def backward(self, output_grad):
        if output_grad.shape != (self.inputs.shape[0], self.W.shape[0]):
            raise ValueError("Dense: dimensions do not match")
        self.dW = np.tensordot(output_grad, self.inputs, axes=[0, 0])
        self.db = np.ones((1, output_grad.shape[0])) @ output_grad
        return output_grad @ self.W

    def update(self, learning_rate):
        np.subtract(self.W, learning_rate * self.dW, out=self.W)
        np.subtract(self.b, learning_rate * self.db, out=self.b)


class ReLULayer(Layer):
    def __init__(self):
        super().__init__("ReLU")

    def forward(self, inputs):
        self.inputs = inputs
        return inputs.clip(min=0)

    def backward(self, output_grad):
        result = np.zeros_like(output_grad)
        np.copyto(result, output_grad, where=self.inputs > 0)
        return result


class TanhLayer(Layer):
    def __init__(self):
        super().__init__("tanh")

    def forward(self, inputs):
        e = np.exp(2 * np.minimum(inputs, 40))
        self.outputs = (e - 1) / (e + 1)
        return self.outputs

    def backward(self, output_grad):
        return (1.0 - self.outputs * self.outputs) * output_grad


class SoftmaxLayer(Layer):
    def __init__(self):
        super().__init__("softmax")

    def forward(self, inputs):
        exponentials = np.exp(inputs - np.max(inputs, axis=1)[:, np.newaxis])
        self.outputs = exponentials / np.sum(exponentials, axis=1)[:, np.newaxis]
        return self.outputs

    def backward(self, output_grad):
        return np.array(
            [
                gradient @ (np.diag(y) - y.reshape(-1, 1) @ y.reshape(1, -1))
                for y, gradient in zip(self.outputs, output_grad, strict=True)
            ]
        ).reshape(output_grad.shape)


class CrossEntropyLossLayer(Layer):
    def __init__(self):
        super().__init__("cross-entropy")

    def forward(self, predictions, targets):
        if predictions.shape != targets.shape:
            raise ValueError("cross-entropy: targets should be one-hot rows")
        self.predictions, self.targets = predictions, targets
        return np.mean(-np.sum(targets * np.log(predictions + EPSILON), axis=1))

    def backward(self, output_grad=1):
        return -output_grad * self.targets / (self.predictions + EPSILON) / self.targets.shape[0]
