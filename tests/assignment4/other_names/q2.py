"""A network that initialises by Kaiming, and asks its layers for more than the handout has."""

import numpy as np

from q1 import Layer


class MLP(Layer):
    trainable = True

    def __init__(self, layers):
        assert all(isinstance(layer, Layer) for layer in layers)
        self.stack = tuple(layers)

    def init_weights(self):
        for layer in self.stack:
            layer.init_weights()
            if hasattr(layer, "tensors"):
                matrix = layer.tensors["weight_matrix"]
                matrix[...] = np.random.normal(0, np.sqrt(2 / matrix.shape[1]), matrix.shape)

    def forward(self, x):
        for layer in self.stack:
            x = layer(x)
        return x

    def backward(self, output_grad):
        for layer in self.stack[::-1]:
            output_grad = layer.backward(output_grad)
        return output_grad

    def update(self, learning_rate):
        for layer in filter(lambda layer: layer.trainable, self.stack):
            layer.update(learning_rate)

    def summary(self):
        return "\n".join(layer.summary() for layer in self.stack)
