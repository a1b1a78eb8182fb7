"""What the graded tests have done beside the submission's code.

In place this is an ordinary module. Isolated, it is imported by the process that holds the submission, and
the tests talk to a proxy of it. So nothing in here is secret, nothing in here decides about a point, and
what goes in and out is what a proxy can carry: plain data, arrays, and objects of the submission.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from types import CodeType, FrameType, FunctionType, ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

MODULES = ("q1", "q2", "fashion_mnist")

# ---------------------------------------------------------------------------------------------------
# Where a layer keeps its weights
# ---------------------------------------------------------------------------------------------------

GRADIENT = "(?:d|dl|dld|dlossd|delta|g|grads?|gradients?)"
NAME = re.compile(
    f"(?:params?|parameters?)?(?P<before>{GRADIENT})?(?:(?P<weights>w|weights?|kernel)|b|bias|biases)"
    f"(?P<after>{GRADIENT})?(?:data|values?)?"
)


def find_parameters(layer: Any) -> dict[str, dict[str, np.ndarray]]:
    """Return a layer's weights, its bias and their gradients, each by the names that the layer has for them.

    A layer that has no weights yet is asked to ``init_weights()`` first.

    Returns:
        for instance {"weights": {"W": ...}, "bias": {"b": ...}, "weights gradient": {"dW": ...}}.
    """
    if not any(role == "weights" for _, role, *_ in _places(layer)):
        layer.init_weights()
    found: dict[str, dict[str, np.ndarray]] = {}
    for path, role, holder, key in _places(layer):
        found.setdefault(role, {})[path] = np.array(_get(holder, key))
    return found


def set_parameters(layer: Any, weights: np.ndarray, bias: np.ndarray) -> None:
    """Give a layer these weights, (m, d), and this bias, (m,), under every name that it has for them."""
    find_parameters(layer)
    for _, role, holder, key in _places(layer):
        array = _get(holder, key)
        if role == "weights" and sorted(array.shape) == sorted(weights.shape):
            value = weights if array.shape == weights.shape else weights.T
        elif role == "bias" and array.size == bias.size:
            value = bias.reshape(array.shape)
        else:
            continue
        # Others may refer to the array, so it is written into, unless that is impossible or does nothing.
        if array.flags.writeable and array.dtype.kind == "f":
            array[...] = value
        if not np.allclose(_get(holder, key), value):
            _put(holder, key, value.copy())


def role_of(path: str) -> str | None:
    """Say what an array is, by its name: "W" and "params.weight" are weights, "db" is a bias gradient."""
    match = NAME.fullmatch(re.sub(r"[\W_]", "", path).lower())
    if match is None:
        return None
    role = "weights" if match["weights"] else "bias"
    return f"{role} gradient" if match["before"] or match["after"] else role


def _places(layer: Any) -> list[tuple[str, str, Any, Any]]:
    """Return path, role, holder and key of each array of a layer that its name says is a parameter."""
    places = []
    for path, holder, key in _arrays(layer):
        role = role_of(path)
        if role is not None:
            places.append((path, role, holder, key))
    return places


def _arrays(layer: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, holder and key of a layer's arrays, those in its dicts, pairs and parameter objects too."""
    for name in dir(layer):
        if name.startswith("__"):
            continue
        try:
            value = getattr(layer, name)
        except Exception:  # a property may raise anything, for instance before forward
            continue
        inner: dict[Any, Any] = {}
        if isinstance(value, np.ndarray):
            yield name, layer, name
        elif isinstance(value, dict):
            inner = value
        elif isinstance(value, list) and len(value) == 2:
            inner = dict(enumerate(value))
        elif role_of(name) and hasattr(value, "__dict__"):
            inner = vars(value)
        for key, array in inner.items():
            if isinstance(array, np.ndarray):
                yield f"{name}.{'Wb'[key] if isinstance(value, list) else key}", value, key


def _get(holder: Any, key: Any) -> Any:
    return holder[key] if isinstance(holder, (dict, list)) else getattr(holder, key)


def _put(holder: Any, key: Any, value: np.ndarray) -> None:
    if isinstance(holder, (dict, list)):
        holder[key] = value
    else:
        setattr(holder, key, value)


