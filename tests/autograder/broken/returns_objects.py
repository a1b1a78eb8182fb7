"""Returns an array of Python objects.

Expect: an array of object
"""

import numpy as np


class ReLULayer:
    def forward(self, x):
        return np.array([None, "relu", x], dtype=object)

    def backward(self, output_grad):
        return np.array([None, "relu", output_grad], dtype=object)
