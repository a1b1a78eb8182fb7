"""Where the time of a training step goes: each call by itself, next to the matrix products inside it."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from typing import Any

import numpy as np

from fashion_mnist import CustomMLPFashionMNIST, FashionMNIST, accuracy, before_softmax
from q1 import CrossEntropyLossLayer, Dense


def time_step(data: FashionMNIST) -> dict[str, tuple[float, float]]:
    """Time the calls of one training step of the custom model.

    Args:
        data: where the batch comes from.

    Returns:
        For each call, in order, its microseconds and those of its floor: the matrix products alone, and for
        the update one pass over the parameters. Below the calls their sum, and what an epoch does besides,
        divided by its steps.
    """
    model = CustomMLPFashionMNIST()
    network: Any = before_softmax(model.layers)
    criterion = CrossEntropyLossLayer(from_logits=True)
    batch, labels = next(data.train_loader.arrays())
    inputs = [np.array(batch.reshape(len(batch), -1))]
    times: dict[str, tuple[float, float]] = {}

    for layer in network:
        x = inputs[-1]
        y = np.array(layer.forward(x))
        floor = 0.0
        if isinstance(layer, Dense):  # the product that it takes for a batch of this size
            factors = (layer.W, x.T) if len(x) < 128 else (x, layer.W.T)
            floor = microseconds(np.matmul, *factors)
        times[f"forward {place_of(layer, network)}"] = microseconds(layer.forward, x), floor
        inputs.append(y)
    times["loss"] = microseconds(criterion.forward, inputs.pop(), labels), 0.0
    times["gradient of the loss"] = microseconds(criterion.backward, 0.0), 0.0
    gradient = criterion.backward(0.0)  # so that the weights stay as they are
    for layer in reversed(network):
        g, x = np.array(gradient), inputs.pop()
        layer.forward(x)
        backward = layer.backward if inputs else layer.backward_parameters  # nobody asks for the images'
        floor = microseconds(np.matmul, g.T, x, out=layer.dW) if isinstance(layer, Dense) else 0.0
        if isinstance(layer, Dense) and inputs:
            floor += microseconds(np.matmul, g, layer.W, out=x.copy())
        times[f"backward {place_of(layer, network)}"] = microseconds(backward, g), floor
        gradient = layer.backward(g)
    dense = [layer for layer in network if isinstance(layer, Dense)]
    floor = sum(microseconds(np.subtract, layer.W, layer.dW, out=layer.W) for layer in dense)
    times["update"] = microseconds(model.update, 1), floor

    calls, floors = (sum(column) for column in zip(*times.values(), strict=True))
    steps = len(data.train_loader)
    loading = microseconds(lambda: [None for _ in data.train_loader.arrays()], number=1) / steps
    validation = microseconds(accuracy, model, data.val_loader, number=1) / steps
    return {
        **times,
        "together": (calls, floors),
        "loading": (loading, 0.0),
        "validation": (validation, 0.0),
        "all of it": (calls + loading + validation, floors),
    }


def place_of(layer: Any, network: Any) -> str:
    """Name a layer, also if there are several of a kind."""
    return f"{list(network).index(layer)}: {layer}"


def microseconds(function: Callable[..., Any], *args: Any, number: int = 200, **kwargs: Any) -> float:
    """Return how long a call takes: the shortest of several averages."""
    call = timeit.Timer(lambda: function(*args, **kwargs))
    return min(call.repeat(repeat=7, number=number)) / number * 1e6
