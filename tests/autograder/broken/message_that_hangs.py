"""Raises an error that takes for ever to be turned into text.

Expect: was stopped|no time left
"""


class EndlessError(Exception):
    def __str__(self):
        while True:
            pass


class ReLULayer:
    def forward(self, x):
        raise EndlessError
