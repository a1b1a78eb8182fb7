"""Stand-ins for a student's layers where those fail, so that a wrong ``q1.py`` costs no points of ``q2.py``.

They have the handout's names and compute nothing. Each call goes to the grader, which asks its reference
layers, so that there is no right answer in here to be read. Parameters and gradients lie in the worker, under
all their names.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import numpy as np

MAKE, RUN, NETWORK = range(3)  # questions
KINDS = ("Dense", "ReLULayer", "TanhLayer", "SoftmaxLayer", "CrossEntropyLossLayer")
METHODS = ("init_weights", "forward", "backward", "update")


def install(worker: Any, names: list[str], blank: bool) -> None:
    """Replace the classes of the modules q1 and q2 by stand-ins, and keep what else the student's have.

    Args:
        worker: the ``Worker`` that asks the grader.
        names: of the modules to replace.
        blank: whether to start from empty modules; the student's may not survive being imported.
    """
    modules = {name: _own_module(name, blank) for name in sorted(names)}
    if "q1" in modules:
        module = modules["q1"]
        if not isinstance(getattr(module, "Layer", None), type):
            module.Layer = Layer  # type: ignore[attr-defined]
        for kind in range(len(KINDS)):
            base = DenseStandIn if KINDS[kind] == "Dense" else StandIn
            setattr(module, KINDS[kind], _derive(KINDS[kind], base, module.Layer, worker=worker, kind=kind))
    if "q2" in modules:
        module = modules["q2"]
        own = getattr(module, "MLP", None)
        layer = getattr(sys.modules.get("q1"), "Layer", Layer)
        module.MLP = _derive("MLP", MLPStandIn, own if isinstance(own, type) else layer, worker=worker)  # type: ignore[attr-defined]


def _own_module(name: str, blank: bool) -> ModuleType:
    """Return the student's module, or an empty one if it cannot be imported."""
    if not blank:
        try:
            return importlib.import_module(name)
        except BaseException:
            pass  # whatever it is, the module's own tests have said so
    module = sys.modules[name] = ModuleType(name)
    return module


def _derive(name: str, stand_in: type, own: Any, **attributes: Any) -> type:
    """Return a class of this name that is a stand-in and, if it can be, also one of the student's kind."""
    try:
        return type(name, (stand_in, own), attributes)
    except TypeError:
        return type(name, (stand_in,), attributes)


class Layer:
    """The handout's base class, where the student's module has none."""

    def init_weights(self) -> None:
        """Do nothing."""

    def forward(self, *inputs: Any) -> Any:
        """Be overridden."""
        raise NotImplementedError

    def backward(self, *output_grad: Any) -> Any:
        """Be overridden."""
        raise NotImplementedError

    def update(self, learning_rate: float) -> None:
        """Do nothing."""

    def __call__(self, *inputs: Any) -> Any:
        """Call ``forward``."""
        return self.forward(*inputs)


class StandIn:
    """A layer that the grader computes.

    Attributes:
        worker: asks the grader.
        kind: the place of its class in ``KINDS``.
    """

    worker: Any
    kind: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for name, value in kwargs.items():
            setattr(self, name, value)
        self._layer, parameters = self.worker.ask(MAKE, self.kind, args, kwargs)
        self._keep_parameters(parameters)

    def init_weights(self) -> None:
        """Have the weights drawn anew."""
        self._run("init_weights")

    def forward(self, *inputs: Any) -> Any:
        """Have the output computed."""
        return self._run("forward", *inputs)

    def backward(self, *output_grad: Any) -> Any:
        """Have the gradients computed."""
        return self._run("backward", *output_grad)

    def update(self, learning_rate: float) -> None:
        """Have the step taken."""
        self._run("update", learning_rate)

    def __call__(self, *inputs: Any) -> Any:
        """Call ``forward``."""
        return self.forward(*inputs)

    def _run(self, method: str, *args: Any) -> Any:
        value, parameters = self.worker.ask(RUN, self._layer, METHODS.index(method), args, self._parameters())
        self._keep_parameters(parameters)
        return value

    def _parameters(self) -> tuple[np.ndarray, ...]:
        return ()

    def _keep_parameters(self, parameters: tuple[np.ndarray, ...]) -> None:
        """Take over the parameters that the grader answers with."""


class Name:
    """One of a parameter's names: a view of its storage; assigning copies into it."""

    def __init__(self, storage: str, as_documented: bool = False) -> None:
        self.storage = storage
        self.as_documented = as_documented

    def __get__(self, layer: Any, owner: type | None = None) -> Any:
        """Return the view."""
        if layer is None:
            return self
        array = getattr(layer, self.storage)
        return np.atleast_2d(array.T) if self.as_documented else array

    def __set__(self, layer: Any, value: Any) -> None:
        """Copy the value in."""
        view = self.__get__(layer)
        view[...] = np.reshape(value, view.shape)


class DenseStandIn(StandIn):
    """The stand-in that has parameters, by the handout's names and by the course documentation's."""

    W, b, dW, db = Name("_W"), Name("_b"), Name("_dW"), Name("_db")
    weights, bias = Name("_W", True), Name("_b", True)
    weights_grad, bias_grad = Name("_dW", True), Name("_db", True)

    def _parameters(self) -> tuple[np.ndarray, ...]:
        return self._W, self._b, self._dW, self._db

    def _keep_parameters(self, parameters: tuple[np.ndarray, ...]) -> None:
        if not hasattr(self, "_W"):
            self._W, self._b, self._dW, self._db = parameters
            self.output_size, self.input_size = self._W.shape
        for own, new in zip(self._parameters(), parameters, strict=True):
            own[...] = new


class MLPStandIn:
    """The network: the grader goes through its layers."""

    worker: Any

    def __init__(self, layers: Any = ()) -> None:
        self.layers = list(layers)

    def init_weights(self) -> None:
        """Have each layer's weights drawn anew."""
        self._run("init_weights")

    def forward(self, x: Any) -> Any:
        """Have the output computed."""
        return self._run("forward", x)

    def backward(self, output_grad: Any) -> Any:
        """Have the gradients computed."""
        return self._run("backward", output_grad)

    def backward_parameters(self, output_grad: Any) -> None:
        """Do as ``backward``, for a student's network that has this."""
        self.backward(output_grad)

    def update(self, learning_rate: float) -> None:
        """Have each layer updated."""
        self._run("update", learning_rate)

    def __call__(self, x: Any) -> Any:
        """Call ``forward``."""
        return self.forward(x)

    def _run(self, method: str, *args: Any) -> Any:
        return self.worker.ask(NETWORK, METHODS.index(method), list(self.layers), args)
