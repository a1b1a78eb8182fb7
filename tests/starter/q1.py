"""Question 1: the building blocks of a small deep-learning library, with NumPy alone.

Every block is a `Layer`. `forward` turns a batch of inputs into a batch of outputs, and remembers what
`backward` will need. `backward` takes the gradient of the loss L with respect to these outputs and returns
the gradient with respect to the inputs, by the chain rule. One step of training is

    prediction = network.forward(x)
    loss = criterion.forward(prediction, target)
    network.backward(criterion.backward())
    network.update(learning_rate)

In all that follows N is the number of examples in a batch (any number), d that of a layer's inputs, m that of
its outputs, K that of classes. Arrays are np.ndarray of float64 or float32. No method may change the arrays
that it is handed: make new ones.

Write your code where it says TODO, and nowhere else. Don't rename classes or methods, and keep what they take
and return. You may add attributes and methods of your own.
"""

import numpy as np


class Layer:
    """Base class of all that data flows through (handout 1; counterpart: ``torch.nn.Module``).

    Your layers override what they need of this. An activation, say, has no weights to initialise.
    """

    def init_weights(self):
        """Draw the parameters anew, if there are any."""

    def forward(self, x):
        """Return the output for a batch of inputs."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(self, output_grad):
        """Return dL/dinput, given dL/doutput of the latest forward."""
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    def update(self, learning_rate):
        """Take one step of gradient descent with the latest gradients, if there are parameters."""

    def __call__(self, *args, **kwargs):
        """Call ``forward``."""
        return self.forward(*args, **kwargs)


class Dense(Layer):
    """Fully-connected layer, y = x Wᵀ + b (handout 1.1; counterpart: ``torch.nn.Linear``).

    Args:
        input_size: d, an int >= 1.
        output_size: m, an int >= 1.

    Attributes:
        weights: np.ndarray (d, m), which is the handout's W (m, d) transposed.
        bias: np.ndarray (1, m), the handout's b.
        weights_grad: np.ndarray (d, m), dL/dweights of the latest backward; None before the first.
        bias_grad: np.ndarray (1, m), dL/dbias of the latest backward; None before the first.

    The tests find the arrays by these names. If you prefer the handout's symbols, call all four by them: `W`
    (m, d), `b` (m,), `dW` (m, d) and `db` (m,).
    """

    def __init__(self, input_size, output_size):
        super().__init__()
        self.input_size = input_size
        self.output_size = output_size
        self.weights = None
        self.bias = None
        self.weights_grad = None
        self.bias_grad = None
        self.init_weights()

    def init_weights(self):
        """Draw W ~ U(-√(6/(d+m)), √(6/(d+m))) (Xavier's, or Glorot's, distribution) and set b to zero.

        Sets `weights` (d, m) and `bias` (1, m), and draws other weights each time. Returns nothing.
        """
        # BEGIN SOLUTION
        bound = np.sqrt(6 / (self.input_size + self.output_size))
        self.weights = np.random.uniform(-bound, bound, (self.input_size, self.output_size))
        self.bias = np.zeros((1, self.output_size))
        # END SOLUTION

    def forward(self, x):
        """Return y = x Wᵀ + b, (N, m), for x, (N, d); N may be 0.

        Args:
            x: np.ndarray (N, d).

        Returns:
            np.ndarray (N, m).

        Raises:
            ValueError: x is not of shape (N, d); say what was expected and what came.
        """
        # BEGIN SOLUTION
        if x.ndim != 2 or x.shape[1] != self.input_size:
            raise ValueError(f"expected x of shape (N, {self.input_size}), got {x.shape}")
        self.x = x
        return x @ self.weights + self.bias
        # END SOLUTION

    def backward(self, output_grad):
        """Compute dL/dW and dL/db, and return dL/dx, (N, d), for g = dL/dy, (N, m).

        Sets `weights_grad` (d, m) and `bias_grad` (1, m), in place of those of an earlier batch. They are
        sums over the batch, no means: the loss has the 1/N already.

        Args:
            output_grad: np.ndarray (N, m), the gradient g of the loss with respect to the latest output y.

        Returns:
            np.ndarray (N, d), the gradient of the loss with respect to x.

        Raises:
            ValueError: output_grad is not of the latest output's shape.
        """
        # BEGIN SOLUTION
        if output_grad.shape != (len(self.x), self.output_size):
            raise ValueError(
                f"expected output_grad of shape {(len(self.x), self.output_size)}, got {output_grad.shape}"
            )
        self.weights_grad = self.x.T @ output_grad
        self.bias_grad = np.sum(output_grad, axis=0, keepdims=True)
        return output_grad @ self.weights.T
        # END SOLUTION

    def update(self, learning_rate):
        """Take one step of gradient descent in place, W ← W - η dL/dW and b ← b - η dL/db, finite η >= 0.

        Args:
            learning_rate: η, a float.
        """
        # BEGIN SOLUTION
        self.weights = self.weights - learning_rate * self.weights_grad
        self.bias = self.bias - learning_rate * self.bias_grad
        # END SOLUTION


class ReLULayer(Layer):
    """Rectified linear unit, y = max(x, 0) (handout 1.2c; counterpart: ``torch.nn.ReLU``)."""

    def forward(self, x):
        """Return y = max(x, 0), of x's shape; NaN stays NaN.

        Args:
            x: np.ndarray (N, d).

        Returns:
            np.ndarray (N, d).
        """
        # BEGIN SOLUTION
        self.x = x
        return np.maximum(x, 0)
        # END SOLUTION

    def backward(self, output_grad):
        """Return dL/dx, of x's shape, for g = dL/dy.

        The derivative of max(x, 0) is taken to be 0 where x is 0.

        Args:
            output_grad: np.ndarray (N, d), the gradient g of the loss with respect to the latest output y.

        Returns:
            np.ndarray (N, d), the gradient of the loss with respect to x.
        """
        # BEGIN SOLUTION
        return output_grad * (self.x > 0)
        # END SOLUTION


class TanhLayer(Layer):
    """Hyperbolic tangent, y = (eˣ - e⁻ˣ) / (eˣ + e⁻ˣ) (handout 1.2b; counterpart: ``torch.nn.Tanh``).

    You may not use `np.tanh`, nor that of any other library, in any form.
    """

    def forward(self, x):
        """Return y = tanh(x), of x's shape.

        Numbers such as 1000 have to come out right, too: mind what eˣ is then.

        Args:
            x: np.ndarray (N, d).

        Returns:
            np.ndarray (N, d).
        """
        # BEGIN SOLUTION
        e = np.exp(-2 * np.abs(x))
        self.y = np.sign(x) * (1 - e) / (1 + e)
        return self.y
        # END SOLUTION

    def backward(self, output_grad):
        """Return dL/dx, of x's shape, for g = dL/dy.

        Args:
            output_grad: np.ndarray (N, d), the gradient g of the loss with respect to the latest output y.

        Returns:
            np.ndarray (N, d), the gradient of the loss with respect to x.
        """
        # BEGIN SOLUTION
        return output_grad * (1 - self.y**2)
        # END SOLUTION


class SoftmaxLayer(Layer):
    """Softmax, y_j = exp(x_j) / Σ_k exp(x_k) over the last axis (handout 1.2a; ``torch.nn.Softmax(-1)``).

    You may not use `scipy.special.softmax`, nor that of any other library, in any form.
    """

    def forward(self, x):
        """Return y = softmax(x), (..., K), rows that sum to 1; rows with +inf or NaN become NaN.

        Numbers such as 1000 have to come out right, too: softmax stays the same if all numbers of a row are
        shifted by one and the same.

        Args:
            x: np.ndarray (N, K).

        Returns:
            np.ndarray (N, K).
        """
        # BEGIN SOLUTION
        e = np.exp(x - np.max(x, axis=-1, keepdims=True))
        self.y = e / np.sum(e, axis=-1, keepdims=True)
        return self.y
        # END SOLUTION

    def backward(self, output_grad):
        """Return dL/dx, for g = dL/dy, (..., K).

        Every output of a row depends on every input of that row: dL/dx_j = Σ_k g_k ∂y_k/∂x_j.

        Args:
            output_grad: np.ndarray (N, K), the gradient g of the loss with respect to the latest output y.

        Returns:
            np.ndarray (N, K), the gradient of the loss with respect to x.
        """
        # BEGIN SOLUTION
        weighted = np.sum(output_grad * self.y, axis=-1, keepdims=True)
        return self.y * (output_grad - weighted)
        # END SOLUTION


class CrossEntropyLossLayer(Layer):
    """Average cross-entropy, L = -1/N Σ_i Σ_k t_ik log p_ik (handout 1.3; ``torch.nn.CrossEntropyLoss``).

    p_ik is the probability that example i is of class k, as softmax gives it, and t_ik is 1 where k is the
    right class and 0 elsewhere. In contrast to PyTorch's, this loss is handed probabilities, not logits.
    """

    def forward(self, prediction, target):
        """Return the loss.

        A probability may be 0: the loss has to be finite then, too, and just as right for all others.

        Args:
            prediction: np.ndarray (N, K), the probabilities p; each row sums to 1.
            target: np.ndarray (N,) of int, the right classes, 0 to K - 1.

        Returns:
            One float, the mean over the batch.
        """
        # BEGIN SOLUTION
        self.p = np.maximum(prediction, 1e-15)
        self.target = target
        return -np.mean(np.log(self.p[np.arange(len(target)), target]))
        # END SOLUTION

    def backward(self, output_grad=1.0):
        """Return dL/dprediction, (N, K), times ``output_grad``, the one number that dL/dL is.

        Args:
            output_grad: a float, which is 1 as long as nothing comes after the loss.

        Returns:
            np.ndarray (N, K), the gradient of the loss with respect to the latest prediction.
        """
        # BEGIN SOLUTION
        rows = np.arange(len(self.target))
        grad = np.zeros_like(self.p)
        grad[rows, self.target] = -output_grad / (self.p[rows, self.target] * len(self.target))
        return grad
        # END SOLUTION
