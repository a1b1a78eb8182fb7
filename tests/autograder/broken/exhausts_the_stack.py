"""Recurses until the stack of the machine is full.

Expect: Segmentation fault|RecursionError
"""

import sys

sys.setrecursionlimit(10**9)


class ReLULayer:
    def forward(self, x):
        return sorted([x], key=self.forward)
