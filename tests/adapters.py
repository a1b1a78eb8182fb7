"""What the graded tests of layers share: how a solution keeps its weights, and what the handout bans."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import probe
import torch

from autograder.checks import CheckError, GradedTest, as_array, assert_close, is_close, takes


def with_gradient(
    function: Callable[[torch.Tensor], torch.Tensor], x: np.ndarray, g: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return y = function(x) and dL/dx for dL/dy = g, as PyTorch has them."""
    tensor = torch.tensor(x, requires_grad=True)
    output = function(tensor)
    (gradient,) = torch.autograd.grad(as_loss(output, g), tensor)
    return output.detach().numpy(), gradient.numpy()


def as_loss(y: torch.Tensor, g: np.ndarray) -> torch.Tensor:
    """Return the loss Σ g y, for which dL/dy is g.

    PyTorch would take g as an argument, too, but imports SymPy for it: 30 MB and half a second.
    """
    return (y * torch.tensor(g)).sum()


def assert_unchanged(layer: Any, inputs: list[np.ndarray], upstream: list[np.ndarray], right: Any) -> None:
    """Check that ``forward(*inputs)`` and ``backward(*upstream)`` do not write into these arrays.

    What does nothing changes nothing, and has earned nothing: the output has to be ``right``.
    """
    output = layer.forward(*(array.copy() for array in inputs))
    if np.ndim(right) == 0:
        output = loss_value(output)
    assert_close(output, right, "The output of forward, which has to be right first,")
    afterwards = probe.arguments_afterwards(layer, inputs, upstream)
    changed = [
        f"argument {place + 1} of {method}"
        for method, arrays, before in zip(
            ("forward", "backward"), afterwards, (inputs, upstream), strict=True
        )
        for place, array in enumerate(arrays)
        if not np.array_equal(array, before[place])
    ]
    if changed:
        raise CheckError(
            f"{' and '.join(changed)} is changed in place",
            bug="something like `x[x < 0] = 0` or `x -= ...` writes into an array that belongs to the "
            "caller: make a new array",
        )


def parameters(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights (m, d) and the bias (m,) of a Dense layer."""
    found = probe.find_parameters(layer)
    for weights, turned in found.get("weights", {}).values():
        for bias, _ in found.get("bias", {}).values():
            if weights.ndim == 2 and bias.size in weights.shape:
                lies_as_documented = len(weights) != bias.size if turned is None else turned
                return (weights.T if lies_as_documented else weights), bias.ravel()
    raise CheckError(
        "No weights and bias found in Dense after `__init__` and `init_weights`",
        "expected `W` of shape (m, d) and `b` of shape (m,), or `weights` (d, m) and `bias` (1, m)",
        f"found {describe_arrays(layer)}",
    )


def set_parameters(layer: Any, weights: Any, bias: Any) -> None:
    """Give a Dense layer these weights (m, d) and this bias (m,)."""
    weights, bias = (as_array(value, "a parameter").astype(np.float64) for value in (weights, bias))
    probe.set_parameters(layer, weights, bias)
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
    found = probe.find_parameters(layer)
    missing = [name for name in ("weights gradient", "bias gradient") if name not in found]
    if missing:
        raise CheckError(
            f"Dense.backward leaves no {' and no '.join(missing)}",
            "expected `dW` and `db`, or `weights_grad` and `bias_grad`",
            f"found {describe_arrays(layer)}",
        )
    name, (dW, _) = next(iter(found["weights gradient"].items()))
    # It has the shape of what it is named after: `dW` that of `W`, `weights_grad` that of `weights`.
    lying = {parameter: (array.shape, turned) for parameter, (array, turned) in found["weights"].items()}
    namesakes = [lying[parameter] for parameter in lying if parameter in name]
    transposed = bool(namesakes) and dW.shape not in [shape for shape, _ in namesakes]
    if len(bias) == weights.shape[1]:  # the shape of a square does not tell
        dW = dW.T if (namesakes or list(lying.values()))[0][1] else dW
    elif dW.shape in (weights.shape, weights.T.shape) and (dW.shape != weights.shape) != transposed:
        dW = dW.T
    db, _ = next(iter(found["bias gradient"].values()))
    return dW, db.reshape(bias.shape) if db.size == bias.size and db.ndim <= 2 else db


USUAL_NAMES = {
    "weights": ("W", "weights", "weight"),
    "bias": ("b", "bias"),
    "weights gradient": ("dW", "weights_grad"),
    "bias gradient": ("db", "bias_grad"),
}


def called(layer: Any, role: str) -> str:
    """Return, in brackets, which array of a layer was taken for one of the ``USUAL_NAMES``, if by another."""
    names = list(probe.find_parameters(layer).get(role, {}))
    return f" (your `{names[0]}`)" if names and names[0] not in USUAL_NAMES[role] else ""


def describe_arrays(layer: Any) -> str:
    """Return the names and shapes of a layer's arrays."""
    arrays = probe.list_arrays(layer).items()
    return ", ".join(f"`{name}` {shape}" for name, shape in arrays) or "no arrays"


def has_update(layer: Any) -> bool:
    """Say whether a layer has an ``update(learning_rate)``, which the handout does not ask for."""
    return bool(probe.has_update(layer)) and takes(layer.update, 0.1)


def loss_gradient(criterion: Any) -> Any:
    """Return ``criterion.backward()``, or ``backward(1.0)`` where it takes dL/dL."""
    return criterion.backward() if takes(criterion.backward) else criterion.backward(1.0)


def loss_value(loss: Any) -> np.ndarray:
    """Return a loss as a number; an array that holds but one number costs points where that is asked for."""
    array = as_array(loss, "The loss")
    return array.reshape(()) if array.size == 1 else array


TARGETS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "integer labels": lambda labels, classes: labels,
    "one-hot rows": lambda labels, classes: np.eye(classes)[labels],
    "a column of labels": lambda labels, classes: labels[:, None],
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
        # The other forms may be unknown to the solution; a bug with a name tells which one it knows. Labels
        # in a column, which NumPy broadcasts, come last: they give numbers to who knows nothing of them.
        *usual, column = failures
        best = max(usual, key=lambda it: (isinstance(it, CheckError), bool(getattr(it, "bug", ""))))
        raise column if isinstance(column, CheckError) and not isinstance(best, CheckError) else best

    return run


class LayerTest(GradedTest):
    """The tests of a layer, which the handout wants to be written with NumPy alone."""

    allowed_libraries = ("numpy", "scipy", "sklearn", "pandas")
