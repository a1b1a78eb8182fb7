"""Question 2: the multi-layer perceptron, layers of question 1 in a row, with NumPy alone.

Write your code where it says TODO, and nowhere else. Don't rename classes or methods, and keep what they take
and return. N, d, m and what holds for all layers stand at the top of q1.py.
"""

from q1 import Layer


class MLP(Layer):
    """Layers in a row, each fed with the output of the one before (counterpart: ``torch.nn.Sequential``).

    Args:
        layers: a list of objects of subclasses of `Layer`, in the order in which data flows through them.

    Attributes:
        layers: the same list. The layers keep the weights that they have; nothing is drawn anew here.
    """

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def init_weights(self):
        """Draw the parameters of every layer anew.

        What a layer draws is said in its own `init_weights`. Returns nothing.
        """
        # BEGIN SOLUTION
        for layer in self.layers:
            layer.init_weights()
        # END SOLUTION

    def forward(self, x):
        """Return layer_n(... layer_1(layer_0(x))), of x's dtype.

        Args:
            x: np.ndarray (N, d), as the first layer takes it.

        Returns:
            np.ndarray (N, m), as the last layer returns it.
        """
        # BEGIN SOLUTION
        for layer in self.layers:
            x = layer.forward(x)
        return x
        # END SOLUTION

    def backward(self, output_grad):
        """Compute the gradients of all parameters, and return dL/dx.

        Args:
            output_grad: np.ndarray (N, m), the gradient of the loss with respect to the latest output.

        Returns:
            np.ndarray (N, d), the gradient of the loss with respect to x.
        """
        # BEGIN SOLUTION
        for layer in reversed(self.layers):
            output_grad = layer.backward(output_grad)
        return output_grad
        # END SOLUTION

    def update(self, learning_rate):
        """Take one step of gradient descent with every parameter, or with none if gradients are missing.

        Args:
            learning_rate: a float.
        """
        # BEGIN SOLUTION
        for layer in self.layers:
            layer.update(learning_rate)
        # END SOLUTION
