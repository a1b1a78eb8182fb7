"""Raises what is no Exception.

Expect: KeyboardInterrupt
"""


class ReLULayer:
    def forward(self, x):
        raise KeyboardInterrupt
