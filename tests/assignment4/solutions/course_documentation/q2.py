# Assignment 4, Question 2
# Name: A. Student
# Date: 2026
"""The multi-layer perceptron."""

from q1 import Dense, Layer


class MLP(Layer):
    def __init__(self, layers):
        super().__init__()
        assert all(isinstance(layer, Layer) for layer in layers)
        self.layers = layers

    def init_weights(self):
        for layer in self.layers:
            if isinstance(layer, Dense):
                layer.init_weights()

    def forward(self, input):
        self.input = input
        output = input
        for layer in self.layers:
            output = layer.forward(output)
        self.output = output
        return output

    def backward(self, output_grad):
        grad = output_grad
        for layer in self.layers[::-1]:
            grad = layer.backward(grad)
        return grad
