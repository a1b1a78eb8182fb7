"""Keeps everything that it has ever seen, many times.

Expect: MemoryError|256 MiB of memory
"""

import numpy as np

KEPT = []


class ReLULayer:
    def forward(self, x):
        self.mask = x > 0
        KEPT.extend(np.ones((1000, 1000)) for _ in range(1000))
        return np.where(self.mask, x, 0)

    def backward(self, output_grad):
        return np.where(self.mask, output_grad, 0)
