"""Raises an error that cannot be turned into text.

Expect: cannot be shown
"""


class UnspeakableError(Exception):
    def __str__(self):
        raise self

    __repr__ = __str__


class ReLULayer:
    def forward(self, x):
        raise UnspeakableError
