"""Yields the rows.

Expect: should be an array of real numbers
"""

import numpy as np


class ReLULayer:
    def forward(self, x):
        return (row for row in np.maximum(x, 0))

    def backward(self, output_grad):
        return (row for row in np.maximum(output_grad, 0))
