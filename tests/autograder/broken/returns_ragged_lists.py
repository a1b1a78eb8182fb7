"""Returns rows of different lengths.

Expect: should be an array of real numbers
"""


class ReLULayer:
    def forward(self, x):
        return [[1.0], [2.0, 3.0]]

    def backward(self, output_grad):
        return [[1.0], [2.0, 3.0]]
