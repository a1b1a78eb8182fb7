"""Returns whole numbers that no computer word holds.

Expect: more than 64 bits
"""


class ReLULayer:
    def forward(self, x):
        return 10**400

    def backward(self, output_grad):
        return 10**400
