"""Looks for its attributes without end.

Expect: RecursionError
"""


class ReLULayer:
    def __getattr__(self, name):
        return getattr(self, name + "_")
