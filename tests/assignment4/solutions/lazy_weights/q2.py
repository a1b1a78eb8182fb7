"""A network that gives its layers their weights."""

import functools

from q1 import Layer


class MLP(Layer):
    def __init__(self, layers):
        self.layers = list(layers)
        self.init_weights()

    def init_weights(self):
        [layer.init_weights() for layer in self.layers]

    def forward(self, x):
        return functools.reduce(lambda value, layer: layer.forward(value), self.layers, x)

    def backward(self, output_grad):
        return functools.reduce(lambda value, layer: layer.backward(value), self.layers[::-1], output_grad)

    def update(self, learning_rate):
        [layer.update(learning_rate) for layer in self.layers]
