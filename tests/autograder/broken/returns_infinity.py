"""Returns infinities.

Expect: inf
"""

import numpy as np


class ReLULayer:
    def forward(self, x):
        return np.full_like(x, np.inf)

    def backward(self, output_grad):
        return np.full_like(output_grad, np.inf)
