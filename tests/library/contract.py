"""What the tests of this library's own contract share: comparisons, and checks that hold for every layer.

Each check raises an AssertionError whose message says in plain words what is wrong.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, settings
from torch import nn

# The same examples in every run, however slow the machine; a failure is reported as it is found.
reproducible = settings(
    max_examples=50,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def random_batch(*shape: int, seed: int = 0) -> np.ndarray:
    """Return normally distributed numbers, the same for the same seed."""
    return np.random.default_rng(seed).normal(size=shape)


def to_array(value: Any) -> np.ndarray:
    """Return an array or a tensor as an array."""
    return np.asarray(value.detach() if isinstance(value, torch.Tensor) else value)


def assert_close(
    actual: Any, expected: Any, name: str, reference: str = "torch's", tolerance: float = 1e-12
) -> None:
    """Check shape and values; NaN equals NaN, and an infinity only itself.

    Args:
        actual, expected: arrays or tensors.
        name: the quantity, such as "dL/dW".
        reference: whose ``expected`` is.
        tolerance: the largest difference allowed, as a fraction of the largest number expected.
    """
    actual, expected = to_array(actual), to_array(expected)
    if actual.shape != expected.shape:
        raise AssertionError(
            f"{name} has another shape than {reference}: {expected.shape}, got {actual.shape}"
        )
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.where(same, 0.0, np.abs(np.subtract(actual, expected, dtype=np.float64)))
    difference = np.nan_to_num(difference, nan=np.inf, posinf=np.inf)
    finite = np.abs(expected[np.isfinite(expected)])
    scale = float(finite.max(initial=0.0)) or 1.0
    if difference.max(initial=0.0) > tolerance * scale:
        worst = np.unravel_index(difference.argmax(), difference.shape)
        place = f" at {[int(index) for index in worst]}" if worst else ""
        raise AssertionError(
            f"{name} differs from {reference}: largest difference {difference[worst]:.1e}{place}, "
            f"expected {expected[worst]}, got {actual[worst]}"
        )


def assert_ulps(actual: Any, expected: np.ndarray, name: str, ulps: float) -> None:
    """Check every number to a few units in its own last place, at the precision of ``actual``."""
    actual = to_array(actual)
    expected = expected.astype(np.float64)
    unit = np.spacing(np.abs(expected).astype(actual.dtype)).astype(np.float64)
    error = np.abs(actual.astype(np.float64) - expected) / unit
    worst = int(np.nan_to_num(error, nan=np.inf).argmax())
    if not error.flat[worst] <= ulps:
        raise AssertionError(
            f"{name} should be right to {ulps:g} units in the last place, is {error.flat[worst]:.3g} off: "
            f"expected {expected.flat[worst]!s}, got {actual.flat[worst]!s}"
        )


def assert_raises(error: type[Exception] | tuple[type[Exception], ...], call: Callable, what: str) -> str:
    """Check that ``call()`` raises ``error``, and return the message."""
    kinds = error if isinstance(error, tuple) else (error,)
    names = " or ".join(kind.__name__ for kind in kinds)
    try:
        call()
    except kinds as raised:
        return str(raised)
    except Exception as raised:
        raise AssertionError(
            f"{what} should raise {names}, it raised {type(raised).__name__}: {raised}"
        ) from raised
    raise AssertionError(f"{what} should raise {names}, and raised nothing")


def assert_names_shapes(call: Callable, what: str, expected: tuple[int, ...], came: tuple[int, ...]) -> None:
    """Check that ``call()`` raises a ValueError with the numbers of both shapes in its message."""
    message = assert_raises(ValueError, call, what)
    missing = {str(size) for size in (*expected, *came)} - set(re.findall(r"\d+", message))
    if missing:
        raise AssertionError(
            f"{what}: the message should name what was expected ({', '.join(map(str, expected))}) "
            f"and what came ({', '.join(map(str, came))}); it says {message!r}"
        )


@contextmanager
def unchanged(**arrays: np.ndarray) -> Iterator[None]:
    """Check that nothing inside the ``with`` block writes into the arrays."""
    before = {name: array.copy() for name, array in arrays.items()}
    yield
    for name, array in arrays.items():
        if not np.array_equal(array, before[name], equal_nan=array.dtype.kind == "f"):
            raise AssertionError(f"the {name} was changed in place; a layer only reads what it is handed")


@contextmanager
def no_warnings(what: str) -> Iterator[None]:
    """Check that nothing inside the ``with`` block overflows, divides by zero or warns otherwise."""
    with warnings.catch_warnings(), np.errstate(over="warn", divide="warn", invalid="warn"):
        warnings.simplefilter("error")
        try:
            yield
        except Warning as warning:
            raise AssertionError(f"{what} should give no warning, it gave: {warning}") from warning


def numeric_gradient(function: Callable[[], Any], array: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Return d function() / d array by central differences, moving one number of ``array`` at a time."""
    gradient = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        value = array[index]
        array[index] = value + step
        above = function()
        array[index] = value - step
        below = function()
        array[index] = value
        gradient[index] = (above - below) / (2 * step)
    return gradient


