"""How far the library is from PyTorch, measured on random numbers in float64."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from fashion_mnist import CustomMLPFashionMNIST, PytorchMLPFashionMNIST, suitable_threads
from q1 import CrossEntropyLossLayer, Dense, ReLULayer, SoftmaxLayer, TanhLayer

STEPS = 100
"""How many steps the networks are trained."""
BATCH_SIZE = 8


def difference_of_layers() -> float:
    """Return the largest difference of any output or gradient of a layer of ``q1.py``."""
    random = np.random.default_rng(0)
    x, grad = random.normal(size=(2, 32, 10))
    labels = random.integers(10, size=32)
    dense, linear = Dense(10, 10), nn.Linear(10, 10, dtype=torch.float64)
    load(linear, dense)
    pairs: list[tuple[Any, Any]] = []
    for ours, theirs in (
        (dense, linear),
        (ReLULayer(), nn.ReLU()),
        (TanhLayer(), nn.Tanh()),
        (SoftmaxLayer(), nn.Softmax(dim=-1)),
    ):
        theirs_x = torch.tensor(x, requires_grad=True)
        theirs_y = theirs(theirs_x)
        theirs_y.backward(torch.tensor(grad))
        pairs += [(ours.forward(x), theirs_y), (ours.backward(grad), theirs_x.grad)]
    pairs += [(dense.dW, linear.weight.grad), (dense.db, linear.bias.grad)]

    for loss, prediction, log_p in (
        (CrossEntropyLossLayer(), SoftmaxLayer().forward(x), torch.log),
        (CrossEntropyLossLayer(from_logits=True), x, nn.LogSoftmax(dim=1)),
    ):
        theirs_x = torch.tensor(prediction, requires_grad=True)
        theirs_loss = nn.functional.nll_loss(log_p(theirs_x), torch.tensor(labels))
        theirs_loss.backward()
        pairs += [(loss.forward(prediction, labels), theirs_loss), (loss.backward(), theirs_x.grad)]
    return largest_difference(pairs)


def difference_of_networks() -> float:
    """Return the largest difference of any parameter, of the handout's network after ``STEPS`` of SGD."""
    random = np.random.default_rng(0)
    ours, theirs = CustomMLPFashionMNIST(dtype=np.float64), PytorchMLPFashionMNIST().double()
    load(theirs, ours)
    our_loss, their_loss = CrossEntropyLossLayer(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    with suitable_threads(BATCH_SIZE, numpy=True):
        for _ in range(STEPS):
            images = random.uniform(-1, 1, (BATCH_SIZE, 1, 28, 28))
            labels = random.integers(10, size=BATCH_SIZE)
            our_loss.forward(ours.forward(images), labels)
            ours.backward(our_loss.backward())
            ours.update(0.1)
            optimizer.zero_grad()
            their_loss(theirs.logits(torch.tensor(images)), torch.tensor(labels)).backward()
            optimizer.step()
    theirs_state = theirs.state_dict()
    return largest_difference((array, theirs_state[name]) for name, array in ours.state_dict().items())


def load(theirs: nn.Module, ours: Any) -> None:
    """Give a module of PyTorch the parameters of ours."""
    theirs.load_state_dict({name: torch.tensor(np.array(array)) for name, array in ours.state_dict().items()})


def largest_difference(pairs: Iterable[tuple[Any, Any]]) -> float:
    """Return the largest difference of any number in any pair of an array and a tensor."""
    return max(float(np.abs(np.asarray(ours) - theirs.detach().numpy()).max()) for ours, theirs in pairs)
