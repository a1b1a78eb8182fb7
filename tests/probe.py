"""What the graded tests have done beside the submission's code.

In place this is an ordinary module. Isolated, it is imported by the process that holds the submission, and
the tests talk to a proxy of it. So nothing in here is secret, nothing in here decides about a point, and
what goes in and out is what a proxy can carry: plain data, arrays, and objects of the submission.
"""

from __future__ import annotations

import contextlib
import copy
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

ROLES = ("weights", "bias", "weights gradient", "bias gradient")
GRADIENT = "(?:d|dl|dld|dlossd|delta|g|grads?|gradients?)"
NAME = re.compile(
    f"(?:params?|parameters?)?(?P<before>{GRADIENT})?(?:(?P<weights>w|weights?|kernel)|b|bias|biases)"
    f"(?P<after>{GRADIENT})?(?:data|values?)?"
)
LIKE_A_GRADIENT = re.compile(r"grad|delta|(?:^|\W|_)d(?:l|loss)?_?[wb](?:\W|_|$|eight|ias)", re.IGNORECASE)

DEEPEST, MOST_PARTS, MOST_ARRAYS = 4, 32, 100  # of what a layer holds
BUMP = 1.0  # what is added to a number to see what it moves

Path = tuple[tuple[str, Any], ...]
"""The steps from a layer to an array: ("attribute", name) or ("item", key or place)."""

Roles = dict[str, dict[Path, "bool | None"]]
"""The arrays of each role, and of weights whether they lie as (d, m), None where that is not known."""

_roles: dict[int, tuple[Any, Roles]] = {}  # by the id of a layer, which is kept with them


def find_parameters(layer: Any) -> dict[str, dict[str, tuple[np.ndarray, bool | None]]]:
    """Return a layer's weights, its bias and their gradients, each by the names that the layer has for them.

    They are known by what they do: weights and bias are what moves the output when it is moved, gradients
    what backward changes, each of a shape that fits. Names decide between several, and where the layer does
    not work. A layer that has no weights yet is asked to ``init_weights()`` first.

    Returns:
        for instance {"weights": {"W": (array, False)}, "bias": {"b": (array, None)}, ...}; beside weights
        stands whether they lie as (d, m), None where that is not known.
    """
    roles = _roles_of(layer)
    arrays = _arrays(layer)
    found: dict[str, dict[str, tuple[np.ndarray, bool | None]]] = {}
    for role in ROLES:
        known = {path: turned for path, turned in roles[role].items() if path in arrays}
        for path, turned in (known or dict.fromkeys(_by_name(arrays, role))).items():
            found.setdefault(role, {})[_text(path)] = np.array(arrays[path]), turned
    return found


def set_parameters(layer: Any, weights: np.ndarray, bias: np.ndarray) -> None:
    """Give a layer these weights, (m, d), and this bias, (m,), under every name that it has for them."""
    roles, arrays = _roles_of(layer), _arrays(layer)
    for path, array in arrays.items():
        if path in roles["weights"] and sorted(array.shape) == sorted(weights.shape):
            turned = roles["weights"][path]
            if turned is None:
                turned = array.shape != weights.shape
            _write(layer, path, weights.T if turned else weights)
        elif path in roles["bias"] and array.size == bias.size:
            _write(layer, path, bias.reshape(array.shape))


def role_of(path: str) -> str | None:
    """Say what an array is, by its name: "W" and "params.weight" are weights, "db" is a bias gradient."""
    match = NAME.fullmatch(re.sub(r"[\W_]", "", path).lower())
    if match is None:
        return None
    role = "weights" if match["weights"] else "bias"
    return f"{role} gradient" if match["before"] or match["after"] else role


def _roles_of(layer: Any) -> Roles:
    """Return which arrays of a layer have which role, once and for all."""
    kept, roles = _roles.get(id(layer), (None, None))
    if roles is None or kept is not layer:
        if not any(array.ndim == 2 and not _is_gradient(path) for path, array in _arrays(layer).items()):
            layer.init_weights()
        try:
            roles = _observe(copy.deepcopy(layer))
        except Exception:  # it can't be copied, or does not work; its own tests say so
            roles = {role: {} for role in ROLES}
        arrays = _arrays(layer)
        for role in ROLES[:2]:
            roles[role] = roles[role] or dict.fromkeys(_by_name(arrays, role))
        if len(_roles) >= MOST_ARRAYS:
            _roles.clear()
        _roles[id(layer)] = layer, roles
    return roles


def _is_gradient(path: Path) -> bool:
    """Say whether an array has the name of a gradient."""
    text = _text(path)
    return bool(LIKE_A_GRADIENT.search(text)) or (role_of(text) or "").endswith("gradient")


