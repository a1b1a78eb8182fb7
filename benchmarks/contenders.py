"""The contenders: each trains the same network for an epoch on the same data, in its own way.

    python -m benchmarks.contenders pytorch --batch-size 8 --epochs 2

trains one of them in this process and prints its seconds per epoch as JSON. An epoch is what the public
``train`` of the two models does: every training batch once, in an order of its own, then the accuracy on
the validation set. The floors do less: they are what any NumPy implementation has to do. Where batches are so
small that the two models keep to one thread, all do.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_info
from torch.func import grad_and_value
from torch.nn.functional import cross_entropy, linear
from torch.utils.data import Subset

from fashion_mnist import (
    BatchLoader,
    CustomMLPFashionMNIST,
    FashionMNIST,
    PytorchMLPFashionMNIST,
    suitable_threads,
)

LEARNING_RATE = 0.002
Epoch = Callable[[], Any]


def custom(data: FashionMNIST, width: int) -> Epoch:
    """Train our own model."""
    model = CustomMLPFashionMNIST(hidden_size1=width)
    return lambda: model.train(data, lr=LEARNING_RATE)


def pytorch(data: FashionMNIST, width: int) -> Epoch:
    """Train the PyTorch model as it is, operation by operation."""
    model = PytorchMLPFashionMNIST(hidden_size1=width)
    return lambda: model.train(data, lr=LEARNING_RATE)


def pytorch_expert(data: FashionMNIST, width: int) -> Epoch:
    """Train with PyTorch as an expert would: the whole step compiled, nothing read back before the end.

    Forward, loss, backward and update are one compiled function, so that the update needs no optimiser of its
    own; the epoch's images are gathered at once, and batches are slices of them.
    """
    custom = CustomMLPFashionMNIST(hidden_size1=width).state_dict()
    parameters = {name: torch.tensor(np.array(array)) for name, array in custom.items()}
    images, labels = data.train_dataset.dataset.tensors
    indices = torch.tensor(data.train_dataset.indices)
    validation = (tensor[data.val_dataset.indices] for tensor in (images, labels))
    val_images, val_labels = (tensor.split(1000) for tensor in validation)

    def logits(parameters: Any, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        for place in (0, 2, 4):
            x = linear(x, parameters[f"layers.{place}.weight"], parameters[f"layers.{place}.bias"])
            x = x.relu() if place < 4 else x
        return x

    def loss(parameters: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits(parameters, x), y)

    @torch.compile(dynamic=False)
    def step(parameters: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        gradients, value = grad_and_value(loss)(parameters, x, y)
        for name, gradient in gradients.items():
            parameters[name].sub_(gradient, alpha=LEARNING_RATE)
        return value

    @torch.compile(dynamic=False)
    def correct(parameters: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (logits(parameters, x).argmax(dim=1) == y).sum()

    @torch.no_grad()
    def epoch() -> tuple[float, float]:
        order = indices[torch.randperm(len(indices))]
        batches = zip(images[order].split(data.batch_size), labels[order].split(data.batch_size), strict=True)
        total = torch.stack([step(parameters, x, y) * len(y) for x, y in batches]).sum()
        right = [correct(parameters, x, y) for x, y in zip(val_images, val_labels, strict=True)]
        return total.item(), torch.stack(right).sum().item() / len(data.val_dataset)

    return epoch


def jax(data: FashionMNIST, width: int) -> Epoch:
    """Train with JAX: one jitted function does forward, loss, backward and update."""
    if data.batch_size < 32:  # where suitable_threads keeps the others to one thread
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        os.environ["NPROC"] = "1"
    import jax
    import jax.numpy as jnp

    network: Any = CustomMLPFashionMNIST(hidden_size1=width).layers
    weights = [layer.state_dict() for layer in network if layer.state_dict()]
    parameters = [(jnp.array(np.array(w["weight"].T)), jnp.array(np.array(w["bias"]))) for w in weights]

    def logits(parameters: Any, x: Any) -> Any:
        *hidden, (w_last, b_last) = parameters
        for w, b in hidden:
            x = jax.nn.relu(x @ w + b)
        return x @ w_last + b_last

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        log_p = jax.nn.log_softmax(logits(parameters, x))
        return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()

    @jax.jit
    def step(parameters: Any, x: Any, y: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(parameters, x, y)
        return value, jax.tree.map(lambda p, g: p - LEARNING_RATE * g, parameters, gradients)

    predict = jax.jit(lambda parameters, x: logits(parameters, x).argmax(axis=1))

    def epoch() -> tuple[float, float]:
        nonlocal parameters
        total = 0.0
        for images, labels in data.train_loader.arrays():
            value, parameters = step(parameters, images.reshape(len(images), -1), labels.astype(np.int32))
            total += float(value) * len(labels)
        correct = count = 0
        for images, labels in data.val_loader.arrays(1000):
            predicted = predict(parameters, images.reshape(len(images), -1))
            correct += int((np.asarray(predicted) == labels).sum())
            count += len(labels)
        return total, correct / count

    return epoch


def scikit_learn(data: FashionMNIST, width: int) -> Epoch:
    """Train scikit-learn's MLPClassifier, an epoch of plain SGD per ``partial_fit``."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        (width, 128),
        solver="sgd",
        momentum=0,
        alpha=0,
        learning_rate_init=LEARNING_RATE,
        batch_size=data.batch_size,
    )

    def whole(loader: Any) -> tuple[Any, Any]:
        images, labels = zip(*loader.arrays(), strict=True)
        return np.concatenate(images).reshape(len(loader.dataset), -1), np.concatenate(labels)

    train, val = whole(data.train_loader), whole(data.val_loader)

    def epoch() -> float:
        model.partial_fit(*train, classes=range(10))
        return model.score(*val)

    return epoch


