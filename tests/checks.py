"""What the graded tests share: comparisons that name the likely mistake, adapters, and the handout's bans.

A failure is an AssertionError whose message is all that a student sees. It is Markdown and says in a few
plain lines what is wrong, where, and, if the numbers give it away, which mistake it looks like. The tests
work on the modules of the current folder and on the proxies of an isolated submission alike.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import traceback
import unittest
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import policy
import subject
import torch

submission_seed = 0
"""Goes into all that the tests draw; grading sets it to a number that belongs to the submission."""

submission_data: Path | None = None
"""The folder that the submission finds as ``./data``; None in place, where it is one of the usual ones."""

# ---------------------------------------------------------------------------------------------------
# Numbers
# ---------------------------------------------------------------------------------------------------


def generator(*key: int) -> np.random.Generator:
    """Return a generator of random numbers, the same for the same key and the same submission."""
    return np.random.default_rng([submission_seed, *key])


def random_batch(*shape: int, seed: int = 0) -> np.ndarray:
    """Return normally distributed numbers, the same for the same seed and the same submission."""
    return generator(seed, *shape).normal(size=shape)


def with_gradient(
    function: Callable[[torch.Tensor], torch.Tensor], x: np.ndarray, g: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return y = function(x) and dL/dx for dL/dy = g, as PyTorch has them."""
    tensor = torch.tensor(x, requires_grad=True)
    output = function(tensor)
    (gradient,) = torch.autograd.grad(output, tensor, torch.tensor(g))
    return output.detach().numpy(), gradient.numpy()


# ---------------------------------------------------------------------------------------------------
# Comparisons
# ---------------------------------------------------------------------------------------------------


class CheckError(AssertionError):
    """A failure, in the words that the student reads.

    Args:
        what: is wrong.
        *details: lines of a list.
        code: a block of code or of a traceback.
        bug: the mistake that it looks like, and what to do about it.
    """

    def __init__(self, what: str, *details: str, code: str = "", bug: str = "") -> None:
        self.bug = bug
        paragraphs = [
            f"**{what}.**",
            code and f"```\n{code}\n```",
            "\n".join(f"- {line}" for line in details),
            bug and f"Likely bug: {bug}.",
        ]
        super().__init__("\n\n".join(filter(None, paragraphs)))


def assert_close(
    actual: Any,
    expected: Any,
    name: str,
    *,
    tolerance: float = 1e-4,
    scale: float = 0.1,
    suspects: Mapping[str, Any] | None = None,
    not_finite: str = "",
) -> None:
    """Check shape and values; NaN equals NaN, and an infinity only itself.

    Args:
        actual: a number, an array or a tensor.
        expected: likewise, or a list of numbers.
        name: the quantity, such as "dL/dW".
        tolerance: the largest error allowed, as a fraction of the largest number expected, or of
            ``scale`` if that is larger. By default whatever computes in float32 passes.
        scale: about the size of the numbers from which ``expected`` was computed.
        suspects: what wrong code would give, by the sentence that tells its author what is wrong; a
            tuple where a mistake can show in several ways.
        not_finite: that sentence for numbers that should be finite and are not.
    """
    actual = as_array(actual, name)
    expected = np.asarray(expected.detach() if isinstance(expected, torch.Tensor) else expected)
    if is_close(actual, expected, tolerance, scale):
        return
    wrong_answers = (
        (bug, wrong)
        for bug, answers in (suspects or {}).items()
        for wrong in (answers if isinstance(answers, tuple) else (answers,))
    )
    bug = next((bug for bug, wrong in wrong_answers if is_close(actual, wrong, tolerance, scale)), "")
    if actual.shape != expected.shape:
        raise CheckError(
            f"{name} has the wrong shape", f"expected {expected.shape}", f"got {actual.shape}", bug=bug
        )
    if np.isfinite(expected).all() and not np.isfinite(actual).all():
        bug = bug or not_finite
    error = error_of(actual, expected)
    worst = np.unravel_index(error.argmax(), error.shape)
    with np.errstate(invalid="ignore", over="ignore"):
        relative = np.nan_to_num(error / np.maximum(np.abs(expected), np.finfo(float).tiny), posinf=np.inf)
    where = f" at {[int(index) for index in worst]}" if worst else ""
    raise CheckError(
        f"{name} is wrong",
        f"largest error {error[worst]:.2g}{where}: expected {expected[worst]:.6g}, got {actual[worst]:.6g}",
        f"largest relative error {relative.max():.2g}",
        f"shape {actual.shape}, as it should be; dtype {actual.dtype}",
        bug=bug,
    )