# ---------------------------------------------------------------------------------------------------
# What a layer does
# ---------------------------------------------------------------------------------------------------


def has_update(layer: Any) -> bool:
    """Say whether a layer has an ``update`` of its own, and not only the one of the base class."""
    base = getattr(sys.modules.get("q1"), "Layer", object)
    update = getattr(type(layer), "update", None)
    return update is not None and update is not getattr(base, "update", None)


def arguments_afterwards(
    layer: Any, inputs: list[np.ndarray], upstream: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Run ``forward(*inputs)`` and ``backward(*upstream)``, and return what is in these arrays then."""
    inputs, upstream = ([array.copy() for array in arrays] for arrays in (inputs, upstream))
    layer.forward(*inputs)
    layer.backward(*upstream)
    return inputs, upstream


# ---------------------------------------------------------------------------------------------------
# Section 3. PyTorch and Matplotlib are imported where they are needed: q1 and q2 do without.
# ---------------------------------------------------------------------------------------------------

LEARNING_RATES = ("lr", "learning_rate", "learningrate", "eta", "alpha", "step_size")
CRITERIA = ("criterion", "loss", "loss_fn", "loss_function", "loss_layer", "criteria")
OPTIMIZERS = ("optimizer", "optim", "optimiser")
EPOCHS = ("epochs", "num_epochs", "n_epochs")


def find_dense_layers(model):
    """Return every ``q1.Dense`` that an object holds, however it holds them, in no particular order."""
    dense = importlib.import_module("q1").Dense
    found, seen, waiting = [], {}, [model]
    while waiting:
        thing = waiting.pop()
        # Through a class or a module all that the process knows could be reached.
        if id(thing) in seen or isinstance(thing, (type, ModuleType, CodeType, FrameType)):
            continue
        seen[id(thing)] = thing  # kept, so that its id stays its own
        if isinstance(thing, dense):
            found.append(thing)
        elif isinstance(thing, FunctionType):
            waiting += [thing.__closure__, thing.__defaults__]
        else:
            waiting += gc.get_referents(thing)
    return found


def make_data(batch_size, parts, names):
    """Return what a model can be trained and tested with as with a FashionMNIST: small loaders, unshuffled.

    Besides its loaders it has what the course's own class has, under the names that its models read.

    Args:
        batch_size: of each loader.
        parts: for each loader images and labels, two tensors.
        names: for each loader the names of the attribute that solutions may look for.
    """
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    data = SimpleNamespace(batch_size=batch_size, generator=torch.Generator())
    data.val_perc = len(parts["validation"][1]) / sum(
        len(parts[part][1]) for part in ("training", "validation")
    )
    for part, tensors in parts.items():
        dataset = TensorDataset(*tensors)
        for name in names[part]:
            setattr(data, name, DataLoader(dataset, batch_size))
            setattr(data, name.replace("loader", "dataset"), dataset)
            setattr(data, name.replace("_loader", "_set"), dataset)
    return data


def train(model, data, lr):
    """Train a model for one epoch, and return what its ``train`` returns.

    Args:
        model: whose ``train`` takes the data first, and then by whatever names of those above it has
            the learning rate, a criterion, an optimizer.
        data: from ``make_data``.
        lr: the learning rate. A model that does not take it in ``train`` has it as an attribute, or in
            an optimizer of its own.
    """
    import torch

    torch.set_num_threads(1)  # for such small networks more of them only get in each other's way
    _, *parameters = inspect.signature(model.train).parameters.values()
    is_module = isinstance(model, torch.nn.Module)
    make_criterion = (
        torch.nn.CrossEntropyLoss if is_module else importlib.import_module("q1").CrossEntropyLossLayer
    )
    rates = [parameter.name for parameter in parameters if parameter.name in LEARNING_RATES]
    given = dict.fromkeys(rates, lr)
    has_rate = bool(rates)
    for parameter in parameters:
        name, required = parameter.name, parameter.default is parameter.empty
        if name in OPTIMIZERS and is_module and (required or not rates):
            given[name] = torch.optim.SGD(model.parameters(), lr)
            has_rate = True
        elif name in CRITERIA and required:
            given[name] = make_criterion()
        elif name in EPOCHS and required:
            given[name] = 1
        elif parameter.kind is parameter.VAR_KEYWORD and not rates:
            given["lr"] = lr
            has_rate = True
    if not (has_rate or set_learning_rate(model, lr)):
        raise TypeError(
            "train has no parameter for the learning rate: call it lr, as in train(data, lr=0.002)"
        )
    return model.train(data, **given)


@contextlib.contextmanager
def zeros_from(model, method):
    """Have a method of a model's ``Dense`` objects do its work and answer with zeros, for a while."""

    def silenced(work):
        @functools.wraps(work)
        def answer(*args, **kwargs):
            output = work(*args, **kwargs)
            return output if output is None else 0 * output

        return answer

    with contextlib.ExitStack() as changes:
        for kind in {type(layer) for layer in find_dense_layers(model) if hasattr(layer, method)}:
            changes.enter_context(mock.patch.object(kind, method, silenced(getattr(kind, method))))
        yield


def outputs_without_forward(model, *forms):
    """Return a model's outputs for each form of a batch that it takes, though its layers give but zeros."""
    outputs = []
    with zeros_from(model, "forward"):
        for form in [*forms, *(form.numpy() for form in forms)]:
            with contextlib.suppress(Exception):  # what comes of zeros is of no interest otherwise
                outputs.append(model.forward(form))
    return outputs


def train_without_backward(model, data, lr):
    """Train a model for an epoch, though its layers hand on but zeros; return whether autograd takes part."""
    import torch

    saved = []
    hooks = torch.autograd.graph.saved_tensors_hooks(saved.append, lambda none: none)
    with zeros_from(model, "backward"), hooks, contextlib.suppress(Exception):
        train(model, data, lr)
    return bool(saved)


def set_learning_rate(model, lr):
    """Set the learning rate that a model keeps itself or in its optimizer; return whether it has one."""
    names = [name for name in LEARNING_RATES if hasattr(model, name)]
    for name in names:
        setattr(model, name, lr)
    groups = [
        group
        for value in getattr(model, "__dict__", {}).values()
        for group in getattr(value, "param_groups", [])
    ]
    for group in groups:
        group["lr"] = lr
    return bool(names or groups)


def draw(losses, accuracies, title):
    """Have ``fashion_mnist.plot`` draw, and describe each part of the figures that has a curve.

    Args:
        losses, accuracies: of each epoch; the first two parameters of ``plot``, or those so called.
        title: for any further parameter that must be given.

    Returns:
        For each axes a dict: "title", "xlabel" and "ylabel", empty where there are none, and "curves", a
        list of the curves' values.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    plt.close("all")
    plot = importlib.import_module("fashion_mnist").plot
    given = []
    for place, parameter in enumerate(inspect.signature(plot).parameters.values()):
        name = parameter.name.lower()
        if place >= 2 and (parameter.default is not parameter.empty or "*" in str(parameter)):
            break
        by_name = {"loss": list(losses), "acc": list(accuracies), "epoch": len(losses)}
        by_place = [list(losses), list(accuracies), title]
        given.append(next((by_name[part] for part in by_name if part in name), by_place[min(place, 2)]))
    with mock.patch.object(plt, "show"), mock.patch.object(plt, "close"):
        plot(*given)
    figures = [plt.figure(number) for number in plt.get_fignums()]
    drawn = [describe(axes) for figure in figures for axes in figure.axes if axes.lines]
    plt.close("all")
    return drawn


def describe(axes):
    """Return title, labels and curves of an axes; what it shares with others may stand at any of them."""
    figure = axes.figure
    beside = axes.get_shared_x_axes().get_siblings(axes)
    below = axes.get_shared_y_axes().get_siblings(axes)
    titles = [one.get_title(loc) for one in [axes, *beside] for loc in ("center", "left", "right")]
    return {
        "title": first_text(*titles, figure.get_suptitle()),
        "xlabel": first_text(*(one.get_xlabel() for one in [axes, *beside]), figure.get_supxlabel()),
        "ylabel": first_text(*(one.get_ylabel() for one in [axes, *below]), figure.get_supylabel()),
        "curves": [[float(value) for value in line.get_ydata()] for line in axes.lines],
    }


def first_text(*texts):
    """Return the first of some texts that is not blank, or an empty one."""
    return next((text for text in texts if text.strip()), "")
