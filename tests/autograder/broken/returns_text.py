"""Returns text.

Expect: should be an array of real numbers
"""


class ReLULayer:
    def forward(self, x):
        return str(x)

    def backward(self, output_grad):
        return str(output_grad)
