"""The reference layers, in the grader's process, that answer for the stand-ins in a child."""

from __future__ import annotations

import importlib.util
import math
import operator
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from standins import KINDS, MAKE, METHODS, NETWORK, RUN

from autograder.inside.wire import WireError

OPTIONS = {
    "Dense": ("input_size", "output_size", "dtype", "seed"),
    "CrossEntropyLossLayer": ("from_logits",),
}
LAYERS_CAP = 1_000  # that one child may have
WEIGHTS_CAP = 10_000_000  # of all its layers together
NUMBERS_CAP = 2**22  # that go into a layer, or come out of it, at a time


def load_reference(name: str) -> Any:
    """Return the repository's own module of this name, whatever ``sys.modules`` has under it."""
    path = Path(__file__).resolve().parent.parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"reference_{name}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"expected the reference {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


q1 = load_reference("q1")


class References:
    """The reference layers that one child has asked for.

    What comes in is from the child and may be any nonsense; then an exception is raised, and nothing else
    happens.

    Args:
        stand_ins: the modules that stand-ins replace in that child. All else is refused, lest the
            submission have the grader compute what it should compute itself.
    """

    def __init__(self, stand_ins: Collection[str]) -> None:
        self.stand_ins = stand_ins
        self.layers: list[Any] = []
        self.weights = 0

    def answer(self, question: Any) -> Any:
        """Answer one question of a stand-in (see ``standins``).

        Raises:
            WireError: there is no stand-in in that child that could have asked.
        """
        answers = {MAKE: ("q1", self._make), RUN: ("q1", self._run), NETWORK: ("q2", self._run_network)}
        verb, *details = question
        module, answer = answers[verb]
        if module not in self.stand_ins:
            raise WireError("it asks the reference layers, and no stand-in is there")
        with np.errstate(all="ignore"):
            return answer(*details)

    def _make(self, kind: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a layer; options that the reference does not have are left out."""
        if len(self.layers) >= LAYERS_CAP:
            raise ValueError(f"expected at most {LAYERS_CAP} layers")
        name = KINDS[kind]
        options = OPTIONS.get(name, ())
        given = {**dict(zip(options, args)), **{key: kwargs[key] for key in options if key in kwargs}}  # noqa: B905
        if name == "Dense":
            # Whole numbers and nothing else: a list times a number is a long list.
            self.weights += abs(math.prod(operator.index(given[option]) for option in options[:2]))
            if self.weights > WEIGHTS_CAP:
                raise ValueError(f"expected layers of at most {WEIGHTS_CAP} weights")
        layer = getattr(q1, name)(**given)
        self.layers.append(layer)
        return len(self.layers) - 1, parameters(layer)

    def _run(self, place: int, method: int, args: tuple[Any, ...], values: tuple[Any, ...]) -> Any:
        """Call a method of a layer with the parameters that the child has for it now."""
        layer = self.layers[place]
        widest = max(getattr(layer, "W", np.empty(0)).shape, default=1)
        for array in args:
            rows = len(array) if np.ndim(array) else 1
            if max(math.prod(np.shape(array)), rows * widest) > NUMBERS_CAP:
                raise ValueError(f"expected at most {NUMBERS_CAP:,} numbers in and out of a layer")
        if values:
            layer.W, layer.b = values[:2]
            if METHODS[method] == "update":
                layer.dW, layer.db = values[2:]
        value = getattr(layer, METHODS[method])(*args)
        return value, parameters(layer)

    def _run_network(self, method: int, layers: list[Any], args: tuple[Any, ...]) -> Any:
        """Go through the layers, which lie in the child: stand-ins or the student's own."""
        name = METHODS[method]
        if name in ("init_weights", "update"):
            for layer in layers:
                if hasattr(layer, name):
                    getattr(layer, name)(*args)
            return None
        (value,) = args
        for layer in layers if name == "forward" else layers[::-1]:
            value = getattr(layer, name)(value)
        return value


def parameters(layer: Any) -> tuple[np.ndarray, ...]:
    """Return W, b, dW and db of a layer that has them."""
    return (layer.W, layer.b, layer.dW, layer.db) if hasattr(layer, "W") else ()
