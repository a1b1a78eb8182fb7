"""Forgets to return.

Expect: a `return` is missing
"""


class ReLULayer:
    def forward(self, x):
        return None

    def backward(self, output_grad):
        return None