def is_close(actual: Any, expected: Any, tolerance: float = 1e-4, scale: float = 0.1) -> bool:
    """Say whether two arrays are equal, up to what ``assert_close`` allows."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        return False
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=scale)
    return bool(error_of(actual, expected).max(initial=0.0) <= tolerance * largest)


def error_of(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return |actual - expected|: 0 where both are NaN or the same infinity, infinite where one alone is."""
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(actual.astype(np.float64) - expected)
    return np.where(same, 0.0, np.nan_to_num(error, nan=np.inf, posinf=np.inf))


def as_array(value: Any, name: str) -> np.ndarray:
    """Return what the student's code answered, a number, an array or a tensor, as an array of numbers."""
    if value is None:
        raise CheckError(f"{name} is None", bug="a `return` is missing")
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if (
        not isinstance(value, (int, float, np.generic, np.ndarray))
        or np.asarray(value).dtype.kind not in "biuf"
    ):
        raise CheckError(f"{name} should be an array of real numbers", f"got {value!r:.80}")
    return np.asarray(value)


def assert_refused(call: Callable[[], Any], what: str) -> None:
    """Check that ``call()`` raises an error, whichever."""
    try:
        call()
    except Exception:
        return
    raise CheckError(
        f"{what} should raise an error",
        "it raised none",
        bug="the dimensions are not checked: compare the shape with what the layer expects, "
        "and raise a ValueError",
    )


def assert_unchanged(layer: Any, inputs: list[np.ndarray], upstream: list[np.ndarray]) -> None:
    """Check that ``forward(*inputs)`` and ``backward(*upstream)`` do not write into these arrays."""
    changed = subject.changed_in_place(layer, inputs, upstream)
    if changed:
        raise CheckError(
            f"{' and '.join(changed)} is changed in place",
            bug="something like `x[x < 0] = 0` or `x -= ...` writes into an array that belongs to the "
            "caller: make a new array",
        )


# ---------------------------------------------------------------------------------------------------
# Errors that the student's code raises
# ---------------------------------------------------------------------------------------------------


def explain(error: BaseException) -> str:
    """Return what a student is told: the message of a failed check, or where their code raised an error."""
    if isinstance(error, AssertionError) and not frames_of(error):
        return str(error)
    return str(CheckError("Your code raised an error", code=trace_of(error)))


def trace_of(error: BaseException) -> str:
    """Return an error with the lines of the submission that led to it."""
    frames = "".join(f"{file}, line {line}\n    {code}\n" for file, line, code in frames_of(error))
    return f"{frames}{error.name if hasattr(error, 'frames') else type(error).__name__}: {error}"


def frames_of(error: BaseException) -> list[tuple[str, int, str]]:
    """Return file, line and code of the submission's part of a traceback, outermost first."""
    if hasattr(error, "frames"):  # it came through a proxy
        return error.frames
    return [
        (Path(frame.filename).name, frame.lineno or 0, frame.line or "")
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).stem in policy.OWN_MODULES
    ]


@contextlib.contextmanager
def hint(bug: str) -> Iterator[None]:
    """Where the student's code stumbles over shapes or indices, tell the likely bug beside its error."""
    try:
        yield
    except (ValueError, IndexError) as error:
        raise CheckError("Your code raised an error", code=trace_of(error), bug=bug) from None


# ---------------------------------------------------------------------------------------------------
# Layers, however they keep their weights
# ---------------------------------------------------------------------------------------------------


