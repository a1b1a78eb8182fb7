"""Wants more arguments than the handout says.

Expect: missing
"""

import numpy as np


class ReLULayer:
    def forward(self, x, training, name):
        self.mask = x > 0
        return np.where(self.mask, x, 0)

    def backward(self, output_grad):
        return np.where(self.mask, output_grad, 0)
