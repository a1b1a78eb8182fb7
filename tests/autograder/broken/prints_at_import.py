"""Prints 5 MB when it is imported, and is right otherwise.

Expect: full marks
"""

import numpy as np

print("loading...\n" * 500_000)


class ReLULayer:
    def forward(self, x):
        self.mask = x > 0
        return np.where(self.mask, x, 0)

    def backward(self, output_grad):
        return np.where(self.mask, output_grad, 0)
