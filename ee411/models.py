"""The handout's two models, with logits as their output (exercises 2.2 to 2.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn


def make_mlp() -> nn.Sequential:
    """Return the MLP of exercise 2.2: two hidden layers of 100 units with ReLU, 89,610 parameters."""
    return nn.Sequential(
        nn.Flatten(),
        *(nn.Linear(784, 100), nn.ReLU()),
        *(nn.Linear(100, 100), nn.ReLU()),
        nn.Linear(100, 10),
    )


def make_cnn() -> nn.Sequential:
    """Return the CNN of exercise 2.3: convolutions of 16, 32 and 64 channels, 29,066 parameters.

    The handout leaves the padding open. With 1 a convolution keeps the image's size, so that the three
    poolings make 28 → 14 → 7 → 3, and the linear layer gets 64 · 3 · 3 = 576 features; without padding only
    64 would be left of 28 → 13 → 5 → 1.
    """
    return nn.Sequential(
        *(nn.Conv2d(1, 16, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        nn.Linear(576, 10),
    )


MODELS: dict[str, Callable[[], nn.Sequential]] = {"mlp": make_mlp, "cnn": make_cnn}


def make_model(
    name: str, seed: int, models: Mapping[str, Callable[[], nn.Sequential]] = MODELS
) -> nn.Sequential:
    """Return one of some models with PyTorch's usual initial weights, the same ones for the same seed.

    Raises:
        ValueError: there is no model of that name.
    """
    if name not in models:
        raise ValueError(f"expected the model to be one of {', '.join(models)}, got {name!r}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return models[name]()


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers a model learns (exercise 2.4)."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
