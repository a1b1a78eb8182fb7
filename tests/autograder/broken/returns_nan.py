"""Returns NaN.

Expect: nan
"""

import numpy as np


class ReLULayer:
    def forward(self, x):
        return np.full_like(x, np.nan)

    def backward(self, output_grad):
        return np.full_like(output_grad, np.nan)
