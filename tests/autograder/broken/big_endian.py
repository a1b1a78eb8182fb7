"""Answers in the other byte order, backwards in memory, and is right.

Expect: full marks
"""

import numpy as np


class ReLULayer:
    def forward(self, x):
        self.mask = x > 0
        return np.where(self.mask, x, 0).astype(x.dtype.newbyteorder(">"))[::-1][::-1]

    def backward(self, output_grad):
        return np.where(self.mask, output_grad, 0)