def _by_name(arrays: dict[Path, np.ndarray], role: str) -> list[Path]:
    """Return the arrays whose names say that they have a role; else those that have its form, if any."""
    named = sorted((path for path in arrays if role_of(_text(path)) == role), key=lambda it: arrays[it].ndim)
    others = {
        path: array
        for path, array in arrays.items()
        if role_of(_text(path)) is None and _is_gradient(path) == role.endswith("gradient")
    }
    matrices = {path: array for path, array in others.items() if array.ndim == 2 and min(array.shape) > 1}
    if named or role.startswith("weights"):
        return named or list(matrices)[:1]
    sides = {side for array in matrices.values() for side in array.shape}
    return [path for path, array in others.items() if _length(array) in sides][:1]


def _length(array: np.ndarray) -> int:
    """Return the length of what is a vector, perhaps as a row or a column; 0 for anything else."""
    return array.size if array.size == max((*array.shape, 1)) else 0


# What a copy of the layer does when it works.


def _observe(layer: Any) -> Roles:
    """Return which arrays move the output of forward or backward, and which are what backward leaves."""
    x, g = _try_input(layer)
    d, m = x.shape[1], g.shape[1]
    fresh = _copies(layer)
    output, input_grad = _run(layer, x, g)
    roles: Roles = {role: {} for role in ROLES}
    for path, array in fresh.items():
        fits = sorted(array.shape) == sorted((d, m)), _length(array) == m
        if any(fits) and np.shape(_get(layer, path)) == array.shape:  # backward leaves a parameter as it is
            place = (0, -1) if array.ndim == 2 and min(array.shape) > 1 else (0,) * array.ndim
            bumped = array.astype(np.float64)
            bumped[place] += BUMP
            _write(layer, path, bumped)
            moved, moved_grad = _run(layer, x, g)
            _write(layer, path, array)
            change = moved - output
            columns = np.flatnonzero(change.any(axis=0))
            if fits[1] and len(columns) == 1 and np.ptp(change[:, columns[0]]) < 1e-6 * BUMP:
                roles["bias"][path] = None
            elif fits[0] and len(columns):
                roles["weights"][path] = columns[0] != 0 if d == m > 1 else array.shape == (d, m) != (m, d)
            elif fits[0] and moved_grad is not None and not np.array_equal(moved_grad, input_grad):
                roles["weights"][path] = None if d == m else array.shape == (d, m)
    if input_grad is not None:
        _observe_gradients(layer, x, g, roles)
    return roles


def _observe_gradients(layer: Any, x: np.ndarray, g: np.ndarray, roles: Roles) -> None:
    """Take down which arrays backward leaves, those of the latest batch alone before those that grow."""
    d, m = x.shape[1], g.shape[1]
    snapshots = []
    for factor in (1, 1, 2):  # the weights' gradient, and not the bias's, grows with the input
        layer.forward(factor * x)
        layer.backward(g.copy())
        snapshots.append(_copies(layer))
    first, second, doubled = snapshots
    layer.forward(x.copy())
    before = _copies(layer)
    layer.backward(-g)
    after = _copies(layer)
    changed = [
        path
        for path, array in after.items()
        if not np.array_equal(array, before.get(path)) and path not in {**roles["weights"], **roles["bias"]}
    ]
    for role in ROLES[2:]:
        for_weights = role == "weights gradient"

        def rank(path: Path, role: str = role) -> tuple[bool, ...]:
            steady = np.array_equal(first.get(path), second[path]) if path in second else False
            text = _text(path)
            return role_of(text) != role, not steady, not _is_gradient(path)

        fitting = [
            path
            for path in changed
            if (sorted(after[path].shape) == sorted((d, m)) if for_weights else _length(after[path]) == m)
        ]
        if d == 1:
            fitting = [
                path
                for path in fitting
                if (path in doubled and not np.array_equal(doubled[path], second.get(path))) == for_weights
            ]
        named = sorted(
            (path for path in changed if role_of(_text(path)) == role), key=lambda it: after[it].ndim
        )
        roles[role] = dict.fromkeys(sorted(fitting, key=rank)[:1] or named)


