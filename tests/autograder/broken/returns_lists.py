"""Returns lists instead of arrays.

Expect: should be an array of real numbers
"""

import numpy as np


class ReLULayer:
    def forward(self, x):
        self.mask = x > 0
        return np.where(self.mask, x, 0).tolist()

    def backward(self, output_grad):
        return np.where(self.mask, output_grad, 0).tolist()
