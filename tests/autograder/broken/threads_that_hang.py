"""Starts threads that never end, and is right otherwise.

Expect: full marks
"""

import threading

import numpy as np


class ReLULayer:
    def forward(self, x):
        self.mask = x > 0
        return np.where(self.mask, x, 0)

    def backward(self, output_grad):
        return np.where(self.mask, output_grad, 0)


for _ in range(4):
    threading.Thread(target=threading.Event().wait).start()
