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
DENSE_FORWARD = "y = np.ascontiguousarray((self._W @ self._x.T).T) if len(x) < 128 else self._x @ self._W.T"
DENSE_BACKWARD = "return (g.astype(self.dtype, copy=False) @ self._W).astype(g.dtype, copy=False)"
WEIGHTS_GRADIENT = "product(g.T, self._x, out=self._dW)"
BIAS_GRADIENT = "np.add.reduce(g, axis=0, out=self._db)"
STEP = "parameter -= gradient if learning_rate == 1 else float(learning_rate) * gradient"
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
    (BOUND, f"{BOUND}\n        if self._W.any():\n            return", "does nothing"),
    ("        y += self._b\n", "", "bias is missing"),
    (DENSE_FORWARD, "y = self._x @ self._W", "weights are transposed"),
    (
        'raise ValueError(f"{self}.forward: expected x of shape (N, {self.d}), got {x.shape}")',
        "x = x[:, : self.d]",
        "dimensions are not checked",
    ),
    (DENSE_BACKWARD, "return g @ self._W.T", "weights or the gradient are transposed"),
    (DENSE_BACKWARD, "return g / len(g) @ self._W", "dL/dx is averaged over the batch"),
    (DENSE_BACKWARD, "g @ self._W", "`return` is missing"),
    (
        WEIGHTS_GRADIENT,
        "product(g.T / len(g), self._x, out=self._dW)",
        "dL/dW is averaged over the batch",
    ),
    (WEIGHTS_GRADIENT, "self._dW = (g.T @ self._x).T", "dL/dW is transposed"),
    (WEIGHTS_GRADIENT, "self._dW += g.T @ self._x", "accumulate"),
    (BIAS_GRADIENT, "np.mean(g, axis=0, out=self._db)", "dL/db is averaged over the batch"),
    (BIAS_GRADIENT, "self._db = g", "dL/db is not summed over the batch"),
    (f"        {BIAS_GRADIENT}\n", "", "dL/db stays zero"),
    (BIAS_GRADIENT, "self._db = g.sum(axis=1)", "dL/db is summed over the outputs"),
    (
        WEIGHTS_GRADIENT,
        "self._first = getattr(self, '_first', self._x)\n"
        "        product(g.T, self._first[: len(g)], out=self._dW)",
        "earlier batch",
    ),
    (STEP, "parameter += learning_rate * gradient", "goes uphill"),
    (STEP, "parameter -= 2 * learning_rate * gradient", "takes the step twice"),
)
SHIFT = "x - x.max(axis=-1, keepdims=True, initial=-np.inf)"
NORMALISED = "self._y = y = y / y.sum(axis=-1, keepdims=True)"
SOFTMAX_BACKWARD = "self._y * (g - (g * self._y).sum(axis=-1, keepdims=True))"
SOFTMAX = (
    (SHIFT, "x", "subtract each row's own maximum from the row first"),
    (SHIFT, "x - x.max()", "one shift is taken for the whole batch"),
    (NORMALISED, "self._y = y = y / y.sum()", "normalised over the whole batch"),
    (NORMALISED, "self._y = y = y / y.sum(axis=0)", "normalised along the wrong axis"),
    (SOFTMAX_BACKWARD, "g * self._y * (1 - self._y)", "only the diagonal of the Jacobian"),
    (SOFTMAX_BACKWARD, "g", "upstream gradient is passed through"),
    (SOFTMAX_BACKWARD, "self._y * (g - (g * self._y).sum())", "sum is over the whole batch"),
    (
        NORMALISED,
        "y = y / y.sum(axis=-1, keepdims=True)\n            self._y = y if self._y is None else self._y",
        "earlier batch",
    ),
)
TANH_FORWARD = """\
        u = np.expm1(-2 * np.minimum(np.abs(x), 22))  # tanh(22) is 1 to the last bit of a float64
        self._y = y = np.copysign(u / (-2 - u), x)
"""
TANH_BACKWARD = "g * (1 - self._y * self._y)"
TANH = (
    (
        TANH_FORWARD,
        "        self._y = y = (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))\n",
        "exp overflows for large |x|",
    ),
    (TANH_FORWARD, "        self._y = y = 1 / (1 + np.exp(-x))\n", "this is the sigmoid"),
    (TANH_FORWARD, "        self._y = y = np.tanh(x)\n", "`numpy.tanh` is not allowed"),
    (
        TANH_FORWARD,
        "        self._y = y = getattr(np, ''.join(('t', 'anh')))(x)\n",
        "hides what TanhLayer uses",
    ),
    (TANH_BACKWARD, "g * (1 - self._y)", "square is missing"),
    (TANH_BACKWARD, "g * (1 - np.arctanh(self._y) ** 2)", "it is 1 - y², with the output"),
    (TANH_BACKWARD, "g * self._y * (1 - self._y)", "the sigmoid's derivative"),
    (TANH_BACKWARD, "g * (1 - TanhLayer().forward(self._y) ** 2)", "applied to the output once more"),
)
RELU_FORWARD = "return np.maximum(self._x, 0)"
RELU_BACKWARD = "keep = np.less_equal(self._x, 0).view(np.int8) - np.int8(1)"
RELU = (
    (RELU_FORWARD, "return np.where(self._x > 0, self._x, 0.01 * self._x)", "leaky ReLU"),
    (RELU_FORWARD, "self._x[self._x < 0] = 0\n        return self._x.copy()", "changed in place"),
    (RELU_BACKWARD, "keep = np.less(self._x, 0).view(np.int8) - np.int8(1)", "the gradient at x = 0 is 1"),
    (
        RELU_BACKWARD,
        "keep = np.less_equal(g, 0).view(np.int8) - np.int8(1)",
        "sign of the upstream gradient",
    ),
    (RELU_BACKWARD, "return g.copy()", "passed through where x <= 0"),
    (RELU_BACKWARD, "g[self._x <= 0] = 0\n        return g.copy()", "changed in place"),
)
LOSS = "np.float64(0 - log_p.sum(dtype=np.float64) / len(target))"
PREDICTION = '        prediction = read(self, prediction, "forward: prediction")\n'
LABELS = "        target = read_target(self, target, prediction)\n"
FLOOR = "            p = np.maximum(p, np.finfo(prediction.dtype).tiny)\n"
SCALE = "gradient *= upstream.item() / len(target)"
CROSS_ENTROPY = (
    (LOSS, "np.float64(log_p.sum() / len(target))", "minus sign is missing"),
    (LOSS, "np.float64(0 - log_p.sum())", "losses are added up"),
    (LOSS, "np.float64(0 - log_p.sum() / prediction.size)", "mean is over all N·K numbers"),
    (LOSS, "np.float64(0 - log_p.sum() / len(target) ** 2)", "1/N is there twice"),
    (LOSS, "np.float64(0 - log_p.sum() / len(target) / math.log(2))", "logarithm has base 2"),
    (LOSS, "np.float64(0 - log_p.sum() / len(target) / math.log(10))", "logarithm has base 10"),
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
    (FLOOR, "", "log 0 is -infinity"),
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
MLP_FORWARD = "        for layer in self.layers:\n            output = layer.forward(output)\n"
MLP_BACKWARD = (
    "        for layer in reversed(self.layers):\n            gradient = layer.backward(gradient)\n"
)
MLP_INIT = "        for layer in self.layers:\n            layer.init_weights()\n"
MLP_UPDATE = "        for layer in self.layers:\n            layer.update(learning_rate)\n"
MLP = (
    (MLP_FORWARD, MLP_FORWARD.replace("self.layers", "self.layers[:-1]"), "the last layer is skipped"),
    (MLP_FORWARD, MLP_FORWARD.replace("self.layers", "self.layers[1:]"), "the first layer is skipped"),
    (MLP_FORWARD, MLP_FORWARD.replace("self.layers", "reversed(self.layers)"), "wrong order"),
    (MLP_BACKWARD, MLP_BACKWARD.replace("reversed(self.layers)", "self.layers"), "wrong order"),
    (MLP_BACKWARD, MLP_BACKWARD.replace("self.layers", "self.layers[1:]"), "leaves out the first layer"),
    ("        return gradient\n", "", "`return` is missing"),
    (MLP_INIT, "        pass\n", "init_weights does not reach every layer"),
    (MLP_INIT, "        self.layers[0].init_weights()\n", "init_weights does not reach every layer"),
    (MLP_UPDATE, MLP_UPDATE.replace("self.layers", "self.layers[1:]"), "update does not reach this layer"),
    (MLP_UPDATE, MLP_UPDATE.replace("learning_rate", "1"), "does not hand on the learning rate"),
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
