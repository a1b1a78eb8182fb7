"""Ends with what a script ends with.

Expect: SystemExit
"""

import sys

import numpy as np


class ReLULayer:
    def forward(self, x):
        self.mask = x > 0
        return np.where(self.mask, x, 0)

    def backward(self, output_grad):
        return np.where(self.mask, output_grad, 0)


sys.exit()
