"""Imports a package that the handout forbids, and does not use it.

Expect: full marks
"""

import numpy as np
import torch  # noqa: F401


class ReLULayer:
    def forward(self, x):
        self.mask = x > 0
        return np.where(self.mask, x, 0)

    def backward(self, output_grad):
        return np.where(self.mask, output_grad, 0)