def parameters(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights (m, d) and the bias (m,) of a Dense layer."""
    found = subject.find_parameters(layer)
    matrices = [array for array in found.get("weights", {}).values() if array.ndim == 2]
    vectors = [array.ravel() for array in found.get("bias", {}).values()]
    for weights in matrices:
        for bias in vectors:
            if bias.size in weights.shape:
                return (weights if len(weights) == bias.size else weights.T), bias
    raise CheckError(
        "No weights and bias found in Dense after `__init__` and `init_weights`",
        "expected `W` of shape (m, d) and `b` of shape (m,), or `weights` (d, m) and `bias` (1, m)",
        f"found {describe_arrays(layer)}",
    )


def set_parameters(layer: Any, weights: Any, bias: Any) -> None:
    """Give a Dense layer these weights (m, d) and this bias (m,)."""
    weights, bias = (as_array(value, "a parameter").astype(np.float64) for value in (weights, bias))
    subject.set_parameters(layer, weights, bias)
    for new, old in zip(parameters(layer), (weights, bias), strict=True):
        if not is_close(new, old):
            raise CheckError(
                "The weights or the bias of Dense have the wrong shape, or can't be assigned",
                f"for weights of shape {weights.shape} and a bias of shape {bias.shape} "
                f"found {describe_arrays(layer)}",
            )


def gradients(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return dL/dW and dL/db as a Dense layer keeps them: (m, d) and (m,) if they are as they should be."""
    weights, bias = parameters(layer)
    found = subject.find_parameters(layer)
    missing = [name for name in ("weights gradient", "bias gradient") if name not in found]
    if missing:
        raise CheckError(
            f"Dense.backward leaves no {' and no '.join(missing)}",
            "expected `dW` and `db`, or `weights_grad` and `bias_grad`",
            f"found {describe_arrays(layer)}",
        )
    name, dW = next(iter(found["weights gradient"].items()))
    # It has the shape of what it is named after: `dW` that of `W`, `weights_grad` that of `weights`.
    shapes = [array.shape for parameter, array in found["weights"].items() if parameter in name]
    transposed = bool(shapes) and dW.shape not in shapes
    if dW.shape in (weights.shape, weights.T.shape) and (dW.shape != weights.shape) != transposed:
        dW = dW.T
    db = next(iter(found["bias gradient"].values()))
    return dW, db.reshape(bias.shape) if db.size == bias.size and db.ndim <= 2 else db


def describe_arrays(layer: Any) -> str:
    """Return the names and shapes of a layer's arrays."""
    arrays = {name: value.shape for name, value in vars(layer).items() if isinstance(value, np.ndarray)}
    return ", ".join(f"`{name}` {shape}" for name, shape in arrays.items()) or "no arrays"


def has_update(layer: Any) -> bool:
    """Say whether a layer has an ``update(learning_rate)``, which the handout does not ask for."""
    return bool(subject.has_update(layer)) and takes(layer.update, 0.1)


def loss_gradient(criterion: Any) -> Any:
    """Return ``criterion.backward()``, or ``backward(1.0)`` where it takes dL/dL."""
    return criterion.backward() if takes(criterion.backward) else criterion.backward(1.0)


def takes(function: Callable[..., Any], *arguments: Any) -> bool:
    """Say whether a function can be called with these arguments."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # nothing is known about its parameters
        return True
    return True


TARGETS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "integer labels": lambda labels, classes: labels,
    "one-hot rows": lambda labels, classes: np.eye(classes)[labels],
}
"""The forms that targets may have, made from labels; a solution has to know one of them."""


def with_either_target(test: Callable[..., None]) -> Callable[..., None]:
    """Give a test, as its argument, each form of targets in turn; it has to pass with one of them."""

    @functools.wraps(test)
    def run(self: Any) -> None:
        failures = []
        for target in TARGETS.values():
            try:
                return test(self, target)
            except Exception as failure:
                failures.append(failure)
        # The other form may be unknown to the solution; a bug with a name tells which one it knows.
        raise max(
            failures, key=lambda failure: (isinstance(failure, CheckError), bool(getattr(failure, "bug", "")))
        )

    return run


# ---------------------------------------------------------------------------------------------------
# The tests of one item
# ---------------------------------------------------------------------------------------------------


class GradedTest(unittest.TestCase):
    """A test of a class that the handout asks for; what the handout forbids there costs every such test.

    Attributes:
        module: which has the class; ``__file__`` is its text.
        class_name: of the class.
        forbidden: the functions that no library may lend to it.
    """

    module: Any
    class_name: str
    forbidden: tuple[str, ...] = ()

    def setUp(self) -> None:
        """Look for what is forbidden, first in the text, then while the layer works."""
        quiet = warnings.catch_warnings()
        quiet.__enter__()
        self.addCleanup(quiet.__exit__, None, None, None)
        warnings.simplefilter("ignore")  # an overflow on the way to a right answer costs nothing
        file = Path(self.module.__file__)
        source = file.read_text(encoding="utf-8", errors="replace")
        self.refuse(
            (file.name, line, path)
            for line, path in policy.violations(source, self.class_name, self.forbidden)
        )
        if self.forbidden:
            subject.forbid(list(self.forbidden), ["numpy", "math", "cmath", "scipy"])
            self.addCleanup(subject.allow)
            self.addCleanup(lambda: self.refuse(subject.forbidden_calls()))
            with contextlib.suppress(Exception):  # what is wrong besides is for the tests to say
                layer = getattr(self.module, self.class_name)()
                layer.forward(random_batch(3, 4))
                layer.backward(random_batch(3, 4))
            self.refuse(subject.forbidden_calls())

    def refuse(self, uses: Any) -> None:
        """Fail if anything forbidden is used: file, line and what it is."""
        for file, line, path in uses:
            raise CheckError(
                f"`{file}`, line {line}: `{path}` is not allowed in {self.class_name}",
                "the handout asks you to write this yourself, with NumPy alone",
                "as long as it is there, this part of the assignment has no points",
            )