# Checks of a layer, given an input x and an upstream gradient g = dL/doutput of matching shapes.


def check_against_torch(layer: Any, module: nn.Module, x: np.ndarray, g: np.ndarray) -> None:
    """Compare the output and dL/dx with those of the PyTorch module."""
    tensor = torch.tensor(x, requires_grad=True)
    output = module(tensor)
    output.backward(torch.tensor(g))
    case = f" for inputs of shape {x.shape}"
    assert_close(layer.forward(x), output, "the output" + case)
    assert_close(layer.backward(g), tensor.grad, "dL/dx" + case)


def check_numeric_gradient(layer: Any, x: np.ndarray, g: np.ndarray) -> None:
    """Compare dL/dx with central differences of L = Σ g · forward(x)."""
    layer.forward(x)
    x_grad = layer.backward(g)
    moved = x.copy()
    numeric = numeric_gradient(lambda: np.sum(layer.forward(moved) * g), moved)
    assert_close(x_grad, numeric, "dL/dx", "the numeric gradient", tolerance=1e-7)


def check_inputs_unchanged(layer: Any, x: np.ndarray, g: np.ndarray) -> None:
    """Check that x and g stay as they are, may be read-only, and share no memory with the answers."""
    x, g = x.copy(), g.copy()
    with unchanged(input=x, **{"upstream gradient": g}):
        output = layer.forward(x)
        x_grad = layer.backward(g)
    for answer, answer_name in ((output, "output"), (x_grad, "dL/dx")):
        for array, name in ((x, "input"), (g, "upstream gradient")):
            if np.shares_memory(answer, array):
                raise AssertionError(
                    f"the {answer_name} shares memory with the {name}: it should be a new array"
                )
    x.flags.writeable = g.flags.writeable = False
    layer.forward(x)
    layer.backward(g)


def check_any_memory(layer: Any, x: np.ndarray, g: np.ndarray) -> None:
    """Check that the answers don't depend on how x and g lie in memory, tensors included."""
    output, x_grad = np.array(layer.forward(x)), np.array(layer.backward(g))
    ways: dict[str, Callable[[np.ndarray], Any]] = {
        "column-major arrays": np.asfortranarray,
        "every second column of an array": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
        "reversed arrays": lambda array: array[..., ::-1].copy()[..., ::-1],
        "tensors": torch.tensor,
        "tensors that require a gradient": lambda array: torch.tensor(array, requires_grad=True),
    }
    for way, convert in ways.items():
        answer = layer.forward(convert(x))
        if not isinstance(answer, np.ndarray):
            raise AssertionError(f"with {way}, forward should return an array, got {type(answer).__name__}")
        assert_close(answer, output, f"the output for {way}", "that for plain arrays")
        assert_close(layer.backward(convert(g)), x_grad, f"dL/dx for {way}", "that for plain arrays")


