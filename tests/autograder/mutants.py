"""Common mistakes: the reference q1.py and q2.py with one bug each, and how the grader is to call it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

REFERENCE = Path(__file__).resolve().parents[2]
FILES = ("q1.py", "q2.py")


@dataclass(frozen=True)
class Mutant:
    """The reference with one bug.

    Attributes:
        item: the beginning of the numbers of the tests that it must fail: 1.1, 1.2a, ...
        bug: words that must be in the feedback.
        old, new: what is replaced in the source of q1.py, or of q2.py for item 2.1.
    """

    item: str
    bug: str
    old: str
    new: str

    @property
    def file(self) -> str:
        """The file that has the bug."""
        return "q2.py" if self.item == "2.1" else "q1.py"

    def sources(self) -> dict[str, str]:
        """Return the text of each file of the submission.

        Raises:
            ValueError: the reference has changed, and the text to replace is not there, or not once.
        """
        sources = {file: (REFERENCE / file).read_text(encoding="utf-8") for file in FILES}
        count = sources[self.file].count(self.old)
        if count != 1:
            raise ValueError(f"{self}: expected {self.old!r} once in {self.file}, found it {count} times")
        sources[self.file] = sources[self.file].replace(self.old, self.new)
        return sources

    def __str__(self) -> str:
        """Return a short name."""
        return f"{self.item} {self.bug}"


BOUND = "bound = math.sqrt(6 / (self.input_size + self.output_size))"
DRAW = "source.uniform(-bound, bound, (self.input_size, self.output_size)).T"
DENSE = (
    (BOUND, "bound = 6 / (self.input_size + self.output_size)", "square root is missing"),
    (BOUND, "bound = math.sqrt(6 / self.input_size)", "6/d"),
    (BOUND, "bound = math.sqrt(2 / (self.input_size + self.output_size))", "2/(d+m)"),
    (BOUND, "bound = math.sqrt(6 / (self.input_size * self.output_size))", "d·m"),
    (BOUND, "bound = 1 / math.sqrt(self.input_size)", "PyTorch's default"),
    (DRAW, "source.normal(0, bound, (self.input_size, self.output_size)).T", "not a uniform distribution"),
    (DRAW, "source.uniform(0, bound, (self.input_size, self.output_size)).T", "no weight is negative"),
    ("self._b[...] = 0\n", "self._b[...] = 1\n", "starts at 1"),
    (
        "self._b[...] = 0\n",
        "self._b[...] = source.uniform(-bound, bound, self.output_size)\n",
        "bias is drawn at random",
    ),
    ("        self._b[...] = 0\n", "", "does not set the bias to zero again"),
    (
        "        bound = math.sqrt(6 / (self.input_size + self.output_size))\n",
        "        bound = math.sqrt(6 / (self.input_size + self.output_size))\n"
        "        if self._W.any():\n            return\n",
        "does nothing",
    ),
    ("        y += self._b\n", "", "bias is missing"),
    ("np.matmul(self._x, self._W.T, out=y)", "np.matmul(self._x, self._W, out=y)", "weights are transposed"),
    (
        'raise ValueError(f"{self}.forward: expected x of shape (N, {self.input_size}), got {x.shape}")',
        "x = x[:, : self.input_size]",
        "dimensions are not checked",
    ),
    (
        "np.matmul(gradient, self._W, out=x_grad)",
        "np.matmul(gradient, self._W.T, out=x_grad)",
        "weights or the gradient are transposed",
    ),
    (
        "np.matmul(gradient, self._W, out=x_grad)",
        "np.matmul(gradient / len(gradient), self._W, out=x_grad)",
        "dL/dx is averaged over the batch",
    ),
    (
        "return x_grad.astype(output_grad.dtype, copy=False)",
        "x_grad.astype(output_grad.dtype, copy=False)",
        "`return` is missing",
    ),
    (
        "product(gradient.T, self._x, out=self._dW)",
        "product(gradient.T / len(gradient), self._x, out=self._dW)",
        "dL/dW is averaged over the batch",
    ),
    (
        "product(gradient.T, self._x, out=self._dW)",
        "self._dW = (gradient.T @ self._x).T",
        "dL/dW is transposed",
    ),
    (
        "product(gradient.T, self._x, out=self._dW)",
        "self._dW += gradient.T @ self._x",
        "accumulate",
    ),
    (
        "np.add.reduce(gradient, axis=0, out=self._db)",
        "np.mean(gradient, axis=0, out=self._db)",
        "dL/db is averaged over the batch",
    ),
    (
        "np.add.reduce(gradient, axis=0, out=self._db)",
        "self._db = gradient",
        "dL/db is not summed over the batch",
    ),
    ("        np.add.reduce(gradient, axis=0, out=self._db)\n", "", "dL/db stays zero"),
    (
        "np.add.reduce(gradient, axis=0, out=self._db)",
        "self._db = gradient.sum(axis=1)",
        "dL/db is summed over the outputs",
    ),
    (
        "product(gradient.T, self._x, out=self._dW)",
        "self._first = getattr(self, '_first', self._x)\n"
        "        product(gradient.T, self._first[: len(gradient)], out=self._dW)",
        "earlier batch",
    ),
    (
        "np.subtract(parameters, gradients, out=parameters)",
        "np.add(parameters, gradients, out=parameters)",
        "goes uphill",
    ),
    (
        "np.subtract(parameters, gradients, out=parameters)",
        "np.subtract(parameters, 2 * gradients, out=parameters)",
        "takes the step twice",
    ),
)
SOFTMAX_BACKWARD = """np.subtract(output_grad, x_grad.sum(axis=-1, keepdims=True), out=x_grad)
        x_grad *= y
