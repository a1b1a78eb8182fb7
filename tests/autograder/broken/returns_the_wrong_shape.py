"""Returns the transposed array.

Expect: shape
"""

import numpy as np


class ReLULayer:
    def forward(self, x):
        return np.maximum(x, 0).T[:, :1]

    def backward(self, output_grad):
        return np.maximum(output_grad, 0).T[:, :1]
