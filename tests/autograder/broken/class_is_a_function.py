"""Makes the class a function, and the methods functions of the module.

Expect: missing 1 required positional argument
"""


def ReLULayer(x):
    return x * (x > 0)