"""
SOFTMAX = (
    (
        "np.subtract(x, x.max(axis=-1, keepdims=True, initial=-np.inf), out=y)",
        "y[...] = x",
        "subtract each row's own maximum from the row first",
    ),
    ("x.max(axis=-1, keepdims=True, initial=-np.inf)", "x.max()", "one shift is taken for the whole batch"),
    ("y /= y.sum(axis=-1, keepdims=True)", "y /= y.sum()", "normalised over the whole batch"),
    ("y /= y.sum(axis=-1, keepdims=True)", "y /= y.sum(axis=0)", "normalised along the wrong axis"),
    (SOFTMAX_BACKWARD, "x_grad *= 1 - y\n", "only the diagonal of the Jacobian"),
    (SOFTMAX_BACKWARD, "x_grad[...] = output_grad\n", "upstream gradient is passed through"),
    (
        "np.subtract(output_grad, x_grad.sum(axis=-1, keepdims=True), out=x_grad)",
        "np.subtract(output_grad, x_grad.sum(), out=x_grad)",
        "sum is over the whole batch",
    ),
    (
        "        self._y = y\n        return y\n",
        "        self._y = y if self._y is None else self._y\n        return y\n",
        "earlier batch",
    ),
)
TANH_FORWARD = """        y = np.abs(x, out=self._result("output", x.shape, x.dtype))
        np.minimum(y, 22, out=y)  # tanh(22) is 1 to the last bit of a float64; -2x can't overflow then
        y *= -2
        np.expm1(y, out=y)
        np.divide(y, -2 - y, out=y)
        self._y = np.copysign(y, x, out=y)
