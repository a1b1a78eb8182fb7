"""What the checks of an assignment's parts are written with: kinds and shapes of values, and no numbers."""

from __future__ import annotations

from typing import Any

import numpy as np


class ProblemError(Exception):
    """Something isn't as the grader needs it; the message says what."""


def expect_array(value: Any, name: str, *shapes: tuple[int, ...]) -> None:
    """Raise a ProblemError unless a value is an array of real numbers that has one of these shapes."""
    wanted = f"np.ndarray of shape {' or '.join(map(str, shapes))}"
    if value is None:
        raise ProblemError(f"{name} is None, where {wanted} is expected; perhaps a `return` is missing")
    if not isinstance(value, np.ndarray):
        raise ProblemError(f"{name} should be {wanted}, and is of type {type(value).__name__}")
    if value.shape not in shapes:
        raise ProblemError(f"{name} should be {wanted}, and has shape {value.shape}")
    if value.dtype.kind not in "fiub":
        raise ProblemError(f"{name} should hold real numbers, and has dtype {value.dtype}")


def expect_number(value: Any, name: str) -> None:
    """Raise a ProblemError unless a value is one real number."""
    if value is None:
        raise ProblemError(f"{name} is None, where a number is expected; perhaps a `return` is missing")
    if np.shape(value) != () or np.asarray(value).dtype.kind not in "fiub":
        shape = f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else f"{value!r:.60}"
        raise ProblemError(f"{name} should be one number, and is {shape}")


def expect_one_of(thing: Any, names: dict[str, tuple[int, ...]]) -> None:
    """Raise a ProblemError unless a thing has an array by one of these names, of that name's shape."""
    for name, shape in names.items():
        if getattr(thing, name, None) is not None:
            return expect_array(getattr(thing, name), f"`{name}`", shape)
    kind = type(thing).__name__
    wanted = " or ".join(f"`{name}` of shape {shape}" for name, shape in names.items())
    raise ProblemError(f"{kind} should have an array {wanted}, and has none")