def check_dtypes(make_layer: Callable[[type], Any], x: np.ndarray, g: np.ndarray) -> None:
    """Check that float32 in gives float32 out, near the float64 answer, and float64 likewise.

    Args:
        make_layer: makes a layer for a dtype.
        x, g: an input and an upstream gradient, float64.
    """
    layer = make_layer(np.float64)
    output, x_grad = layer.forward(x), layer.backward(g)
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
        layer = make_layer(dtype)
        answers = {"the output": layer.forward(x.astype(dtype)), "dL/dx": layer.backward(g.astype(dtype))}
        for (name, answer), expected in zip(answers.items(), (output, x_grad), strict=True):
            if answer.dtype != dtype:
                raise AssertionError(f"{name} should be {dtype.__name__} like the input, got {answer.dtype}")
            assert_close(answer, expected, f"{name} in {dtype.__name__}", "the float64 one", tolerance)


def check_answers_stay(layer: Any, x: np.ndarray, g: np.ndarray) -> None:
    """Check that an answer which the caller keeps survives the next forward and backward."""
    output, x_grad = layer.forward(x), layer.backward(g)
    with unchanged(**{"output of an earlier forward": output, "dL/dx of an earlier backward": x_grad}):
        layer.forward(1 - x)
        layer.backward(2 * g)


def check_latest_forward_counts(make_layer: Callable[[], Any], x: np.ndarray, g: np.ndarray) -> None:
    """Check that backward belongs to the latest forward, whatever came before, and can be repeated.

    Args:
        make_layer: makes a fresh layer, always the same.
        x, g: as everywhere here.
    """
    layer, fresh = make_layer(), make_layer()
    fresh.forward(x)
    expected = fresh.backward(g)
    layer.forward(np.concatenate([x, 1 - x]))
    layer.forward(1 - x)
    layer.backward(g)
    layer.forward(x)
    for time in ("first", "second"):
        name = f"dL/dx of the {time} backward after several forwards"
        assert_close(layer.backward(g), expected, name, "that after the latest alone")


def check_calls(layer: Any, x: np.ndarray, g: np.ndarray) -> None:
    """Check that backward needs a forward and an upstream gradient of the output's shape.

    Args:
        layer: a layer that is fresh: it has seen no forward.
        x, g: as everywhere here, with at least two axes.
    """
    message = assert_raises(RuntimeError, lambda: layer.backward(g), "backward before forward")
    if not message.strip():
        raise AssertionError("backward before forward should raise a RuntimeError that says so")
    layer.forward(x)
    for shape in (
        (len(g) + 6, *g.shape[1:]),
        (*g.shape[:-1], g.shape[-1] + 6),
        g.shape[1:],
        (1, 1),
        (*g.shape, 1),
    ):
        what = f"backward with a gradient of shape {shape} for an output of shape {g.shape}"
        assert_names_shapes(lambda shape=shape: layer.backward(np.ones(shape)), what, g.shape, shape)


# What a module of the library may use.


def check_imports(module: ModuleType, *others: str) -> None:
    """Check that a module imports NumPy, Python's standard library and ``others`` only."""
    allowed = {"numpy", *others, *sys.stdlib_module_names}
    for imported, line in imports(module):
        if imported.partition(".")[0] not in allowed:
            raise AssertionError(
                f"{module.__name__}.py imports {imported} in line {line}: NumPy alone is allowed"
            )


def check_not_used(module: ModuleType, function: str) -> None:
    """Check that a module takes no function of this name from another module, such as ``np.tanh``."""
    tree = syntax_tree(module)
    for imported, line in imports(module):
        if imported.rpartition(".")[2] == function:
            raise AssertionError(f"{module.__name__}.py imports {imported} in line {line}: not allowed")
    modules = {
        (name.asname or name.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == function:
            root = node.value
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in modules:
                raise AssertionError(
                    f"{module.__name__}.py uses {ast.unparse(node)} in line {node.lineno}: not allowed"
                )


def imports(module: ModuleType) -> Iterator[tuple[str, int]]:
    """Yield what a module imports, such as "numpy.random", and in which line."""
    for node in ast.walk(syntax_tree(module)):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                yield f"{node.module or ''}.{name.name}", node.lineno


def syntax_tree(module: ModuleType) -> ast.Module:
    """Return the parsed source of a module."""
    return ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))
