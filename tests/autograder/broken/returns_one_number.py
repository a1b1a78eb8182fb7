"""Returns one number for a batch.

Expect: shape
"""

import numpy as np


class ReLULayer:
    def forward(self, x):
        return np.maximum(x, 0).sum()

    def backward(self, output_grad):
        return np.maximum(output_grad, 0).sum()