def products(data: FashionMNIST, width: int, update: bool = False, validate: bool = False) -> Epoch:
    """Do nothing but the eight matrix products of a step, on the same arrays again and again.

    The products are those of the custom model, with as many threads as that finds to be fastest.
    """
    random = np.random.default_rng(0)

    def array(*shape: int) -> Any:
        return random.standard_normal(shape, dtype=np.float32)

    sizes = list(itertools.pairwise((784, width, 128, 10)))
    x = [array(data.batch_size, inputs) for inputs, _ in sizes]
    y_grad = [array(data.batch_size, outputs) for _, outputs in sizes]
    x_grad = [np.empty_like(inputs) for inputs in x]
    w = [array(outputs, inputs) for inputs, outputs in sizes]
    w_grad = [np.zeros_like(weights) for weights in w]
    transposed = data.batch_size < 128  # as in Dense.forward
    y = [np.empty_like(gradient.T if transposed else gradient) for gradient in y_grad]
    x_val = [array(1000, inputs) for inputs, _ in sizes]
    product = np.multiply if data.batch_size == 1 else np.matmul

    def step() -> None:
        for i in range(len(w)):
            np.matmul(w[i], x[i].T, out=y[i]) if transposed else np.matmul(x[i], w[i].T, out=y[i])
        for i in reversed(range(len(w))):
            product(y_grad[i].T, x[i], out=w_grad[i])
            if i:
                np.matmul(y_grad[i], w[i], out=x_grad[i])
        if update:
            for weights, gradient in zip(w, w_grad, strict=True):
                np.subtract(weights, gradient, out=weights)

    def epoch() -> None:
        with suitable_threads(data.batch_size, numpy=True) as note:
            before = time.perf_counter()
            for _ in range(len(data.train_loader)):
                step()
                now = time.perf_counter()
                note(now - before)
                before = now
            for _ in range(math.ceil(len(data.val_dataset) / 1000) if validate else 0):
                for inputs, weights in zip(x_val, w, strict=True):
                    np.matmul(inputs, weights.T)

    return epoch


def same_work(data: FashionMNIST, width: int) -> Epoch:
    """Do the products, one pass over the parameters as an update has it, and the products of validation."""
    return products(data, width, update=True, validate=True)


class Contender(NamedTuple):
    """What a table calls a contender, what makes its epoch, and whether that computes with NumPy's BLAS."""

    label: str
    make_epoch: Callable[[FashionMNIST, int], Epoch]
    numpy: bool = False


CONTENDERS = {
    "custom": Contender("custom (NumPy)", custom, numpy=True),
    "pytorch": Contender("PyTorch", pytorch),
    "pytorch-expert": Contender("PyTorch, whole step compiled", pytorch_expert),
    "jax": Contender("JAX, jit", jax),
    "scikit-learn": Contender("scikit-learn MLPClassifier", scikit_learn),
    "products": Contender("floor: matrix products", products, numpy=True),
    "same-work": Contender("floor: products, update, validation", same_work, numpy=True),
}
"""The contenders by name."""


def resize(data: FashionMNIST, factor: float) -> None:
    """Make the training set smaller, or larger by going through its images several times an epoch."""
    indices = np.resize(data.train_dataset.indices, round(factor * len(data.train_dataset))).tolist()
    data.train_dataset = Subset(data.train_dataset.dataset, indices)
    data.train_loader = BatchLoader(data.train_dataset, data.batch_size, data.train_loader.seed)


def peak_memory() -> float:
    """Return the most memory that this process has had so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**10 if sys.platform == "linux" else 2**20)


def main() -> None:
    """Time one contender and print a line of JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.contenders", description="Time one contender in this process."
    )
    parser.add_argument(
        "contender", choices=CONTENDERS, metavar="NAME", help=f"one of {', '.join(CONTENDERS)}"
    )
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--width", type=int, default=256, help="of the first hidden layer")
    parser.add_argument("--images", type=float, default=1, help="size of the training set, 1 as it is")
    parser.add_argument("--epochs", type=int, default=2, help="timed epochs, after one that is not timed")
    parser.add_argument("--dataset", default="fashion-mnist")
    options = parser.parse_args()
    before = peak_memory()
    data = FashionMNIST(options.batch_size, dataset=options.dataset)
    if options.images != 1:
        resize(data, options.images)
    seconds = []
    if options.contender not in ("custom", "products", "same-work") and options.batch_size < 32:
        torch.set_num_threads(1)
    epoch = CONTENDERS[options.contender].make_epoch(data, options.width)
    for _ in range(options.epochs + 1):
        start = time.perf_counter()
        epoch()
        seconds.append(time.perf_counter() - start)
    peak = peak_memory()
    kernels = sorted({pool["architecture"] for pool in threadpool_info() if "architecture" in pool})
    measured = {
        "seconds": seconds[1:],
        "peak_mb": round(peak),
        "peak_mb_over_imports": round(peak - before),
        "blas_kernels": kernels,
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
