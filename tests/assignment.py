"""Assignment 4: layers, a multi-layer perceptron, and their training on Fashion-MNIST (the first handout)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from dataset import provide

from autograder.assignment import Assignment, Limits, Suite
from autograder.sandbox import MIB


def references(modules: Collection[str]) -> Any:
    """Return the reference layers that answer for the stand-ins of some modules."""
    from reference import References  # it imports the solution, which a description need not

    return References(modules)


LIGHT = Limits(wall=10, cpu=10, memory=256 * MIB)
# A typical FashionMNIST holds all images as float32 several times over while it gets ready: about 470 MiB.
HEAVY = Limits(wall=60, cpu=60, memory=512 * MIB)
HIDDEN = ("torch", "torchvision", "jax", "tensorflow", "keras", "autograd", "tinygrad")
OPTIONAL = ("scipy", "sklearn", "pandas", "seaborn", "PIL", "IPython", "plotly", "tqdm", "torchinfo")

ASSIGNMENT = Assignment(
    title="Assignment 4: a deep-learning library in NumPy",
    suites=(
        Suite("q1", LIGHT, hidden_packages=HIDDEN, optional_packages=OPTIONAL),
        Suite("q2", LIGHT, hidden_packages=HIDDEN, optional_packages=OPTIONAL, stand_ins=("q1",)),
        Suite(
            "fashion_mnist",
            HEAVY,
            preload=(
                *("numpy", "no_compiler", "torchvision_operators", "torchvision", "matplotlib.pyplot"),
                *("no_screen", "data_root"),
            ),
            optional_packages=OPTIONAL,
            data=provide,
            stand_ins=("q1", "q2"),
        ),
    ),
    solution="..",
    probe="probe",
    helpers=("standins", "torchvision_operators", "no_screen", "no_compiler", "data_root"),
    stand_ins="standins",
    references=references,
    requirements=("../requirements.txt", "requirements.txt"),
)
