"""Layers that are but names: what they should do is done elsewhere."""

import numpy as np


class Layer:
    pass


class CrossEntropyLossLayer(Layer):
    pass


class Dense(Layer):
    def __init__(self, input_size, output_size):
        self.W, self.b = np.zeros((output_size, input_size)), np.zeros(output_size)
