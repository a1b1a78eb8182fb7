"""What a solution of exercise 1 answers, in one form.

The handout leaves several open, and each is taken: B numbers are (B,) or (B, 1), labels may have to be
either, samples may lie in rows or in columns, and a gradient is a dictionary, a pair or one vector.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import backprop
import numpy as np
from answers import Network

from autograder.checks import CheckError, as_array

NOT_YET = "it is not implemented yet, or its `return` is missing"


def function(name: str) -> Any:
    """Return a function of the solution."""
    found = getattr(backprop, name, None)
    if found is None:
        raise CheckError(f"`backprop.py` has no function `{name}`")
    return found


def answer(name: str, *given: Any) -> Any:
    """Return what a function of the solution answers, which gets arrays of its own."""
    found = function(name)(*copy.deepcopy(given))
    if found is None:
        raise CheckError(f"`{name}` returns nothing", bug=NOT_YET)
    return found


def arranged(value: Any, right: Any, name: str, transpose: bool = False) -> np.ndarray:
    """Return an answer in the shape of the right one, if axes of length 1 are all that differs.

    Args:
        value: a number, an array, or a list of such.
        right: the right answer.
        name: of the quantity.
        transpose: whether it may be transposed, too.
    """
    value = as_numbers(value, name)
    shape = np.squeeze(right).shape
    for candidate in (value, value.T)[: 1 + transpose]:
        if candidate.squeeze().shape == shape:
            return candidate.reshape(np.shape(right))
    return value


def as_numbers(value: Any, name: str) -> np.ndarray:
    """Return a number, an array, or a list of such, as an array."""
    if not isinstance(value, (list, tuple)):
        return as_array(value, name)
    parts = [as_numbers(part, name) for part in value]
    if len({part.shape for part in parts}) > 1:
        raise CheckError(f"{name} is a list whose parts have different shapes")
    return np.array(parts)


def outputs_of(network: Network) -> dict[str, np.ndarray]:
    """Return z_1, z_2 and ŷ as the solution has them: three arrays, in a dictionary, or sample by sample."""
    found = answer("predict", network.X, network.W)
    names = ("z_1", "z_2", "y_hat")
    if isinstance(found, dict) and set(found) == set(names):
        found = [found[name] for name in names]
    if isinstance(found, list) and len(found) == len(network.X) and all(map(is_triple, found)):
        found = [list(part) for part in zip(*found, strict=True)]
    if not is_triple(found):
        bug = "" if isinstance(found, (list, tuple)) and len(found) > 3 else "some of the three are missing"
        raise CheckError("`predict` should return z_1, z_2 and ŷ", f"it returns {kind_of(found)}", bug=bug)
    return {
        name: arranged(part, getattr(network, name), f"{name} from predict", transpose=True)
        for name, part in zip(names, found, strict=True)
    }


def gradient_of(network: Network, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return dL/dw_1 and dL/dw_2 as the solution has them: in a dictionary, as a pair, or in one vector."""
    found = answer("gradient", network.X, y, network.W)
    if isinstance(found, Mapping):
        # The handout names the keys of the weights, and not those of the gradient: "dw_1" will do.
        plain = {str(key).replace("_", "").lower(): value for key, value in found.items()}
        parts = [[value for key, value in plain.items() if name in key] for name in ("w1", "w2")]
        if len(found) != 2 or list(map(len, parts)) != [1, 1]:
            raise CheckError(
                "`gradient` has other keys than expected",
                f"expected w_1 and w_2, got {list(found)!r:.80}",
                bug="the gradient has the keys of the weights",
            )
        found = [part for (part,) in parts]
    elif isinstance(found, np.ndarray) and found.size == sum(value.size for value in network.W.values()):
        first, second = np.split(found.ravel(), [network.W["w_1"].size])
        found = [first.reshape(network.W["w_1"].shape), second]
    if not isinstance(found, (list, tuple)) or len(found) != 2:
        raise CheckError("`gradient` should return dL/dw_1 and dL/dw_2", f"it returns {kind_of(found)}")
    pairs = zip(network.W.items(), found, strict=True)
    return {name: arranged(part, value, f"dL/d{name}") for (name, value), part in pairs}


def is_triple(found: Any) -> bool:
    """Say whether something is three values."""
    return isinstance(found, (list, tuple)) and len(found) == 3


def kind_of(found: Any) -> str:
    """Return what something is, in words."""
    if isinstance(found, (list, tuple)):
        return f"a {type(found).__name__} of length {len(found)}"
    return f"an array of shape {found.shape}" if isinstance(found, np.ndarray) else f"{found!r:.80}"
