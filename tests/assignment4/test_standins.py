"""Tests that stand-ins stand in for a student's classes, whatever these demand of their subclasses."""

import sys
import types

import numpy as np
import pytest
import standins
import torch
from reference import NUMBERS_CAP, References

import q1 as reference

METHODS = """
    def __init__(self, *args): raise RuntimeError("this is the student's")
    def init_weights(self): raise RuntimeError("this is the student's")
    def forward(self, *args): raise RuntimeError("this is the student's")
    def backward(self, *args): raise RuntimeError("this is the student's")
    def update(self, *args): raise RuntimeError("this is the student's")
"""
MORE = """
    def describe(self): return "mine"
    def is_ready(self): return True
"""
OWN = "".join(f"\nclass {name}(Layer):{MORE}{METHODS}" for name in standins.KINDS)
LAYERS = {
    "plain": "class Layer:\n    pass",
    "abstract": """
from abc import ABC, abstractmethod
class Layer(ABC):
    @abstractmethod
    def forward(self, x): ...
    @abstractmethod
    def describe(self): ...
    @property
    @abstractmethod
    def size(self): ...""",
    "abstract, and nothing implemented": """
from abc import ABC, abstractmethod
class Layer(ABC):
    @abstractmethod
    def something_else(self): ...""",
    "arguments": "class Layer:\n    def __init__(self, name, size): self.name = name",
    "arguments of __new__": "class Layer:\n    def __new__(cls, name): raise TypeError('no name')",
    "asks its subclasses": """
class Layer:
    def __init_subclass__(cls, kind=None, **kwargs):
        if cls.__name__ not in {"Dense", "ReLULayer", "TanhLayer", "SoftmaxLayer", "CrossEntropyLossLayer",
                                "MLP"}:
            raise TypeError("no kind")
        if "describe" not in vars(cls):
            raise TypeError("describe yourself")""",
    "slots": "class Layer:\n    __slots__ = ('x', 'y')",
    "a metaclass that registers": """
class Meta(type):
    known = {}
    def __new__(meta, name, bases, members):
        if name in meta.known: raise TypeError(f"{name} is there already")
        meta.known[name] = super().__new__(meta, name, bases, members)
        return meta.known[name]
    def __call__(cls, *args): raise TypeError("only one of each kind")
class Layer(metaclass=Meta):
    pass""",
    "a protocol": """
from typing import Protocol
class Layer(Protocol):
    def forward(self, x): ...
    def describe(self): ...""",
    "a protocol to ask for": """
from typing import Protocol, runtime_checkable
@runtime_checkable
class Layer(Protocol):
    def forward(self, x): ...""",
    "final attributes": """
class Layer:
    def __setattr__(self, name, value): raise AttributeError(f"{name} is final")""",
    "properties of the same names": """
class Layer:
    output_size = property(lambda self: 1 / 0)
    _layer = property(lambda self: 1 / 0)
    _W = property(lambda self: 1 / 0)
    layers = property(lambda self: 1 / 0)""",
    "has everything": "class Layer:\n    def __getattr__(self, name): return None",
    "generic": """
from typing import Generic, TypeVar
T = TypeVar("T")
class Layer(Generic[T]):
    pass""",
    "a data class": """
from dataclasses import dataclass
@dataclass(frozen=True)
class Layer:
    name: str""",
    "a list": "class Layer(list):\n    pass",
    "no class": "Layer = 3",
}


class Worker:
    """Asks the reference without a channel in between."""

    def __init__(self):
        self.references = References({"q1", "q2"})

    def ask(self, *question):
        return self.references.answer(question)


@pytest.fixture
def install(monkeypatch):
    def run(*names, **sources):
        for name, source in sources.items():
            module = types.ModuleType(name)
            monkeypatch.setitem(sys.modules, name, module)
            exec(source, vars(module))  # noqa: S102
        standins.install(Worker(), list(names), blank=False)
        return [sys.modules[name] for name in names]

    return run


@pytest.mark.parametrize("kind", LAYERS)
def test_stands_in(kind, install):
    own = OWN if kind != "no class" else ""
    network = f"from q1 import *\nclass MLP(Layer):\n    def describe(self): ...\n{METHODS}" if own else ""
    q1, q2 = install("q1", "q2", q1=LAYERS[kind] + own, q2=network)
    x, g = np.random.default_rng(1).normal(size=(2, 6, 3))
    layers = [q1.Dense(3, 3), q1.TanhLayer(), q1.Dense(3, output_size=3), q1.ReLULayer(), q1.SoftmaxLayer()]
    rights = [
        reference.Dense(3, 3) if isinstance(layer, q1.Dense) else getattr(reference, type(layer).__name__)()
        for layer in layers
    ]
    for layer, right in zip(layers, rights, strict=True):
        if hasattr(right, "W"):
            layer.W, layer.b = right.W, right.b
        np.testing.assert_array_equal(layer(x), right(x))
        np.testing.assert_array_equal(layer.backward(g), right.backward(g))
        if not kind.startswith("a protocol"):  # which has its own idea of instances
            assert isinstance(layer, q1.Layer)
        assert isinstance(layer, type(layer))
        assert not isinstance(layer, q1.CrossEntropyLossLayer)
    if kind != "no class":
        assert all(layer.is_ready() for layer in layers)
    network = q2.MLP(layers)
    assert network.forward(x).shape == (6, 3)
    assert network.backward(g).shape == x.shape
    assert network.layers == layers


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, list])
def test_it_reads_what_the_layers_read(install, kind):
    """Arrays may come as tensors or lists; what does not fit the bounds is refused in each of them."""
    (q1,) = install("q1", q1=LAYERS["plain"])
    x = np.random.default_rng(1).normal(size=(6, 3))
    np.testing.assert_array_equal(q1.TanhLayer()(kind(x)), reference.TanhLayer()(x))
    p, labels = np.full((2, 4), 0.25), np.array([1, 3])
    loss, right = q1.CrossEntropyLossLayer(), reference.CrossEntropyLossLayer()
    assert loss(kind(p), kind(labels)) == right(p, labels)
    np.testing.assert_array_equal(loss.backward(1.0), right.backward(1.0))
    with pytest.raises(ValueError, match="at most"):
        q1.TanhLayer()(kind(np.zeros(NUMBERS_CAP + 1, np.float32)))


def test_of_what_is_demanded_and_not_known_there_is_nothing(install):
    (q1,) = install("q1", q1=LAYERS["abstract, and nothing implemented"])
    assert list(q1.Dense(3, 2).something_else(1, key=2)) == []


@pytest.mark.parametrize("ignored", [True, False])
def test_what_a_loss_makes_of_the_upstream_gradient_is_kept(install, ignored):
    """A student may hand over the loss itself there, which is right where it is not used."""
    own = f"""
import numpy as np
class CrossEntropyLossLayer:
    def forward(self, p, y): self.p, self.y = p, y
    def backward(self, loss): return {"1" if ignored else "loss"} * self.p
"""
    (q1,) = install("q1", q1=own)
    p = np.full((2, 2), 0.5)
    loss, right = q1.CrossEntropyLossLayer(), reference.CrossEntropyLossLayer()
    for given in ({"target": np.array([[0], [1]]), "prediction": p}, {"p": p, "y": np.eye(2)}):
        assert loss(**given) == right(p, np.array([0, 1]))
        expected = right.backward(1.0 if ignored else 3.0)
        np.testing.assert_array_equal(loss.backward(3.0), expected)
