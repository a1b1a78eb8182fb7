# Assignment 4, Question 1
# Name: A. Student
# Date: 2026
"""The layers, as the course's class documentation describes them."""

import numpy as np

np.random.seed(33)


class Layer:
    """Abstract class of all layers."""

    def __init__(self):
        self.input = None
        self.output = None

    def init_weights(self):
        """Initialize the weights of the layer."""
        raise NotImplementedError

    def forward(self, input):
        """Return the output of the layer for an input."""
        raise NotImplementedError

    def backward(self, output_grad):
        """Return dL/dinput for dL/doutput."""
        raise NotImplementedError


class Dense(Layer):
    """Fully-connected layer.

    weights: np.ndarray (input_size, output_size)
    bias: np.ndarray (1, output_size)
    """

    def __init__(self, input_size, output_size):
        super().__init__()
        assert input_size > 0 and output_size > 0
        self.input_size = input_size
        self.output_size = output_size
        self.weights = None
        self.bias = None
        self.weights_grad = None
        self.bias_grad = None
        self.init_weights()

    def init_weights(self):
        np.random.seed(33)
        bound = np.sqrt(6.0 / (self.input_size + self.output_size))
        self.weights = np.random.uniform(-bound, bound, (self.input_size, self.output_size))
        self.bias = np.zeros((1, self.output_size))

    def forward(self, input):
        assert input.ndim == 2, "input must be a batch of vectors"
        assert input.shape[1] == self.input_size, "wrong number of inputs"
        self.input = input
        self.output = np.dot(self.input, self.weights) + self.bias
        return self.output

    def backward(self, output_grad):
        assert output_grad.shape == self.output.shape, "wrong shape of the gradient"
        self.weights_grad = np.dot(self.input.T, output_grad)
        self.bias_grad = np.sum(output_grad, axis=0, keepdims=True)
        return np.dot(output_grad, self.weights.T)


class ReLULayer(Layer):
    def forward(self, input):
        self.input = input
        self.output = np.where(input > 0, input, 0)
        return self.output

    def backward(self, output_grad):
        assert output_grad.shape == self.input.shape
        grad = output_grad.copy()
        grad[self.input <= 0] = 0
        return grad


class TanhLayer(Layer):
    def forward(self, input):
        self.input = np.clip(input, -300, 300)
        positive, negative = np.exp(self.input), np.exp(-self.input)
        self.output = (positive - negative) / (positive + negative)
        return self.output

    def backward(self, output_grad):
        return (1 - self.output * self.output) * output_grad


class SoftmaxLayer(Layer):
    def forward(self, input):
        shifted = input - np.max(input, axis=-1, keepdims=True)
        exponentials = np.exp(shifted)
        self.output = exponentials / np.sum(exponentials, axis=-1, keepdims=True)
        return self.output

    def backward(self, output_grad):
        input_grad = np.empty_like(output_grad)
        for i, (y, g) in enumerate(zip(self.output, output_grad, strict=True)):
            jacobian = np.diagflat(y) - np.outer(y, y)
            input_grad[i] = jacobian @ g
        return input_grad


class CrossEntropyLossLayer(Layer):
    def forward(self, prediction, target):
        assert len(prediction) == len(target)
        self.prediction = prediction
        self.target = target
        n = len(prediction)
        return -np.mean(np.log(prediction[np.arange(n), target] + 1e-12))

    def backward(self):
        n = len(self.prediction)
        grad = np.zeros(self.prediction.shape)
        rows = np.arange(n)
        grad[rows, self.target] = -1 / (n * (self.prediction[rows, self.target] + 1e-12))
        return grad
