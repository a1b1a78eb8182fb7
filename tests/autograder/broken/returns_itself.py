"""Returns a list that contains itself.

Expect: lists within lists
"""

LOOP = []
LOOP.append(LOOP)


class ReLULayer:
    def forward(self, x):
        return LOOP

    def backward(self, output_grad):
        return LOOP
