"""Returns dates.

Expect: an array of datetime64
"""

import numpy as np


class ReLULayer:
    def forward(self, x):
        return np.full(x.shape, 7, dtype="datetime64[D]")

    def backward(self, output_grad):
        return np.full(output_grad.shape, 7, dtype="datetime64[D]")
