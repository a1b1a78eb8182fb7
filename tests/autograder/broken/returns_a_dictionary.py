"""Returns a dictionary with odd keys.

Expect: should be an array of real numbers
"""


class ReLULayer:
    def forward(self, x):
        return {None: x, (1, 2): x, 3.5: [x]}

    def backward(self, output_grad):
        return {None: output_grad, (1, 2): output_grad, 3.5: [output_grad]}
