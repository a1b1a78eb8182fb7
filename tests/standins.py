"""Stand-ins for a student's layers where those fail, so that a wrong ``q1.py`` costs no points of ``q2.py``.

They have the handout's names and compute nothing. Each call goes to the grader, which asks its reference
layers, so that there is no right answer in here to be read. Parameters and gradients lie in the worker, under
all their names.
"""

from __future__ import annotations

import abc
import importlib
import sys
from types import ModuleType
from typing import Any

import numpy as np

MAKE, RUN, NETWORK = range(3)  # questions
KINDS = ("Dense", "ReLULayer", "TanhLayer", "SoftmaxLayer", "CrossEntropyLossLayer")
TARGETS = {"target", "targets", "label", "labels", "y", "y_true"}  # as arguments, behind the prediction
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
        module: Any = modules["q1"]
        if not isinstance(getattr(module, "Layer", None), type):
            module.Layer = Layer
        own = {name: getattr(module, name, None) for name in KINDS}
        special = {"Dense": DenseStandIn, "CrossEntropyLossLayer": LossStandIn}
        for kind, name in enumerate(KINDS):
            attributes = {"worker": worker, "kind": kind}
            if name == "CrossEntropyLossLayer":
                attributes["upstream_counts"] = not _ignores_upstream(own[name])
            base = special.get(name, StandIn)
            setattr(module, name, _derive(name, base, own[name], module.Layer, attributes))
    if "q2" in modules:
        network: Any = modules["q2"]
        layer = getattr(sys.modules.get("q1"), "Layer", Layer)
        network.MLP = _derive("MLP", MLPStandIn, getattr(network, "MLP", None), layer, {"worker": worker})


def _own_module(name: str, blank: bool) -> ModuleType:
    """Return the student's module, or an empty one if it cannot be imported."""
    if not blank:
        try:
            return importlib.import_module(name)
        except BaseException:
            pass  # whatever it is, the module's own tests have said so
    module = sys.modules[name] = ModuleType(name)
    return module


def _derive(name: str, stand_in: type, own: Any, layer: Any, attributes: dict[str, Any]) -> type:
    """Return a class of this name that is a stand-in and, if it can be, also one of the student's kind.

    Of the student's it has what a stand-in has not, such as methods that their network calls. What their
    classes demand of what is derived from them is not asked: they may be abstract, or have metaclasses.
    """
    for bases in ((stand_in, own), (stand_in, own, layer), (stand_in, layer)):
        try:
            made = _make_class(name, bases, attributes)
            _new(made)
        except Exception:  # one of them is no class, or can't be a base
            continue
        if layer in made.__mro__:
            return made
    return type(name, (stand_in,), attributes)


def _make_class(name: str, bases: tuple[Any, ...], attributes: dict[str, Any]) -> type:
    """Make a class, of which nothing is abstract, without asking the metaclasses of its bases."""
    kinds = [type(base) for base in bases]
    made_by = abc.ABCMeta if any(issubclass(kind, abc.ABCMeta) for kind in kinds) else type
    most_derived = next(kind for kind in kinds if all(issubclass(kind, other) for other in kinds))
    plain = {word: getattr(made_by, word) for word in ("__new__", "__init__", "__call__", "__setattr__")}
    meta = type("Meta", (most_derived,), {**plain, "__getattribute__": type.__getattribute__})
    made = made_by.__new__(meta, name, bases, {**attributes, "_is_protocol": False})
    for missing in getattr(made, "__abstractmethods__", ()):
        found = getattr(made, missing)
        setattr(made, missing, _nothing if callable(found) else None)
    made.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
    return made


def _nothing(*args: Any, **kwargs: Any) -> tuple[()]:
    """Stand for a method that a student's class demands, and of which nothing is known but its name."""
    return ()


def _ignores_upstream(own: Any) -> bool:
    """Say whether a student's loss takes an argument in ``backward`` and makes no use of it.

    Then their training may hand over anything there, such as the loss.
    """
    labels = np.array([1, 0])
    for target in (labels, np.eye(2)[labels]):
        try:
            loss, answers = own(), []
            for upstream in (1.0, 3.0):
                loss.forward(np.array([[0.25, 0.75], [0.5, 0.5]]), target)
                answers.append(np.asarray(loss.backward(upstream), dtype=float))
        except Exception:
            continue
        if answers[0].any():
            return np.array_equal(*answers)
    return False


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


def in_order(named: dict[str, Any]) -> list[Any]:
    """Return arguments that were given by names, the target behind the prediction."""
    return [named[name] for name in sorted(named, key=TARGETS.__contains__)]


def _new(kind: type, *args: Any, **kwargs: Any) -> Any:
    made_by_python = 1 << 9  # Py_TPFLAGS_HEAPTYPE
    builtin: Any = next(base for base in kind.__mro__ if not base.__flags__ & made_by_python)
    return builtin.__new__(kind)


class StandIn:
    """A layer that the grader computes.

    Attributes:
        worker: asks the grader.
        kind: the place of its class in ``KINDS``.
    """

    worker: Any
    kind: int
    _layer: Any = None

    # What a student's class may say about making and changing objects is not asked.
    __new__ = _new
    __setattr__ = object.__setattr__
    __getattribute__ = object.__getattribute__

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Ask no base what it demands."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        vars(self).update(kwargs)
        self._layer, parameters = self.worker.ask(MAKE, self.kind, args, kwargs)
        self._keep_parameters(parameters)

    def init_weights(self) -> None:
        """Have the weights drawn anew."""
        self._run("init_weights")

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Have the output computed."""
        return self._run("forward", *inputs, *in_order(named))

    def backward(self, *output_grad: Any, **named: Any) -> Any:
        """Have the gradients computed."""
        return self._run("backward", *output_grad, *named.values())

    def update(self, learning_rate: float) -> None:
        """Have the step taken."""
        self._run("update", learning_rate)

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Call ``forward``."""
        return self.forward(*inputs, **named)

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("a copy would share the grader's layer")

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
    _W: Any = None  # these, lest the student's class has properties so called
    _b = _dW = _db = input_size = output_size = _W  # noqa: N815

    def _parameters(self) -> tuple[np.ndarray, ...]:
        return self._W, self._b, self._dW, self._db

    def _keep_parameters(self, parameters: tuple[np.ndarray, ...]) -> None:
        if self._W is None:
            self._W, self._b, self._dW, self._db = parameters
            self.output_size, self.input_size = self._W.shape
        for own, new in zip(self._parameters(), parameters, strict=True):
            own[...] = new


class LossStandIn(StandIn):
    """The loss, which reads labels (N, 1) as well.

    Attributes:
        upstream_counts: whether ``backward`` makes use of its argument.
    """

    upstream_counts = True

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Have the loss computed."""
        prediction, *targets = (*inputs, *in_order(named))
        targets = [
            target.reshape(-1) if np.shape(target) == (len(prediction), 1) != np.shape(prediction) else target
            for target in targets
        ]
        return self._run("forward", prediction, *targets)

    def backward(self, *output_grad: Any, **named: Any) -> Any:
        """Have the gradient computed."""
        return super().backward(*output_grad, **named) if self.upstream_counts else super().backward()


class MLPStandIn:
    """The network: the grader goes through its layers."""

    worker: Any

    __new__ = _new
    __setattr__ = object.__setattr__
    __getattribute__ = object.__getattribute__
    layers: Any = None  # lest the student's class has a property so called

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Ask no base what it demands."""

    def __init__(self, *layers: Any, **named: Any) -> None:
        given = [*layers, *named.values()]
        self.layers = next((list(value) for value in given if isinstance(value, (list, tuple))), given)

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
