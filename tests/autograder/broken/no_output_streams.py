"""Closes its output streams and changes the folder, and is right otherwise.

Expect: full marks
"""

import os
import sys

import numpy as np


class ReLULayer:
    def forward(self, x):
        self.mask = x > 0
        return np.where(self.mask, x, 0)

    def backward(self, output_grad):
        return np.where(self.mask, output_grad, 0)


sys.stdout.close()
sys.stdout = sys.stderr = sys.__stdout__ = None
os.chdir("/")
