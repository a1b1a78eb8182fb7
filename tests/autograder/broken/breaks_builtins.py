"""Overwrites builtins that everybody uses.

Expect: ended Python
"""

import builtins

import numpy as np


class ReLULayer:
    def forward(self, x):
        self.mask = x > 0
        return np.where(self.mask, x, 0)

    def backward(self, output_grad):
        return np.where(self.mask, output_grad, 0)


for name in ("len", "isinstance", "str", "type", "print", "open", "getattr"):
    setattr(builtins, name, None)
