"""Common mistakes in exercise 1: a right backprop.py with one bug each, and how the grader is to call it."""

from __future__ import annotations

from dataclasses import dataclass

from in_place import REFERENCE, SOLUTIONS

BASES = {"reference": REFERENCE, "course": SOLUTIONS["course"]}


@dataclass(frozen=True)
class Mutant:
    """A right solution with one bug.

    Attributes:
        items: of which items it must lose points, and of no others: "1.1", or "1.1 1.5".
        bug: words that should be in the feedback; none where the numbers can't tell what is wrong.
        old, new: what is replaced in the source.
        base: which right solution's.
    """

    items: str
    bug: str
    old: str
    new: str
    base: str = "course"

    def source(self) -> str:
        """Return the text of backprop.py.

        Raises:
            ValueError: the solution has changed, and the text to replace is not there, or not once.
        """
        text = BASES[self.base].read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self}: expected {self.old!r} once, found it {text.count(self.old)} times")
        return text.replace(self.old, self.new)

    def __str__(self) -> str:
        """Return a short name."""
        return f"{self.items} {self.bug} ({self.new.strip()[:40]})"


Z_2 = '    z_2 = x_1 @ W["w_2"]\n'
OUTPUTS = "return z_1, z_2, sigmoid(z_2)"
PREDICT = (
    (Z_2, Z_2.replace("x_1", "z_1"), "σ is missing at the hidden units"),
    (Z_2, Z_2.replace("x_1", "np.tanh(z_1)"), "tanh stands where the sigmoid should be"),
    (Z_2, Z_2.replace("x_1", "np.maximum(z_1, 0)"), "a ReLU stands where the sigmoid should be"),
    (OUTPUTS, "return z_1, z_2, np.tanh(z_2)", "tanh stands where the sigmoid should be, at the output"),
    (OUTPUTS, "return z_1, z_2, 1 - sigmoid(z_2)", "the probability of the label 0"),
    (OUTPUTS, "return z_1, z_2, (z_2 > 0).astype(float)", "rounded to a label"),
    (OUTPUTS, "return x_1, z_2, sigmoid(z_2)", "σ(z_1) is returned where z_1 should be"),
)
PREDICT_ALONE = (  # where gradient does not rely on predict
    (OUTPUTS, "return z_1, z_2, np.exp(z_2) / (1 + np.exp(z_2))", "exp overflows"),
    (OUTPUTS, "return sigmoid(z_2)", "some of the three are missing"),
    (OUTPUTS, "return z_2, sigmoid(z_2)", "some of the three are missing"),
    (OUTPUTS, "return z_1, sigmoid(z_2), z_2", "wrong order"),
    (OUTPUTS, "return sigmoid(z_2), z_2, z_1", "wrong order"),
    (OUTPUTS, "return z_1, z_2, z_2", "σ is missing at the output"),
    ("    return z_1, z_2, sigmoid(z_2)\n", "", "not implemented yet"),
    (OUTPUTS, "X += 1.0\n    return z_1, z_2, sigmoid(z_2)", "X in place"),
)
LOSS = "return -np.mean(y * np.log(y_hat) + (1 - y) * np.log(1 - y_hat))"
LOGISTIC_LOSS = (
    (LOSS, LOSS.replace("np.mean", "np.sum"), "added up, and not averaged"),
    (LOSS, LOSS.replace("-np.mean", "np.mean"), "minus sign is missing"),
    (LOSS, LOSS.replace("-np.mean(", "-("), "return one number"),
    (LOSS, LOSS.replace("np.log(", "np.log2("), "base 2"),
    (LOSS, LOSS.replace("np.log(", "np.log10("), "base 10"),
    (LOSS, LOSS.replace("y_hat)", "y_hat + 1e-8)"), "epsilon"),
    (LOSS, f"y_hat = np.clip(y_hat, 1e-7, 1 - 1e-7)\n    {LOSS}", "clipped"),
    (LOSS, "return -np.mean(y * np.log(y_hat))", "the term with log(1 - ŷ) is missing"),
    (LOSS, LOSS.replace("+", "-"), "the second term has the wrong sign"),
    ("def logistic_loss(y, y_hat)", "def logistic_loss(y_hat, y)", "y and ŷ are exchanged"),
    (LOSS, f"y = 1 - y\n    {LOSS}", "the labels 0 and 1 are exchanged"),
    (LOSS, "return np.mean((y - y_hat) ** 2)", "squared error"),
    (LOSS, "return np.mean(np.log(1 + np.exp(-y * y_hat)))", "labels of -1 and 1"),
    (LOSS, f"y_hat = sigmoid(y_hat)\n    {LOSS}", "predictions already"),
    (LOSS, f"y, y_hat = y[-1], y_hat[-1]\n    {LOSS}", "only the last sample counts"),
    (LOSS, "y_hat[y == 0] = 1 - y_hat[y == 0]\n    return -np.mean(np.log(y_hat))", "y_hat in place"),
    (LOSS, "pass", "not implemented yet"),
)
STABLE = "return np.mean(y * np.logaddexp(0, -z_2) + (1 - y) * np.logaddexp(0, z_2))"
STABLE_LOSS = (
    (STABLE, STABLE.replace("np.mean", "np.sum"), "added up, and not averaged"),
    (STABLE, STABLE.replace("np.mean", "-np.mean"), "minus sign"),
    (STABLE, "return np.mean(np.log(1 + np.exp((1 - 2 * y) * z_2)))", "exp overflows"),
    (STABLE, "return np.mean(np.log(1 + np.exp(z_2)) - y * z_2)", "exp overflows"),
    (STABLE, "return logistic_loss(y, sigmoid(z_2))", "ŷ is rounded to 0 or 1"),
    (STABLE, "return logistic_loss(y, np.clip(sigmoid(z_2), 1e-12, 1 - 1e-12))", "clipped"),
    (STABLE, "return logistic_loss(y, np.exp(z_2) / (1 + np.exp(z_2)))", "ŷ is rounded to 0 or 1"),
    (
        STABLE,
        STABLE.replace("-z_2", "z_2").replace("0, z_2))", "0, -z_2))", 1),
        "the labels 0 and 1 are exchanged",
    ),
    (STABLE, "return np.mean(np.logaddexp(0, (2 * y - 1) * z_2))", "the labels 0 and 1 are exchanged"),
    (STABLE, "return np.mean(np.logaddexp(0, -y * z_2))", "labels of -1 and 1"),
    (STABLE, "return np.mean(np.logaddexp(0, z_2))", "the label is left out"),
    (STABLE, "return logistic_loss(y, z_2)", "taken for a prediction"),
    (STABLE, "return np.mean(np.logaddexp2(0, (1 - 2 * y) * z_2))", ""),
    (STABLE, "return np.mean(np.logaddexp(0, z_2) - y * z_2)", "rounded to 0"),
    (
        STABLE,
        "z = (1 - 2 * y) * z_2\n    return np.mean(np.maximum(z, 0) + np.log(1 + np.exp(-np.abs(z))))",
        "rounded to 0",
    ),
    (STABLE, f"z_2 *= 1 - 2 * y\n    {STABLE.replace('-z_2', 'z_2')}", "z_2 in place"),
    (STABLE, "raise NotImplementedError", "NotImplementedError"),
)
DELTA_2 = "delta_2 = np.where(y == 1, -sigmoid(-z_2), y_hat)"
DELTA_1 = 'delta_1 = delta_2 @ W["w_2"].T * x_1 * (1 - x_1)'
RESULT = 'return {"w_1": X.T @ delta_1 / n, "w_2": x_1.T @ delta_2 / n}'
UNCANCELLED = "delta_2 = (y_hat - y) / (y_hat * (1 - y_hat)) * y_hat * (1 - y_hat)"
GRADIENT = (
    (RESULT, RESULT.replace(" / n", ""), "gradient of the sum"),
    (RESULT, RESULT.replace(" / n", " / n**2"), "divided by B twice"),
    (DELTA_2, f"{DELTA_2}\n    delta_2 = -delta_2", "ŷ - y, not y - ŷ"),
    (DELTA_2, "delta_2 = y_hat - y", "ŷ - y has lost its digits"),
    (DELTA_2, "delta_2 = (y_hat - y) * y_hat * (1 - y_hat)", "it cancels"),
    (DELTA_2, "delta_2 = (y_hat - y) / (y_hat * (1 - y_hat))", "the factor ŷ (1 - ŷ) is missing"),
    (DELTA_2, UNCANCELLED, "it divides by ŷ (1 - ŷ)"),
    (DELTA_2, "delta_2 = y_hat", "the label is left out"),
    (DELTA_2, "delta_2 = -y * sigmoid(-y * z_2)", "labels of -1 and 1"),
    (DELTA_2, DELTA_2.replace("y == 1", "y == 0"), "the labels 0 and 1 are exchanged"),
    (DELTA_1, DELTA_1.replace(" * x_1 * (1 - x_1)", ""), "σ'(z_1) is missing"),
    (DELTA_1, DELTA_1.replace(" * (1 - x_1)", ""), "its factor 1 - σ is missing"),
    (DELTA_1, DELTA_1.replace(" * x_1", ""), "its factor σ is missing"),
    (DELTA_1, DELTA_1.replace("x_1", "z_1"), "σ' is taken from z_1"),
    (DELTA_1, DELTA_1.replace("x_1 * (1 - x_1)", "sigmoid(x_1) * (1 - sigmoid(x_1))"), "taken at σ(z_1)"),
    (DELTA_1, DELTA_1.replace("x_1 * (1 - x_1)", "(1 - x_1**2)"), "the derivative of tanh"),
    (DELTA_1, DELTA_1.replace("x_1 * (1 - x_1)", "(z_1 > 0)"), "that of a ReLU"),
    (DELTA_1, DELTA_1.replace("x_1 * (1 - x_1)", "y_hat * (1 - y_hat)"), "that of z_2"),
    (DELTA_1, DELTA_1.replace(' @ W["w_2"].T', ""), "the factor w_2 is missing"),
    (
        DELTA_1,
        DELTA_1.replace("x_1 * (1 - x_1)", "np.exp(-z_1) / (1 + np.exp(-z_1)) ** 2"),
        "exp overflows: exp(-z) / (1 + exp(-z))²",
    ),
    (DELTA_1, DELTA_1.replace(".T", ""), "a matrix is transposed"),
    (RESULT, RESULT.replace("X.T @ delta_1", "(X.T @ delta_1).T"), "the gradient is transposed"),
    (RESULT, RESULT.replace("X.T @ delta_1", "delta_1"), ""),
    (RESULT, RESULT.replace('"w_1"', '"a"').replace('"w_2"', '"b"'), "the keys of the weights"),
    (RESULT, 'return {"w_1": X.T @ delta_1 / n}', "the keys of the weights"),
    (RESULT, RESULT.replace("w_1", "v").replace("w_2", "w_1").replace('"v"', '"w_2"'), ""),
    (RESULT, RESULT.replace("x_1.T @", "z_1.T @"), "z_1 stands where σ(z_1) should be"),
    (
        RESULT,
        f"X, x_1, delta_1, delta_2 = X[-1:], x_1[-1:], delta_1[-1:], delta_2[-1:]\n    {RESULT}",
        "last sample",
    ),
    (
        RESULT,
        f"X, x_1, delta_1, delta_2 = X[:1], x_1[:1], delta_1[:1], delta_2[:1]\n    {RESULT}",
        "first sample",
    ),
    (RESULT, "pass", "not implemented yet"),
    (RESULT, "return {key: np.zeros(value.shape) for key, value in W.items()}", "it stays zero"),
    (RESULT, f'W["w_1"] -= 0.1 * X.T @ delta_1 / n\n    {RESULT}', "W in place"),
)
SIGMOID = "return 1 / (1 + np.exp(-z))"
MUTANTS = [
    *(Mutant("1.1", bug, old, new) for old, new, bug in PREDICT),
    *(Mutant("1.1", bug, old, new, "reference") for old, new, bug in PREDICT_ALONE),
    *(Mutant("1.2", bug, old, new) for old, new, bug in LOGISTIC_LOSS),
    *(Mutant("1.3", bug, old, new) for old, new, bug in STABLE_LOSS),
    *(Mutant("1.5", bug, old, new) for old, new, bug in GRADIENT),
    # What two functions use costs both.
    Mutant("1.1 1.5", "tanh stands where the sigmoid should be", SIGMOID, "return np.tanh(z)"),
    Mutant("1.1 1.5", "a ReLU stands where the sigmoid should be", SIGMOID, "return np.maximum(z, 0)"),
    Mutant("1.1 1.5", "the sigmoid has the wrong sign", SIGMOID, SIGMOID.replace("-z", "z")),
    Mutant("1.1 1.5", "exp overflows", SIGMOID, "return np.exp(z) / (1 + np.exp(z))"),
]
