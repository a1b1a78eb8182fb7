"""Returns complex numbers.

Expect: should be an array of real numbers
"""

import numpy as np


class ReLULayer:
    def forward(self, x):
        return x + 1j * np.abs(x)

    def backward(self, output_grad):
        return output_grad + 1j * np.abs(output_grad)
