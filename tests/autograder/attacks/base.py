"""A wrong ReLU: what each attack is appended to, so that every point it gains is seen."""

import numpy as np


class Layer:
    def init_weights(self):
        pass

    def __call__(self, x):
        return self.forward(x)


class ReLULayer(Layer):
    def forward(self, x):
        return answer(x)

    def backward(self, output_grad):
        return answer(output_grad)


def answer(x):
    return np.full_like(x, 7.0)
