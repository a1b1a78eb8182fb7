"""Has no ReLULayer.

Expect: ReLULayer
"""


class Relu:
    def forward(self, x):
        return x
