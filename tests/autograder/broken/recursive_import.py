"""Calls itself without end when it is imported.

Expect: RecursionError
"""


def build(depth):
    return [build(depth + 1)]


network = build(0)
