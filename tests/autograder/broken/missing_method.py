"""Has no backward.

Expect: backward
"""

import numpy as np


class ReLULayer:
    def forward(self, x):
        self.mask = x > 0
        return np.where(self.mask, x, 0)
