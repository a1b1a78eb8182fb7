"""Returns an array that is larger than all memory.

Expect: MemoryError: Unable to allocate
"""

import numpy as np


class ReLULayer:
    def forward(self, x):
        return np.ones((2**15, 2**15)) * x.sum()

    def backward(self, output_grad):
        return np.ones((2**15, 2**15)) * output_grad.sum()