def _try_input(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return an input (n, d) and a gradient (n, m) that a layer takes, for sizes that its arrays suggest."""
    shapes = dict.fromkeys(array.shape for array in _arrays(layer).values() if array.ndim == 2)
    for sides in shapes:
        for d, m in dict.fromkeys([sides[::-1], sides]):
            # So many examples that nothing that has their number has the shape of a parameter.
            n = next(n for n in range(2, d + m + 3) if n not in (d, m) and not {n * d, n * m} & {m, d * m})
            x = 1.5 + np.sin(1 + np.arange(n * d)).reshape(n, d)
            try:
                output = np.asarray(layer.forward(x))
            except Exception:
                continue
            if output.shape == (n, m) and output.dtype.kind == "f":
                return x, np.cos(1 + np.arange(n * m)).reshape(n, m)
    raise ValueError("forward works with none of the sizes that the layer's arrays suggest")


def _run(layer: Any, x: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return what forward and backward return, None for a backward that does not work.

    They get copies, which a layer may keep, and which may be moved there.
    """
    output = np.array(layer.forward(x.copy()), dtype=np.float64)
    try:
        return output, np.array(layer.backward(g.copy()), dtype=np.float64)
    except Exception:
        return output, None


# The arrays that a layer holds.


def list_arrays(layer: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a layer's arrays by their names."""
    return {_text(path): array.shape for path, array in _arrays(layer).items()}


def _arrays(layer: Any) -> dict[Path, np.ndarray]:
    """Return the numeric arrays of a layer, those in its dicts, lists, tuples and objects too."""
    found: dict[Path, np.ndarray] = {}
    seen = {id(layer)}
    waiting: list[tuple[Path, Any]] = [((), layer)]
    while waiting and len(found) < MOST_ARRAYS:
        path, thing = waiting.pop(0)
        for step, value in _parts(thing):
            if isinstance(value, np.ndarray):
                if value.dtype.kind in "fiu":
                    found[(*path, step)] = value
            elif len(path) + 1 < DEEPEST and id(value) not in seen and _may_hold(value):
                seen.add(id(value))
                waiting.append(((*path, step), value))
    return found


def _copies(layer: Any) -> dict[Path, np.ndarray]:
    return {path: array.copy() for path, array in _arrays(layer).items()}


def _may_hold(value: Any) -> bool:
    """Say whether something may be where a layer keeps its parameters."""
    if isinstance(value, (dict, list, tuple)):
        return True
    nothing = (ModuleType, CodeType, FrameType, str, bytes, int, float, complex, np.generic)
    return not (value is None or isinstance(value, nothing) or callable(value))


def _parts(thing: Any) -> Iterator[tuple[tuple[str, Any], Any]]:
    """Yield what something holds, and the step that leads there."""
    if isinstance(thing, (dict, list, tuple)):
        items = thing.items() if isinstance(thing, dict) else enumerate(thing)
        yield from ((("item", key), value) for key, value in list(items)[:MOST_PARTS])
        return
    for name in sorted(dir(thing), key=lambda name: name.startswith("_")):  # what is private comes last
        if not name.startswith("__"):
            try:
                yield ("attribute", name), getattr(thing, name)
            except Exception:  # a property may raise anything, for instance before forward
                continue


def _text(path: Path) -> str:
    """Return a path as the student would write it."""
    first, *steps = path
    return first[1] + "".join(f".{name}" if kind == "attribute" else f"[{name!r}]" for kind, name in steps)


def _get(layer: Any, path: Path) -> Any:
    for kind, name in path:
        layer = getattr(layer, name) if kind == "attribute" else layer[name]
    return layer


def _write(layer: Any, path: Path, value: np.ndarray) -> None:
    """Give an array new numbers: others may refer to it, so it is written into, unless that does nothing."""
    array = _get(layer, path)
    if array.flags.writeable and array.dtype.kind == "f":
        array[...] = value
    if not np.allclose(_get(layer, path), value):
        _put(layer, path, value.copy())


def _put(layer: Any, path: Path, value: Any) -> None:
    *before, (kind, name) = path
    holder = _get(layer, tuple(before))
    if kind == "attribute":
        try:
            setattr(holder, name, value)
        except AttributeError:  # one that its class says is final
            object.__setattr__(holder, name, value)
    elif isinstance(holder, tuple):  # which is replaced by another
        items = [*holder[:name], value, *holder[name + 1 :]]
        _put(layer, tuple(before), holder._make(items) if hasattr(holder, "_make") else tuple(items))
    else:
        holder[name] = value


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


class ByModel(dict):
    """The same curve of both models, whatever they are called."""

    def __missing__(self, name):
        return self["custom"]


CURVES = {
    "one model": list,
    "a dictionary of both models": lambda curve: ByModel(pytorch=list(curve), custom=list(curve)),
    "a list of both models": lambda curve: [list(curve), list(curve)],
}
"""What ``plot`` may be given, as curves of both models belong into one figure."""


def draw(losses, accuracies, title, form):
    """Have ``fashion_mnist.plot`` draw, and describe each part of the figures that has a curve.

    Args:
        losses, accuracies: of each epoch; the first two parameters of ``plot``, or those so called.
        title: for any further parameter that must be given.
        form: of the curves, one of ``CURVES``.

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
    losses, accuracies, epochs = CURVES[form](losses), CURVES[form](accuracies), len(losses)
    for place, parameter in enumerate(inspect.signature(plot).parameters.values()):
        name = parameter.name.lower()
        if place >= 2 and (parameter.default is not parameter.empty or "*" in str(parameter)):
            break
        by_name = {"loss": losses, "acc": accuracies, "epoch": epochs}
        by_place = [losses, accuracies, title]
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