"""
TANH_BACKWARD = "np.multiply(output_grad, 1 - y * y, out=x_grad)"
TANH = (
    (
        TANH_FORWARD,
        "        self._y = (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))\n",
        "exp overflows for large |x|",
    ),
    (TANH_FORWARD, "        self._y = 1 / (1 + np.exp(-x))\n", "this is the sigmoid"),
    (TANH_FORWARD, "        self._y = np.tanh(x)\n", "`numpy.tanh` is not allowed"),
    (
        TANH_FORWARD,
        "        self._y = getattr(np, ''.join(('t', 'anh')))(x)\n",
        "`numpy.tanh` is not allowed",
    ),
    (TANH_BACKWARD, "np.multiply(output_grad, 1 - y, out=x_grad)", "square is missing"),
    (
        TANH_BACKWARD,
        "np.multiply(output_grad, 1 - np.arctanh(y) ** 2, out=x_grad)",
        "it is 1 - y², with the output",
    ),
    (TANH_BACKWARD, "np.multiply(output_grad, y * (1 - y), out=x_grad)", "the sigmoid's derivative"),
    (
        TANH_BACKWARD,
        "np.multiply(output_grad, 1 - TanhLayer().forward(y) ** 2, out=x_grad)",
        "applied to the output once more",
    ),
)
RELU_FORWARD = 'return np.maximum(x, 0, out=self._result("output", x.shape, x.dtype))'
RELU_BACKWARD = "keep = (x <= 0).view(np.int8) - np.int8(1)"
RELU = (
    (RELU_FORWARD, "return np.where(x > 0, x, 0.01 * x)", "leaky ReLU"),
    (RELU_FORWARD, "x[x < 0] = 0\n        return x.copy()", "changed in place"),
    (RELU_BACKWARD, "keep = (x < 0).view(np.int8) - np.int8(1)", "the gradient at x = 0 is 1"),
    (RELU_BACKWARD, "keep = (output_grad <= 0).view(np.int8) - np.int8(1)", "sign of the upstream gradient"),
    (RELU_BACKWARD, "return output_grad.copy()", "passed through where x <= 0"),
    (RELU_BACKWARD, "output_grad[x <= 0] = 0\n        return output_grad.copy()", "changed in place"),
)
LOSS = "np.float64(0 - total / len(target))"
PREDICTION = '        prediction = self._read(prediction, "forward: prediction")\n'
LABELS = "        target = self._read_target(target, prediction)\n"
SCALE = "gradient *= upstream.item() / len(target)"
CROSS_ENTROPY = (
    (LOSS, "np.float64(total / len(target))", "minus sign is missing"),
    (LOSS, "np.float64(0 - total)", "losses are added up"),
    (LOSS, "np.float64(0 - total / prediction.size)", "mean is over all N·K numbers"),
    (LOSS, "np.float64(0 - total / len(target) ** 2)", "1/N is there twice"),
    (LOSS, "np.float64(0 - total / len(target) / math.log(2))", "logarithm has base 2"),
    (LOSS, "np.float64(0 - total / len(target) / math.log(10))", "logarithm has base 10"),
    (
        PREDICTION,
        PREDICTION + "        prediction = SoftmaxLayer().forward(prediction)\n",
        "softmax is applied to what are probabilities already",
    ),
    (
        LABELS,
        LABELS + "        target = np.roll(target, -1, axis=1) if target.ndim > 1 else target - 1\n",
        "column before the label's",
    ),
    ("p = np.maximum(prediction, np.finfo(prediction.dtype).tiny)", "p = prediction", "log 0 is -infinity"),
    (SCALE, "gradient *= upstream.item()", "1/N is missing"),
    (SCALE, "gradient *= upstream.item() / len(target) ** 2", "1/N is there twice"),
    (SCALE, "gradient *= -upstream.item() / len(target)", "minus sign is missing"),
    (
        SCALE,
        "y = target if target.ndim > 1 else np.eye(remembered.shape[1])[target]\n"
        "        gradient = (remembered - y) / len(target)",
        "gradient with respect to the logits",
    ),
)
MLP = (
    (
        "        for layer in self.layers:\n            output = layer.forward(output)\n",
        "        for layer in self.layers[:-1]:\n            output = layer.forward(output)\n",
        "the last layer is skipped",
    ),
    (
        "        for layer in self.layers:\n            output = layer.forward(output)\n",
        "        for layer in self.layers[1:]:\n            output = layer.forward(output)\n",
        "the first layer is skipped",
    ),
    (
        "        for layer in self.layers:\n            output = layer.forward(output)\n",
        "        for layer in reversed(self.layers):\n            output = layer.forward(output)\n",
        "wrong order",
    ),
    (
        "        for layer in reversed(self.layers):\n            gradient = layer.backward(gradient)\n",
        "        for layer in self.layers:\n            gradient = layer.backward(gradient)\n",
        "wrong order",
    ),
    (
        "        for layer in reversed(self.layers):\n            gradient = layer.backward(gradient)\n",
        "        for layer in reversed(self.layers[1:]):\n            gradient = layer.backward(gradient)\n",
        "leaves out the first layer",
    ),
    (
        "        return gradient  # type: ignore[return-value]\n",
        "",
        "`return` is missing",
    ),
    (
        "        for layer in self.layers:\n            layer.init_weights()\n",
        "        pass\n",
        "init_weights does not reach every layer",
    ),
    (
        "        for layer in self.layers:\n            layer.init_weights()\n",
        "        self.layers[0].init_weights()\n",
        "init_weights does not reach every layer",
    ),
    (
        "        self.check_gradients()\n        if self.flat",
        "        for layer in self.layers[1:]:\n            layer.update(learning_rate)\n        return\n"
        "        if self.flat",
        "update does not reach this layer",
    ),
    (
        "        self.check_gradients()\n        if self.flat",
        "        self.check_gradients()\n        learning_rate = 1\n        if self.flat",
        "does not hand on the learning rate",
    ),
)

MUTANTS = [
    Mutant(item, bug, old, new)
    for item, bugs in (
        ("1.1", DENSE),
        ("1.2a", SOFTMAX),
        ("1.2b", TANH),
        ("1.2c", RELU),
        ("1.3", CROSS_ENTROPY),
        ("2.1", MLP),
    )
    for old, new, bug in bugs
]
