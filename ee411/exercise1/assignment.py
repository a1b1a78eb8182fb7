"""EE-411, homework 3, exercise 1: a network's predictions, its loss and its gradient, in ``backprop.py``.

The handout bans nothing, and its hint is NumPy's. So NumPy and SciPy are there; PyTorch and others that
differentiate by themselves are not, since the gradient is to be derived by hand.
"""

from __future__ import annotations

from autograder.assignment import Assignment, Limits, Suite

LIMITS = Limits(wall=10, cpu=10, memory=256 * 2**20)
HIDDEN = ("torch", "torchvision", "jax", "tensorflow", "keras", "autograd", "tinygrad")

ASSIGNMENT = Assignment(
    title="EE-411, homework 3, exercise 1: backpropagation with the logistic loss",
    suites=(Suite("backprop", LIMITS, preload=("numpy", "scipy.special"), hidden_packages=HIDDEN),),
    solution="..",
    probe="arguments",
)
