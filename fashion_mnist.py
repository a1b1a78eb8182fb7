"""Fashion-MNIST with two models, PyTorch's and our own, that compute the same (handout, section 3).

The file reads from top to bottom as the data flow: find and check the data set, batch it, train one model
in PyTorch and one of the layers of ``q1.py`` and ``q2.py``, draw curves, keep the results of runs, do the
handout's experiments, and last the command line:

    python fashion_mnist.py                     both models, 10 epochs, learning rate 0.002
    python fashion_mnist.py learning-rates      section 3.1: three learning rates, six figures
    python fashion_mnist.py architectures       section 3.2: ten architectures, one table
    python fashion_mnist.py all                 all of it
    python fashion_mnist.py all --seeds 3       all of it three times, as means and standard deviations
"""

from __future__ import annotations

import argparse
import base64
import csv
import functools
import gzip
import hashlib
import inspect
import io
import itertools
import json
import math
import multiprocessing
import operator
import os
import re
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import dacite
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.backends import BackendFilter, backend_registry
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike, DTypeLike
from tabulate import tabulate
from threadpoolctl import ThreadpoolController
from torch import nn
from torch.utils.data import Subset, TensorDataset
from tqdm import tqdm

from q1 import (
    CrossEntropyLossLayer,
    Dense,
    FloatArray,
    Layer,
    ReLULayer,
    SoftmaxLayer,
    as_float_array,
    detached,
)
from q2 import MLP

# The data set: find it, check it, fetch it ---------------------------------------------------------

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
DATASETS = ("fashion-mnist", "synthetic")
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
DEBIAN_PACKAGE = "dataset-fashion-mnist"
IDX_FILES = {  # the sha256 sum of each when it is not gzipped
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
LARGEST_IDX_FILE = 16 + 60_000 * 28 * 28


class DataError(RuntimeError):
    """The data set is missing, incomplete or not what it should be."""


def read_idx_file(path: Path, name: str, check_sum: bool = True) -> FloatArray:
    """Read one of ``IDX_FILES``, gzipped or not: uint8 (n, 28, 28) or (n,). Any wrong byte is a DataError."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            content = file.read(LARGEST_IDX_FILE + 1)  # and no more, whatever a gzip file would swell to
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: expected a whole gzip file, got one with an error: {error}") from error
    found, expected = hashlib.sha256(content).hexdigest(), IDX_FILES[name]
    if check_sum and found != expected:
        size = f"{min(len(content), LARGEST_IDX_FILE)} bytes{' and more' * (len(content) > LARGEST_IDX_FILE)}"
        raise DataError(f"{path}: expected {name} with the sha256 sum {expected}, got {size} with {found}")
    axes = content[3]  # the header: two zeros, the type of the numbers, how many axes, the axes
    shape = np.frombuffer(content, ">i4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def find_idx_files(folder: Path) -> dict[str, Path] | None:
    """Return where the four files are in a folder, or in torchvision's FashionMNIST/raw below it, or None.

    They may be gzipped or not. If but some are there, that is a DataError.
    """
    for place in (folder, folder / "FashionMNIST" / "raw"):
        paths = {name: (place / name, place / f"{name}.gz") for name in IDX_FILES}
        found = {name: path for name in paths for path in reversed(paths[name]) if path.is_file()}
        missing = [name for name in IDX_FILES if name not in found]
        if found and missing:
            raise DataError(f"{place}: expected {len(IDX_FILES)} files, got all but {', '.join(missing)}")
        if found:
            return found
    return None


def load_idx_files(
    data_dir: str | os.PathLike[str] | None = None, check_sums: bool = True
) -> list[FloatArray]:
    """Load the real Fashion-MNIST from the first place that has it, or fetch it: the arrays of ``IDX_FILES``.

    The places: ``data_dir``, or if that is None ``$FASHION_MNIST_DIR``; ``./data``; the folder of the
    Debian package. Else torchvision downloads it, and where that fails apt-get does; it is then kept in
    ``data_dir`` (by default ``./data``).

    Raises:
        DataError: it is nowhere to be had, or a place has it but not whole.
    """
    own = data_dir or os.environ.get("FASHION_MNIST_DIR")
    target = Path(os.path.expanduser(own or "data"))
    folders = dict.fromkeys([target, Path("data"), DEBIAN_FOLDER])
    for folder in folders:
        if paths := find_idx_files(folder):
            if own and folder != target:
                print(f"Fashion-MNIST is not in {target}; it is taken from {folder}", file=sys.stderr)
            return [read_idx_file(path, name, check_sums) for name, path in paths.items()]
    failures = []
    for fetch in (fetch_with_torchvision, fetch_with_apt):
        try:
            target.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetched-", dir=target) as fetched:
                if not (paths := find_idx_files(fetch(Path(fetched)))):
                    raise DataError("the files were not in what came")
                arrays = [read_idx_file(path, name) for name, path in paths.items()]
                (target / "FashionMNIST").mkdir(exist_ok=True)
                next(iter(paths.values())).parent.rename(target / "FashionMNIST" / "raw")
            return arrays
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            failures.append(f"  {fetch.__name__}: {' '.join(str(error).split())}")
    raise DataError(
        f"Fashion-MNIST was not found in {', '.join(map(str, folders))}, and fetching it failed:\n"
        + "\n".join(failures)
        + "\nTo provide it, do one of these:\n"
        f"  put {', '.join(IDX_FILES)} (or .gz) into a folder and name it with\n"
        "    --data-dir or the environment variable FASHION_MNIST_DIR\n"
        "  put them into ./data\n"
        f"  install the Debian or Ubuntu package: apt-get install {DEBIAN_PACKAGE}\n"
        "  run this once where the network is reachable, and copy ./data from there"
    )


def fetch_with_torchvision(folder: Path) -> Path:
    """Download the data set into a folder as torchvision does, from its mirrors in turn."""
    datasets = import_torchvision().datasets
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)  # torchvision sets none: a mirror that does not answer would hang it
    try:
        datasets.FashionMNIST(folder, download=True)
    finally:
        socket.setdefaulttimeout(patience)
    return folder


def fetch_with_apt(folder: Path) -> Path:
    """Fetch and unpack the Debian package in a folder; neither needs root nor changes the system."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise DataError("there is no apt-get here")
    apt = ["apt-get", "-q", "-o", f"Dir::Cache={folder.resolve() / 'cache'}"]
    own_lists = ["-o", f"Dir::State::lists={folder.resolve() / 'lists'}", "-o", "Debug::NoLocking=1"]
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    (folder / "lists" / "partial").mkdir(parents=True)

    def run(*command: str) -> None:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, encoding="utf-8", errors="replace", timeout=300
        )
        if done.returncode != 0:
            raise DataError(f"{command[0]} failed: {done.stderr or done.stdout}")

    try:
        run(*apt, "download", DEBIAN_PACKAGE)
    except DataError:  # a fresh container knows of no packages yet; lists in a folder of our own mend that
        run(*apt, *own_lists, "update")
        run(*apt, *own_lists, "download", DEBIAN_PACKAGE)
    for package in folder.glob("*.deb"):
        run("dpkg-deb", "-x", package.name, "unpacked")
    return folder / "unpacked" / DEBIAN_FOLDER.relative_to("/")


@functools.cache
def import_torchvision() -> Any:
    """Import torchvision, also where it was built for other hardware than the torch beside it.

    Its import then fails for want of two operators, which neither data sets nor transforms use; with
    their names declared it goes through. A pair that matches never comes to that.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision

        torchvision.declared_operators = library  # they are gone when the library is
    return torchvision


@functools.lru_cache(maxsize=1)
def load_images(dataset: str, data_dir: str | None = None, check_sums: bool = True) -> tuple[FloatArray, ...]:
    """Load a data set by its name; a ValueError if there is no such one, a DataError if it can't be had.

    First come training images (n, 1, 28, 28), float32 in [-1, 1], and labels (n,), int64, then those to test.
    """
    if dataset not in DATASETS:
        raise ValueError(f"expected dataset to be one of {', '.join(DATASETS)}, got {dataset!r}")
    arrays = make_synthetic_images() if dataset == "synthetic" else load_idx_files(data_dir, check_sums)
    return tuple(scale_pixels(array) if array.ndim == 3 else array.astype(np.int64) for array in arrays)


def scale_pixels(images: Any) -> FloatArray:
    """Scale images of 28 × 28 pixels, 0 (background) to 255, to what the models are fed with.

    One or several, as an array, a tensor or an image of PIL's, come out as (n, 1, 28, 28) float32 in [-1, 1];
    another size, or numbers of another range such as 0 to 1, are a ValueError.
    """
    pixels = np.asarray(detached(images))
    if pixels.shape[-2:] != (28, 28) or pixels.dtype.kind not in "uif":
        raise ValueError(f"expected images of 28 × 28 pixels, got {pixels.dtype} of shape {pixels.shape}")
    if pixels.size and not (pixels.min() >= 0 and (1 < pixels.max() <= 255 or pixels.max() == 0)):
        raise ValueError(f"expected pixels of 0 (background) to 255, got {pixels.min()} to {pixels.max()}")
    scaled = pixels.reshape(-1, 1, 28, 28).astype(np.float32)
    scaled /= 255
    scaled -= 0.5
    scaled /= 0.5
    return scaled


def make_synthetic_images(train_size: int = 2_000, test_size: int = 500) -> list[FloatArray]:
    """Make a small data set of ten learnable classes: coarse random patterns, shifted a little, with noise.

    First come training images (n, 28, 28) and labels (n,), then those to test, all uint8.
    """
    random = np.random.RandomState(0)
    patterns = np.kron(random.uniform(0, 255, (len(CLASSES), 7, 7)), np.ones((4, 4)))

    def draw(size: int) -> list[FloatArray]:
        labels = random.randint(len(CLASSES), size=size)
        shifts = random.randint(-2, 3, (size, 2))
        shifted = [np.roll(patterns[label], by, (0, 1)) for label, by in zip(labels, shifts, strict=True)]
        images = np.clip(shifted + random.normal(0, 60, (size, 28, 28)), 0, 255)
        return [images.astype(np.uint8), labels.astype(np.uint8)]

    return draw(train_size) + draw(test_size)


# Batches -------------------------------------------------------------------------------------------


class BatchLoader:
    """Goes through a data set in batches (counterpart: ``torch.utils.data.DataLoader``).

    It gathers about a thousand images at a time and hands out slices, with NumPy alone: PyTorch's threads go
    on spinning for a while after every parallel operation, and would take the cores away from NumPy's.

    Args:
        dataset: pairs of an image and a label.
        batch_size: how many of them make a batch; the last one has what is left.
        seed: with a seed, the order is shuffled, anew in each ``epoch``; None keeps it.
    """

    gathered_at_once = 1024

    def __init__(self, dataset: Subset[Any], batch_size: int, seed: int | None = None) -> None:
        images, labels = dataset.dataset.tensors
        self.dataset, self.batch_size, self.seed, self.epoch = dataset, batch_size, seed, 0
        self._images, self._labels = images.numpy(), labels.numpy()
        self._indices = np.asarray(dataset.indices)

    def __len__(self) -> int:
        return math.ceil(len(self._indices) / self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next (as with ``torch.utils.data.DistributedSampler``)."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Go through one epoch, as images (B, 1, 28, 28) float32 and labels (B,) int64."""
        for images, labels in self.arrays():
            yield torch.from_numpy(images), torch.from_numpy(labels)

    def arrays(self, batch_size: int | None = None) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Go through one epoch as NumPy arrays, perhaps in batches of another size."""
        size = batch_size or self.batch_size
        order = self._indices
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(order)
        self.epoch += 1
        gathered = size * max(1, self.gathered_at_once // size)
        for start in range(0, len(order), gathered):
            chosen = order[start : start + gathered]
            images, labels = self._images.take(chosen, axis=0), self._labels.take(chosen)
            for first in range(0, len(chosen), size):
                yield images[first : first + size], labels[first : first + size]


class FashionMNIST:
    """Fashion-MNIST in batches: 48,000 images to train, 12,000 to validate, 10,000 to test.

    Args:
        batch_size: how many images make a batch, a whole number >= 1; else a ValueError.
        val_perc: the share of the 60,000 training images that is set aside for validation, in [0, 1), else
            a ValueError; with 0 or None there is no validation.
        seed: fixes which images those are, and in which order the rest come, anew in each epoch.
        data_dir: the folder with the files, or where they are put once fetched (see ``load_idx_files``).
        dataset: "fashion-mnist", or "synthetic" for a small made-up set.
        check_sums: whether files in which any byte is not the real set's are refused.

    Attributes:
        train_loader, val_loader, test_loader: iterate over images (B, 1, 28, 28), float32 in [-1, 1], and
            labels (B,), int64.
        train_dataset, val_dataset, test_dataset: what they go through.
    """

    def __init__(
        self,
        batch_size: int = 8,
        val_perc: float | None = 0.2,
        seed: int = 0,
        data_dir: str | os.PathLike[str] | None = None,
        dataset: str = "fashion-mnist",
        check_sums: bool = True,
    ) -> None:
        if not isinstance(batch_size, (int, np.integer)) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError(f"FashionMNIST: expected batch_size, a whole number >= 1, got {batch_size!r}")
        if not 0 <= (val_perc or 0) < 1:
            raise ValueError(f"FashionMNIST: expected 0 <= val_perc < 1, got {val_perc!r}")
        self.batch_size, self.val_perc, self.dataset = batch_size, val_perc, dataset
        images = load_images(dataset, None if data_dir is None else str(data_dir), check_sums)
        train, test = (TensorDataset(*map(torch.from_numpy, part)) for part in (images[:2], images[2:]))
        val_size = round((val_perc or 0) * len(train))
        if val_size == len(train):
            raise ValueError(f"FashionMNIST: expected val_perc to leave training images, got {val_perc!r}")
        val_indices, train_indices = np.split(np.random.default_rng(seed).permutation(len(train)), [val_size])
        self.train_dataset = Subset(train, train_indices.tolist())
        self.val_dataset = Subset(train, val_indices.tolist())
        self.test_dataset = Subset(test, range(len(test)))
        self.train_loader = BatchLoader(self.train_dataset, batch_size, seed)
        self.val_loader = BatchLoader(self.val_dataset, batch_size)
        self.test_loader = BatchLoader(self.test_dataset, batch_size)


# The two models ------------------------------------------------------------------------------------

LARGEST_LEARNING_RATE = float(np.finfo(np.float32).max)
Progress: TypeAlias = Callable[[int, float], None]
"""Called now and then while training, with the batches since the last call and the mean loss so far."""


class MLPFashionMNIST:
    """What both models are: 784 → 256 → 128 → 10, ReLU in between, softmax at the end.

    Args:
        input_size: the pixels of an image.
        hidden_size1, hidden_size2: the widths of the hidden layers; None leaves the second one out.
        output_size: the number of classes.

    Attributes:
        layers: the network; another one may take its place, with a softmax at its end or without.
        epoch_seconds, epoch_cpu_seconds: what each epoch of ``train`` took, validation not counted.
    """

    layers: Any

    def logits(self, input: Any) -> Any:
        """Return the output, (N, 10), without the softmax that may stand at the end of ``layers``."""
        with replaced_layers(self, before_softmax(self.layers)):
            return self(input)  # type: ignore[operator]

    def test(self, data: Any) -> float:
        """Return the accuracy on the test set."""
        return accuracy(self, data.test_loader)


class PytorchMLPFashionMNIST(MLPFashionMNIST, nn.Module):
    """The handout's network in PyTorch; arguments and attributes are those of ``MLPFashionMNIST``.

    Besides there is ``optimizer``: None, for plain SGD with ``train``'s learning rate; or one of PyTorch's,
    with its own.
    """

    def __init__(
        self,
        input_size: int = 784,
        hidden_size1: int = 256,
        hidden_size2: int | None = 128,
        output_size: int = 10,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairs_of_sizes(input_size, hidden_size1, hidden_size2, output_size):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1], nn.Softmax(dim=-1))
        self.optimizer: torch.optim.Optimizer | None = None
        self.epoch_seconds: list[float] = []
        self.epoch_cpu_seconds: list[float] = []

    def forward(self, input: Any) -> torch.Tensor:
        """Return the output (N, 10) for images (N, 1, 28, 28) or (N, 784); by default the probabilities."""
        return self.layers(self._read(input))

    def _read(self, images: Any) -> torch.Tensor:
        """Return images as rows of pixels, on the device and of the dtype of the parameters."""
        if not isinstance(images, torch.Tensor):
            images = torch.tensor(np.ascontiguousarray(as_float_array(images)))
        like = next(self.parameters(), images)
        if like.is_meta:
            raise ValueError(f"{type(self).__name__}: expected a device with numbers, got {like.device}")
        return images.flatten(1).to(like)

    def train(
        self,
        data: Any = True,
        criterion: Any = None,
        lr: float = 0.002,
        progress: Progress | None = None,
        *,
        mode: bool | None = None,
    ) -> Any:
        """Train for one epoch with plain SGD, then measure the accuracy on the validation set.

        With a bool, as data or as mode, it is PyTorch's switch between training and evaluation, and returns
        the model.

        Args:
            data: a FashionMNIST, or anything with such loaders; a ``val_loader`` need not be there.
            criterion: the loss, of logits and labels, by default ``nn.CrossEntropyLoss()``; a
                ``nn.NLLLoss`` gets log-probabilities.
            lr: the learning rate.
            progress: called about 50 times (see ``Progress``).
            mode: PyTorch's name for the switch.

        Returns:
            The epoch's mean training loss and the validation accuracy after it, NaN without validation set.

        Raises:
            ValueError: lr is negative or not finite, there are no batches, or optimizer is another model's.
            TypeError: the criterion is none for logits and labels.
        """
        data = data if mode is None else mode
        if isinstance(data, bool):
            return super().train(data)
        check_training(data, lr)
        criterion = nn.CrossEntropyLoss() if criterion is None else criterion
        of_labels = isinstance(criterion, (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss))
        of_others = isinstance(criterion, (type, Layer, nn.modules.loss._Loss)) and not of_labels
        if of_others or not callable(criterion):
            raise TypeError(f"train: expected a criterion such as nn.CrossEntropyLoss(), got {criterion!r}")
        wants_log_p = isinstance(criterion, nn.NLLLoss) or criterion is nn.functional.nll_loss
        sums = getattr(criterion, "reduction", "mean") == "sum"
        optimizer = self.optimizer or torch.optim.SGD(self.parameters(), lr=lr)
        own = set(self.parameters())
        if own.isdisjoint(itertools.chain(*(group["params"] for group in optimizer.param_groups))):
            raise ValueError("train: expected an optimizer of the model's parameters, got one of others")

        def step(images: Any, labels: Any) -> float:
            output = self(images)
            output = output.log_softmax(dim=-1) if wants_log_p else output
            loss = criterion(output, torch.as_tensor(labels).to(output.device))
            if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not loss.requires_grad:
                got = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else f"{loss!r}"
                raise TypeError(f"train: expected the criterion to return one number to derive, got {got}")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.item() / (len(labels) if sums else 1)

        super().train(True)
        with replaced_layers(self, before_softmax(self.layers)):
            return train_one_epoch(self, data, data.train_loader, step, progress, numpy=False)


class CustomMLPFashionMNIST(MLPFashionMNIST, Layer):
    """The same network, of the layers in q1 and q2 alone; ``state_dict`` is PyTorch's, for either to load.

    Arguments beyond those of ``MLPFashionMNIST`` are ``dtype``, float32 or float64, and ``seed``, where the
    initial weights come from; each layer draws from the next number.
    """

    def __init__(
        self,
        input_size: int = 784,
        hidden_size1: int = 256,
        hidden_size2: int | None = 128,
        output_size: int = 10,
        dtype: DTypeLike = np.float32,
        seed: int = 33,
    ) -> None:
        layers: list[Layer] = []
        sizes = pairs_of_sizes(input_size, hidden_size1, hidden_size2, output_size)
        for place, (inputs, outputs) in enumerate(sizes):
            layers += [Dense(inputs, outputs, dtype, seed + place), ReLULayer()]
        self.layers = MLP([*layers[:-1], SoftmaxLayer()])
        self.dtype = np.dtype(dtype)
        self.epoch_seconds: list[float] = []
        self.epoch_cpu_seconds: list[float] = []

    def init_weights(self) -> None:
        """Draw the weights anew."""
        self.layers.init_weights()

    def forward(self, x: ArrayLike) -> FloatArray:
        """Return the output (N, 10) for images (N, 1, 28, 28) or (N, 784); by default the probabilities."""
        return self.layers.forward(self._read(x))

    def _read(self, images: ArrayLike) -> FloatArray:
        """Return images as rows of pixels."""
        images = as_float_array(images, self.dtype)
        self._input_shape = images.shape
        return images.reshape(*images.shape[:1], math.prod(images.shape[1:]))

    def backward(self, output_grad: ArrayLike) -> FloatArray:
        """Compute the gradients of all parameters, and return that of the images."""
        return self.layers.backward(output_grad).reshape(self._input_shape)

    def update(self, learning_rate: float) -> None:
        """Take one step of gradient descent with the latest gradients."""
        self.layers.update(learning_rate)

    def state_dict(self) -> dict[str, FloatArray]:
        """Return the parameters under the names of ``PytorchMLPFashionMNIST.state_dict``."""
        return {f"layers.{name}": array for name, array in self.layers.state_dict().items()}

    def train(
        self, data: Any, criterion: Any = None, lr: float = 0.002, progress: Progress | None = None
    ) -> tuple[float, float]:
        """Train for one epoch and validate, as ``PytorchMLPFashionMNIST.train`` does.

        The criterion has ``forward`` and ``backward``; one without ``from_logits`` gets probabilities. By
        default it is ``CrossEntropyLossLayer(True)``. Another is a TypeError, as are ``layers`` not of ours.
        """
        check_training(data, lr)
        criterion = CrossEntropyLossLayer(from_logits=True) if criterion is None else criterion
        if isinstance(criterion, (type, nn.Module)) or not hasattr(criterion, "backward"):
            raise TypeError(f"train: expected a criterion such as CrossEntropyLossLayer(), got {criterion!r}")
        if not isinstance(self.layers, Layer):
            raise TypeError(f"train: expected layers to be an MLP or another Layer, got {self.layers!r}")
        layers = before_softmax(self.layers)
        if not getattr(criterion, "from_logits", False):
            layers = MLP([layers, SoftmaxLayer()]) if layers is self.layers else self.layers
        # The gradient of lr times the loss, and a step of 1, spare the update a multiplication by lr; but
        # only our own criterion is known to heed its argument, and others may have none.
        folds = getattr(type(criterion), "backward", None) is CrossEntropyLossLayer.backward
        upstream, step_size = (lr, 1.0) if folds else (1.0, lr)
        arguments = [upstream] if inspect.signature(criterion.backward).parameters else []

        def step(images: Any, labels: Any) -> float:
            output = self.forward(images)
            loss = np.asarray(getattr(criterion, "forward", criterion)(output, labels))
            if loss.size != 1:
                raise TypeError(f"train: expected the criterion to return one number, got shape {loss.shape}")
            self.layers.backward_parameters(criterion.backward(*arguments))
            self.update(step_size)
            return float(loss.item())

        quietly = np.errstate(over="ignore", invalid="ignore")  # with too large an lr; as PyTorch
        with quietly, replaced_layers(self, layers):
            return train_one_epoch(self, data, batches_of(data.train_loader), step, progress, numpy=True)

    def __repr__(self) -> str:
        return f"CustomMLPFashionMNIST({self.layers})"


def pairs_of_sizes(*sizes: int | None) -> list[tuple[int, int]]:
    """Return the inputs and outputs of each fully-connected layer; a width of None leaves a layer out."""
    return list(itertools.pairwise(size for size in sizes if size is not None))


def before_softmax(layers: Any) -> Any:
    """Return a network of either kind without the softmax at its end; without one there, as it is."""
    if isinstance(layers, (nn.Sequential, MLP)) and len(layers) > 0:
        if isinstance(layers[-1], (nn.Softmax, SoftmaxLayer)):
            return layers[:-1]
        last = before_softmax(layers[-1])
        if last is not layers[-1]:
            parts = [*list(layers)[:-1], last]
            return MLP(parts) if isinstance(layers, MLP) else nn.Sequential(*parts)
    return layers


@contextmanager
def replaced_layers(model: Any, layers: Any) -> Iterator[None]:
    """Have a model, and what a subclass has made of its ``forward``, go through other layers for a while."""
    own = model.layers
    model.layers = layers
    try:
        yield
    finally:
        model.layers = own


def check_training(data: Any, lr: float) -> None:
    """Raise a ValueError if there are no batches to train with, or the learning rate is no float32."""
    if not hasattr(data, "train_loader"):
        raise ValueError(f"train: expected a data set such as FashionMNIST, or a bool, got {data!r}")
    if not 0 <= lr <= LARGEST_LEARNING_RATE:
        raise ValueError(f"train: expected a learning rate >= 0 that a float32 can hold, got {lr!r}")


def batches_of(loader: Any, batch_size: int | None = None) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Go through a loader, of ours or of PyTorch's, as NumPy arrays; ours also in another batch size."""
    if isinstance(loader, BatchLoader):
        return loader.arrays(batch_size)
    return ((np.asarray(detached(images)), np.asarray(detached(labels))) for images, labels in loader)


def accuracy(model: Any, loader: Any) -> float:
    """Return the share of a loader's images that a model gives their label; NaN if there are none."""
    logits, labels = predict(model, loader)
    return float(np.mean(logits.argmax(axis=1) == labels)) if len(labels) else math.nan


def predict(model: Any, loader: Any) -> tuple[FloatArray, FloatArray]:
    """Return the logits (n, 10), float64, of a loader's images, in evaluation mode, and the labels (n,)."""
    was_training = getattr(model, "training", False)
    found: list[tuple[FloatArray, FloatArray]] = []
    try:
        if was_training:
            model.eval()
        with torch.no_grad(), np.errstate(over="ignore", invalid="ignore"):
            for images, labels in batches_of(loader, batch_size=1000):
                batch = torch.as_tensor(images) if isinstance(model, nn.Module) else images
                found.append((np.asarray(detached(model.logits(batch)), np.float64), labels))
    finally:
        if was_training:
            model.train(True)
    logits, labels = map(np.concatenate, zip(*found or [(np.empty((0, 10)), np.empty(0, int))], strict=True))
    return logits, labels


def train_one_epoch(
    model: Any,
    data: Any,
    batches: Iterable[tuple[Any, Any]],
    step: Callable[[Any, Any], float],
    progress: Progress | None,
    numpy: bool,
) -> tuple[float, float]:
    """Take a step with every training batch, and return the mean loss and the validation accuracy.

    Every image counts the same in the mean, also those of a last, smaller batch. The n-th epoch of every
    model sees the batches in the same order. ``step`` changes the model and returns the batch's mean loss.
    """
    if hasattr(data.train_loader, "set_epoch"):
        data.train_loader.set_epoch(len(model.epoch_seconds))
    steps = operator.length_hint(data.train_loader)  # 0 where the loader does not know
    report_every = max(1, steps // 50)
    total, images_seen, reported = 0.0, 0, 0
    with suitable_threads(getattr(data.train_loader, "batch_size", None), numpy) as note:
        before = start = time.perf_counter()
        start_cpu = time.process_time()
        for batch, (images, labels) in enumerate(batches, 1):
            total += step(images, labels) * len(labels)
            images_seen += len(labels)
            now = time.perf_counter()
            note(now - before)
            before = now
            if progress is not None and (batch % report_every == 0 or batch == steps):
                progress(batch - reported, total / images_seen)
                reported = batch
        if images_seen == 0:
            raise ValueError(f"train: expected batches, got none from {data.train_loader!r}")
        model.epoch_seconds.append(time.perf_counter() - start)
        model.epoch_cpu_seconds.append(time.process_time() - start_cpu)
        val_loader = getattr(data, "val_loader", None)
        return total / images_seen, math.nan if val_loader is None else accuracy(model, val_loader)


@functools.cache
def blas_libraries() -> list[Any]:
    """Return the BLAS libraries that NumPy has loaded; to look for them takes some milliseconds."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


fastest: dict[Any, int] = {}
"""The number of BLAS threads that ``search`` has found, by the size of the batch."""


@contextmanager
def suitable_threads(batch_size: int | None, numpy: bool) -> Iterator[Callable[[float], Any]]:
    """Train with as many threads as are fastest; the caller is handed what to tell each step's seconds.

    The products of fewer than 32 images are over before a second thread has paid for its wake-up: these
    take one thread, always, and a seed gives the same numbers every time. With more, how many of BLAS's
    threads pay depends on the machine and on what else runs there: where two come to share a core, a step
    takes up to four times as long. So that is tried while training with NumPy, and PyTorch's keep still.
    """
    small = batch_size is not None and batch_size < 32
    before = torch.get_num_threads(), [library.get_num_threads() for library in blas_libraries()]
    searching = search(batch_size, 1 if small or not numpy else max(before[1], default=1))
    if small or numpy:
        torch.set_num_threads(1)
    next(searching)
    try:
        yield searching.send
    finally:
        torch.set_num_threads(before[0])
        for library, count in zip(blas_libraries(), before[1], strict=True):
            library.set_num_threads(count)


def search(key: Any, most: int) -> Generator[None, float, None]:
    """Find the fastest number of BLAS threads up to ``most``, and look four times a second if it still is.

    ``send`` the seconds of every step. Twice and half the present number are tried for some steps each, and
    the medians are compared; while one direction is faster, it goes on in it.
    """

    def median_seconds(count: int) -> Generator[None, float, float]:
        for library in blas_libraries():
            library.set_num_threads(count)
        seconds: list[float] = []
        while len(seconds) < 3 or sum(seconds) < 0.005:
            seconds.append((yield))
        return statistics.median(seconds)

    count = min(fastest.get(key, 1), most)
    while True:
        best = yield from median_seconds(count)
        for change in (lambda n: 2 * n, lambda n: n // 2):
            while 1 <= (other := change(count)) <= most:
                if (seconds := (yield from median_seconds(other))) >= best:
                    break
                count, best = other, seconds
        for library in blas_libraries():
            library.set_num_threads(count)
        fastest[key] = count
        again = time.perf_counter() + 0.25
        while time.perf_counter() < again:
            yield


# Figures -------------------------------------------------------------------------------------------

MODELS = {"pytorch": "PyTorch", "custom": "custom"}
"""The models by the name they have on the command line and the one they have in figures and tables."""
STYLE = {
    "figure.dpi": 100, "savefig.dpi": 200, "font.size": 11, "axes.titlesize": 12,
    "axes.grid": True, "grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False,
    "lines.linewidth": 2, "legend.frameon": False,
}  # fmt: skip
# Okabe and Ito's colours, which people with a colour-vision deficiency can tell apart; the two models
# differ in marker and line too, so that a curve that hides another still lets it be seen.
LOOKS: dict[str, dict[str, Any]] = {
    "PyTorch": {"color": "#D55E00", "marker": "o", "markersize": 9, "mfc": "none", "linewidth": 3},
    "custom": {"color": "#0072B2", "marker": "x", "markersize": 6, "linestyle": "--"},
    "first hidden layer": {"color": "#0072B2", "marker": "o", "linewidth": 1.5},
    "second hidden layer": {"color": "#D55E00", "marker": "s", "linewidth": 1.5, "linestyle": "--"},
    "training": {"color": "#0072B2", "marker": "o"},
    "validation": {"color": "#E69F00", "marker": "D", "linestyle": "--"},
}
QUANTITIES = {
    "Training loss": ("train_losses", "Cross-entropy, mean of the epoch"),
    "Validation accuracy": ("val_accuracies", "Accuracy after the epoch"),
}
"""What curves show: the list of ``Record`` that has it, and the label of its axis."""
Curves: TypeAlias = "Sequence[Any] | FloatArray | Mapping[str, Any]"
"""One number per epoch, or a row of them for each of several runs; to compare models, these by their name."""


def draw_curves(axes: Any, curves: Curves, quantity: str, title: str = "") -> int | dict[str, int]:
    """Draw a curve, or several by name, and return how long each is; of several runs the mean ± deviation."""
    named = curves if isinstance(curves, Mapping) else {"": curves}
    lengths: dict[str, int] = {}
    means = []
    for name, curve in named.items():
        look = LOOKS.get(name, {"color": "#0072B2", "marker": "o"})
        mean, std = Measured.of(np.atleast_2d(curve))
        lengths[name] = len(mean)
        means.append(mean)
        epochs = range(1, len(mean) + 1)
        axes.plot(epochs, mean, label=name or None, **look)
        if std is not None:
            axes.fill_between(epochs, mean - std, mean + std, color=look["color"], alpha=0.2, linewidth=0)
    axes.set(title=title or quantity, xlabel="Epoch", ylabel=QUANTITIES[quantity][1])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if all(np.isnan(curve).all() for curve in named.values()):
        axes.text(0.5, 0.5, "no numbers to show", transform=axes.transAxes, ha="center")
    elif all(named):
        axes.legend()
    drawn = np.concatenate([[], *means])
    drawn = drawn[np.isfinite(drawn)]
    guessing = math.log(len(CLASSES))
    most = 10 * max(np.median(drawn), guessing) if drawn.size else math.inf
    if (largest := drawn.max(initial=0)) > most:  # which would squeeze all others into a line
        rest = drawn[drawn <= most]
        axes.set_ylim(min(0, rest.min()), 1.2 * max(rest.max(), guessing))
        axes.set_xlabel(f"Epoch\n(beyond the scale: up to {readable(largest)})")
    return lengths.get("", lengths)


def plot(train_losses: Curves, val_accuracies: Curves, title: str = "Fashion-MNIST") -> Figure:
    """Plot the training loss and the validation accuracy over the epochs, side by side.

    Args:
        train_losses: one number per epoch, or a row of them for each of several runs, drawn as their mean
            with a band of one standard deviation; or, to compare models, such curves by the model's name.
        val_accuracies: likewise; as many, else a ValueError.
        title: the figure's title.

    Returns:
        The figure; ``plt.show()`` shows it.
    """
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
        figure.suptitle(title)
        losses = draw_curves(left, train_losses, "Training loss")
        accuracies = draw_curves(right, val_accuracies, "Validation accuracy")
    if losses != accuracies:
        plt.close(figure)
        raise ValueError(f"plot: expected as many losses as accuracies, got {losses} and {accuracies}")
    return figure


def plot_pictures(
    rows: Sequence[Any], title: str, cmap: str = "gray_r", above: int = 2
) -> tuple[Figure, Any]:
    """Show rows of pictures (28, 28) in [-1, 1] on one sheet, with so many pixels of space above each row.

    Return the figure and its axes; a picture begins every 28 + ``above`` pixels down, every 30 to the right.
    """
    columns, height = max(1, *map(len, rows)), 28 + above
    sheet = np.full((len(rows) * height, columns * 30), np.nan)
    for (row, pictures), column in itertools.product(enumerate(rows), range(columns)):
        if column < len(pictures):
            sheet[row * height :, column * 30 :][above:height, :28] = pictures[column]
    with plt.rc_context(STYLE | {"axes.grid": False}):
        size = (0.75 * columns + 1.5, 0.025 * len(sheet) + 0.9)
        figure, axes = plt.subplots(figsize=size, layout="constrained")
        figure.suptitle(title)
        axes.imshow(sheet, cmap=cmap, vmin=-1, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure, axes


def plot_samples(data: FashionMNIST, columns: int = 8) -> Figure:
    """Show the first training images of each of the ten classes, a row for each."""
    images, labels = map(np.asarray, data.train_dataset.dataset.tensors)
    indices = np.asarray(data.train_dataset.indices)
    of_class = [indices[labels[indices] == label][:columns] for label in range(len(CLASSES))]
    title = f"The ten classes of {titled(data.dataset)}"
    figure, axes = plot_pictures([images[chosen, 0] for chosen in of_class], title)
    axes.set(xlabel="Training images", ylabel="Class")
    axes.set_yticks([30 * row + 16 for row in range(len(CLASSES))], class_names(data.dataset))
    axes.tick_params(length=0)
    return figure


def plot_losses(group: Sequence[Runs]) -> Figure:
    """Plot the loss on the training images and on the validation images, a panel for each model."""
    with plt.rc_context(STYLE):
        options: Any = {"figsize": (5 * len(group), 4), "layout": "constrained", "squeeze": False}
        figure, (panels,) = plt.subplots(1, len(group), sharey=True, **options)
        figure.suptitle(f"Training and validation loss, {described(group[0])}")
        for axes, runs in zip(panels, group, strict=True):
            losses = zip(*((record.train_losses, record.val_losses) for record in runs), strict=True)
            both = dict(zip(("training", "validation"), losses, strict=True))
            draw_curves(axes, both, "Training loss", MODELS[runs[0].setting.model])
            axes.set_ylabel("Cross-entropy")
    return figure


def plot_confusion(runs: Runs) -> Figure:
    """Plot how many test images of each class are taken for which, in the mean of some runs."""
    setting, percent = runs[0].setting, 100 * confusion(runs)
    names, places = class_names(setting.dataset), range(len(CLASSES))
    with plt.rc_context(STYLE | {"axes.grid": False}):
        options: Any = {"figsize": (11, 5.2), "layout": "constrained", "width_ratios": (3, 2)}
        figure, (left, right) = plt.subplots(1, 2, sharey=True, **options)
        figure.suptitle(f"Test images by class, {MODELS[setting.model]}, {described(runs)}")
        figure.supylabel("Class")
        left.set(title="Confusion matrix (% of the class)", xlabel="Taken for")
        left.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        left.set_xticks(places, [re.sub("[ /]", r"\g<0>\n", name) for name in names], fontsize=9)
        left.set_yticks(places, names)
        for (row, column), share in np.ndenumerate(percent):
            color = "white" if share > 50 else "black" if share >= 0.5 else "0.7"
            left.text(column, row, f"{share:.0f}", ha="center", va="center", color=color, fontsize=9)
        right.set(title="Accuracy of each class", xlabel="Accuracy (%)", xlim=(0, 115))
        bars = right.barh(places, percent.diagonal(), color=LOOKS["custom"]["color"])
        right.bar_label(bars, fmt="%.1f", padding=3, fontsize=9)
    return figure


def plot_mistakes(record: Record) -> Figure:
    """Show the test images that a model got wrong with most confidence, and what it took them for."""
    setting, names = record.setting, class_names(record.setting.dataset)
    rows = [row for row in (record.mistakes[:6], record.mistakes[6:]) if row] or [[]]
    pictures = [[from_text(mistake.picture) for mistake in row] for row in rows]
    title = f"Most confidently wrong, {MODELS[setting.model]}, {titled(setting.dataset)}"
    figure, axes = plot_pictures(pictures, title, above=9)
    figure.set_size_inches(9, 1.8 * len(rows) + 0.9)
    axes.set(xlabel="Class, what it was taken for, and with what probability", ylabel="Test images")
    for place, it in enumerate(record.mistakes):
        text = f"{names[it.label]}, not\n{names[it.predicted]} ({it.probability:.1%})"
        axes.text(place % 6 * 30 + 14, place // 6 * 37 + 8, text, ha="center", va="bottom", fontsize=9)
    return figure


def plot_first_layer(record: Record, columns: int = 8) -> Figure:
    """Show what training has added to the weights of a network's first layer, a picture for each unit."""
    pictures = list(map(from_text, record.first_layer))
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    title = f"Learned in the first layer, {MODELS[record.setting.model]}, {titled(record.setting.dataset)}"
    figure, axes = plot_pictures(rows, title, "RdBu")
    axes.set(xlabel="Change of the weights: red negative, blue positive", ylabel="Units that changed most")
    return figure


def as_text(picture: FloatArray) -> str:
    """Write a picture (28, 28) of numbers in [-1, 1], in 256 levels, as a text."""
    return base64.b64encode(np.rint(127.5 * picture + 127.5).astype(np.uint8).tobytes()).decode("ascii")


def from_text(text: str) -> FloatArray:
    """Read what ``as_text`` has written."""
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(28, 28) / 127.5 - 1


def class_names(dataset: str) -> Sequence[str]:
    """Return what to call the classes; those of the synthetic set have numbers alone."""
    return CLASSES if dataset == "fashion-mnist" else [str(label) for label in range(len(CLASSES))]


def readable(value: float) -> str:
    """Write a number to three digits, a small or large one with a power of ten: 0.002, 3 × 10⁻⁴, 10¹⁵."""
    digits, _, exponent = f"{value:.2e}".partition("e")
    if not 0 < abs(value) < 1e-3 and not 1e3 <= abs(value) < math.inf:
        return f"{value:.3g}"
    power = "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if float(digits) == 1 else f"{float(digits):g} × {power}"


def titled(dataset: str) -> str:
    """Return a data set's name as titles have it; the synthetic one's says what it is."""
    return "Fashion-MNIST" if dataset == "fashion-mnist" else "synthetic data (not Fashion-MNIST)"


def described(runs: Runs, *details: str) -> str:
    """Return what titles say of some runs: the data set, details and, of several runs, what is shown."""
    several = f"\nmean ± standard deviation of {len(runs)} seeds" if len(runs) > 1 else ""
    return ", ".join([titled(runs[0].setting.dataset), *details]) + several


def plot_accuracy_against_time(groups: Finished) -> Figure:
    """Plot test accuracy over training time: a panel for each model, a line for each layer that is varied."""
    models = [runs[0].setting.model for runs in groups[ORIGINAL]]
    with plt.rc_context(STYLE):
        options: Any = {"figsize": (5 * len(models), 4.6), "layout": "constrained", "squeeze": False}
        figure, grid = plt.subplots(1, len(models), sharey=True, **options)
        figure.suptitle(f"Test accuracy against training time, {described(groups[ORIGINAL][0])}")
        to_label: list[tuple[Any, Any]] = []
        for panel, (model, axes) in enumerate(zip(models, grid[0], strict=True)):
            points = {}
            for it, group in groups.items():
                runs = group[panel]
                seconds, accuracy = measured(runs, "training_seconds"), measured(runs, "test_accuracy")
                points[it] = (seconds.mean, accuracy.mean)
                axes.errorbar(*points[it], accuracy.std, seconds.std, fmt="none", ecolor="0.6", elinewidth=1)
            labels = []
            for varied in ("first hidden layer", "second hidden layer"):
                joined = [it for it in points if it.varied in (varied, "nothing")]
                joined.sort(key=lambda it: (it.hidden_size1, it.hidden_size2 or 0))
                axes.plot(*zip(*map(points.get, joined), strict=True), **LOOKS[varied], label=varied)
                color = LOOKS[varied]["color"]
                labels += [(it.width, points[it], color) for it in joined if it.varied == varied]
            axes.plot(*points[ORIGINAL], "k*", markersize=11, label="original, 256 and 128", zorder=5)
            axes.set(title=MODELS[model], xlabel="Training time (s)", ylabel="Test accuracy", xscale="log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_locator(NullLocator())
            axes.margins(x=0.15, y=0.15)
            to_label.append((axes, labels))
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        for axes, labels in to_label:
            label_points(axes, labels)
    return figure


def label_points(axes: Any, labels: Sequence[tuple[str, tuple[float, float], str]]) -> None:
    """Write labels (text, point, colour) beside their points, where they hide no marker, line or label.

    Each takes the nearest free place around its point, with a line between them if that is not near.
    """
    figure = axes.figure
    figure.draw_without_rendering()  # which decides where the axes lie
    size = 6 * figure.dpi / 72
    paths = [line.get_path().transformed(axes.transData) for line in axes.lines]
    lines = [path for path, line in zip(paths, axes.lines, strict=True) if line.get_linestyle() != "None"]
    markers = np.concatenate([path.vertices for path in paths])
    taken = [Bbox.from_bounds(x - size, y - size, 2 * size, 2 * size) for x, y in markers]
    directions = np.exp(1j * np.pi * np.arange(0.5, 2.5, 1 / 8))
    for text, point, color in labels:
        place = {"textcoords": "offset points", "ha": "center", "va": "center", "color": color, "fontsize": 9}
        label = axes.annotate(text, point, (0, 0), **place)
        for distance, direction in itertools.product(range(12, 150, 6), directions):
            offset = distance * direction.real, distance * direction.imag
            label.set_position(offset)
            box = label.get_window_extent()
            hides = box.count_overlaps(taken) or any(
                line.intersects_bbox(box, filled=False) for line in lines
            )
            if not hides and axes.bbox.count_contains([box.min, box.max]) == 2:
                break
        taken.append(box)
        if distance > 18:
            line = {"arrowstyle": "-", "color": color, "linewidth": 0.7}
            axes.annotate("", point, offset, textcoords="offset points", arrowprops=line)


# Runs and their records ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """All that decides how a run turns out, but for the code and the speed of the machine."""

    model: str = "custom"
    hidden_size1: int = 256
    hidden_size2: int | None = 128
    lr: float = 0.002
    batch_size: int = 8
    epochs: int = 10
    val_perc: float = 0.2
    seed: int = 0
    dataset: str = "fashion-mnist"

    @property
    def widths(self) -> str:
        """The widths of the hidden layers, as in 256-128."""
        return f"{self.hidden_size1}" + ("" if self.hidden_size2 is None else f"-{self.hidden_size2}")

    @property
    def name(self) -> str:
        """A file name that no other setting has."""
        return (
            f"{self.dataset}_{self.model}_{self.widths}_lr{self.lr!r}_batch{self.batch_size}"
            f"_epochs{self.epochs}_val{self.val_perc!r}_seed{self.seed}"
        )

    def __str__(self) -> str:
        seed = f", seed {self.seed}" if self.seed else ""
        return f"{MODELS[self.model]} {self.widths}, lr {self.lr:g}, batch {self.batch_size}{seed}"


@dataclass(frozen=True)
class Mistake:
    """A test image that a model got wrong, and with what probability."""

    label: int
    predicted: int
    probability: float
    picture: str  # as ``from_text`` reads it


@dataclass(frozen=True)
class Record:
    """What a finished run has measured; each list has a number for every epoch."""

    setting: Setting
    parameters: int  # how many numbers the model learns
    train_losses: list[float]
    val_losses: list[float]
    val_accuracies: list[float]
    test_accuracy: float  # after the last epoch
    epoch_seconds: list[float]  # what the training steps took by the clock, validation not counted
    epoch_cpu_seconds: list[float]  # the same on all cores together
    cores: int  # how many it had
    confusion: list[list[int]]  # how many test images of a class, the row, it took for which, the column
    mistakes: list[Mistake]  # the test images that it got wrong with most confidence
    first_layer: list[str]  # the weights of the units that have the largest, as ``from_text`` reads them

    def __post_init__(self) -> None:
        losses = self.train_losses, self.val_losses
        curves = *losses, self.val_accuracies, self.epoch_seconds, self.epoch_cpu_seconds
        if {*map(len, curves)} != {self.setting.epochs} or math.isnan(self.test_accuracy):
            raise ValueError(f"expected numbers of {self.setting.epochs} epochs, got {curves}")
        if not (min(self.epoch_seconds) > 0 and max(self.epoch_seconds) < math.inf):
            raise ValueError(f"expected epochs that take time, got seconds {self.epoch_seconds}")

    @property
    def training_seconds(self) -> float:
        """The time that training takes on a machine left in peace: the median epoch's, times the epochs."""
        return statistics.median(self.epoch_seconds) * self.setting.epochs


Runs: TypeAlias = "Sequence[Record]"
"""The records of one setting, with one seed after the other."""
Finished: TypeAlias = "Mapping[Any, Sequence[Runs]]"
"""The results of an experiment: for each thing compared, the runs of each model."""
Trained: TypeAlias = "tuple[Record, dict[str, FloatArray]]"
"""The record of a run, and the weights that it came to, by the names of the model's ``state_dict``."""
R = TypeVar("R")


class Measured(NamedTuple):
    """The mean and the standard deviation (n - 1; None of a single run) of numbers, or of rows of them."""

    mean: Any
    std: Any = None

    @classmethod
    def of(cls, values: Sequence[Any] | FloatArray) -> Measured:
        """Return the mean and the standard deviation of one number, or one row of numbers, per run."""
        with np.errstate(invalid="ignore", over="ignore"):  # losses can be infinite, or nearly
            return cls(np.mean(values, axis=0), np.std(values, axis=0, ddof=1) if len(values) > 1 else None)

    def __format__(self, spec: str) -> str:
        return f"{self.mean:{spec}}" + ("" if self.std is None else f" ± {self.std:{spec}}")


def confusion(runs: Runs) -> FloatArray:
    """Return the shares of each class, the row, that are taken for which, the column, in the mean of runs."""
    counts = np.array([record.confusion for record in runs], float)
    return np.mean(counts / counts.sum(axis=2, keepdims=True).clip(1), axis=0)


def measured(runs: Runs, quantity: str) -> Measured:
    """Return what some runs have measured of one quantity, an attribute of ``Record``."""
    return Measured.of([getattr(record, quantity) for record in runs])


def hash_of(*definitions: Any) -> str:
    """Return a hash of the files in which functions or classes are defined: what a record was made by."""
    files = (Path(inspect.getfile(definition)).read_bytes() for definition in definitions)
    return hashlib.sha256(b"\0".join(files)).hexdigest()[:16]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Hand out a path to write to; only when all is written does it take the place of ``path``."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(path)
    except OSError as error:
        raise OSError(f"{path} could not be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def check_writable(folder: Path, name: Path) -> None:
    """Make a folder, and raise an OSError if no file can be written there: better now than after training."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"expected a place to write to, got {name}: {error.strerror or error}") from error


class Results:
    """The folder where results are kept: a record per finished run, and the figures and tables of them.

    A record is a dataclass with a ``setting`` that has a ``name``; it lies in the folder "runs" as JSON.

    Args:
        folder: the folder; it is made if need be, and an OSError if it can't be made or written to.
        code: a hash of the code that makes the records (see ``hash_of``), kept with each.

    Attributes:
        outdated: the settings of which ``load`` has found a record, but one of other code.
    """

    def __init__(self, folder: Path, code: str = "") -> None:
        self.folder, self.code, self.runs = folder, code, folder / "runs"
        self.outdated: list[Any] = []
        check_writable(self.runs, folder)
        for part in folder.rglob(".*.part"):  # what a killed run has left, or another one is writing
            with suppress(OSError):
                if time.time() - part.stat().st_mtime > 3600:
                    part.unlink()

    def load(self, setting: Any, kind: type[R]) -> R | None:
        """Return the record of a run, or None if there is none of exactly this setting and this code."""
        path = self.runs / f"{setting.name}.json"
        try:
            record, code = read_record(path, kind)
        except FileNotFoundError:
            return None
        except ValueError as error:
            print(f"{error}; the run is done again", file=sys.stderr)
            return None
        same: bool = record.setting == setting  # type: ignore[attr-defined]
        if same and code != self.code:
            self.outdated.append(setting)
        return record if same and code == self.code else None

    def save(self, record: Any) -> None:
        """Keep a record."""
        text = json.dumps({"code": self.code, "record": asdict(record)})
        finite = json.loads(text, parse_constant=lambda _: None)  # JSON knows no NaN
        with replacing(self.runs / f"{record.setting.name}.json") as path:
            path.write_text(json.dumps(finite, indent=1) + "\n", encoding="utf-8")

    def forget(self, setting: Any) -> None:
        """Remove the record of a run, if there is one."""
        (self.runs / f"{setting.name}.json").unlink(missing_ok=True)

    def save_figure(self, figure: Figure, name: str) -> None:
        """Save a figure as PNG."""
        with replacing(self.folder / name) as path:
            figure.savefig(path, format="png", dpi=STYLE["savefig.dpi"])
        print(f"saved {self.folder / name}")

    def save_text(self, text: str, name: str) -> None:
        """Save a table or another text."""
        with replacing(self.folder / name) as path:
            path.write_text(text, encoding="utf-8", newline="")
        print(f"saved {self.folder / name}")


def read_record(path: Path, kind: type[R]) -> tuple[R, str]:
    """Return a record and the hash of the code that made it; a ValueError says what else the file holds."""
    hooks = {float: lambda value: math.nan if value is None else value}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        record = dacite.from_dict(kind, content["record"], dacite.Config(hooks, strict=True))
        return record, str(content["code"])
    except (AttributeError, TypeError, KeyError, ValueError, dacite.DaciteError) as error:
        raise ValueError(f"{path}: expected the record of a run: {error!r}") from error


def build_model(setting: Setting) -> PytorchMLPFashionMNIST | CustomMLPFashionMNIST:
    """Build a model; both kinds begin with the same weights, which depend on the sizes and the seed."""
    sizes = (784, setting.hidden_size1, setting.hidden_size2)
    custom = CustomMLPFashionMNIST(*sizes, seed=33 + 3 * setting.seed)
    if setting.model == "custom":
        return custom
    pytorch = PytorchMLPFashionMNIST(*sizes)
    pytorch.load_state_dict(custom.state_dict())
    return pytorch


def run(setting: Setting, data_dir: str | None = None, place: int = 0) -> Trained:
    """Train a model from scratch and test it."""
    data = FashionMNIST(setting.batch_size, setting.val_perc, setting.seed, data_dir, setting.dataset)
    model = build_model(setting)
    curves: list[tuple[float, float]] = []
    val_losses: list[float] = []
    name, total = str(setting).partition(", batch")[0], setting.epochs * len(data.train_loader)
    with progress_bar(name, total, place) as bar:

        def advance(batches: int, loss: float) -> None:
            validated = f", accuracy {curves[-1][1]:.3f}" if curves and setting.val_perc else ""
            bar.set_postfix_str(f"loss {loss:#.3g}{validated}", refresh=False)
            bar.update(batches)

        for _ in range(setting.epochs):
            curves.append(model.train(data, lr=setting.lr, progress=advance))
            logits, labels = predict(model, data.val_loader)
            val_losses.append(mean_loss(logits, labels) if len(labels) else math.nan)
    weights = state_of(model)
    parameters = sum(array.size for array in weights.values())
    losses, accuracies = map(list, zip(*curves, strict=True))
    measured = parameters, losses, val_losses, accuracies, model.test(data)
    seconds = model.epoch_seconds, model.epoch_cpu_seconds, available_cores()
    learned = weights["layers.0.weight"] - state_of(build_model(setting))["layers.0.weight"]
    return Record(setting, *measured, *seconds, *examine(model, data), pictures_of(learned)), weights


def state_of(model: Any) -> dict[str, FloatArray]:
    """Return copies of the parameters of a model of either kind, by name."""
    return {name: np.asarray(detached(value)).copy() for name, value in model.state_dict().items()}


def mean_loss(logits: FloatArray, labels: FloatArray) -> float:
    """Return the cross-entropy of logits (N, K), NaN and all, in the mean."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(CrossEntropyLossLayer(from_logits=True).forward(logits, labels))


def examine(model: Any, data: FashionMNIST, count: int = 12) -> tuple[list[list[int]], list[Mistake]]:
    """Return the confusion matrix of the test images, and the ``count`` most confident mistakes."""
    logits, labels = predict(model, data.test_loader)
    with np.errstate(over="ignore", invalid="ignore"):
        probabilities = np.nan_to_num(SoftmaxLayer().forward(logits))
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    counts = np.zeros((len(CLASSES), len(CLASSES)), int)
    np.add.at(counts, (labels, predicted), 1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")[:count]]
    return counts.tolist(), [
        Mistake(
            int(labels[it]),
            int(predicted[it]),
            float(confidence[it]),
            as_text(data.test_dataset[int(it)][0][0].numpy()),
        )
        for it in worst
    ]


def pictures_of(weights: FloatArray, count: int = 24) -> list[str]:
    """Return the rows of weights (units, 784) that are largest, each scaled to [-1, 1], as texts."""
    rows = np.nan_to_num(weights.reshape(-1, 28, 28), posinf=0, neginf=0)
    sizes = np.abs(rows).max(axis=(1, 2))
    return [as_text(rows[unit] / (sizes[unit] or 1)) for unit in np.argsort(-sizes, kind="stable")[:count]]


def progress_bar(name: str, total: int, place: int = 0) -> Any:
    """Return a progress bar for a terminal, in line ``place`` below the first; elsewhere it shows nothing."""
    layout = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
    return tqdm(desc=name, total=total, position=place, leave=False, disable=None, bar_format=layout)


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(settings: Sequence[Setting], data_dir: str | None, jobs: int) -> Generator[Trained, None, None]:
    """Do some runs, ``jobs`` at a time, each on cores of its own; yield what ``run`` returns as they end."""
    with progress_bar(f"networks 0/{len(settings)}", len(settings)) as bar:
        here = (run(setting, data_dir, place=1) for setting in settings)
        done = here if jobs == 1 else run_in_processes(settings, data_dir, jobs)
        for count, record_and_weights in enumerate(done, 1):
            bar.update()
            bar.set_description_str(f"networks {count}/{len(settings)}")
            yield record_and_weights


def run_in_processes(settings: Sequence[Setting], data_dir: str | None, jobs: int) -> Iterator[Trained]:
    """Do some runs in ``jobs`` processes, which end with this one; yield what ``run`` returns as they end."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        try:
            with held_interrupts():
                tasks = [pool.submit(run_on_own_cores, it, data_dir, jobs, cores) for it in settings]
            # Only they can send now. Else who is ended while it sends would be waited for without end.
            pool._result_queue._writer.close()  # type: ignore[attr-defined]
            for task in as_completed(tasks):
                yield task.result()
        except BrokenExecutor as error:
            raise ChildProcessError("a process of --jobs was ended, perhaps for want of memory") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()


@contextmanager
def held_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back; processes that are started meanwhile never hear it, and are ended by this one."""
    came: list[int] = []
    handler = (
        signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    )
    if handler is not None:  # any thread may hear it, and then Python tells this one, blocked or not
        signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    can_block = hasattr(signal, "pthread_sigmask")  # not on Windows
    if can_block:
        resource_tracker.ensure_running()  # started later, it lets Ctrl-C through again in some Pythons
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        if can_block:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if came:
            raise KeyboardInterrupt


def run_on_own_cores(setting: Setting, data_dir: str | None, jobs: int, cores: Sequence[int]) -> Trained:
    """Do a run in one of ``jobs`` processes, which share out the cores."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    tqdm.set_lock(threading.RLock())  # one between processes would be left behind when they are ended
    place = int(multiprocessing.current_process().name.rpartition("-")[2]) % jobs  # SpawnProcess-1, -2, ...
    share = len(cores) // jobs
    for thread in os.listdir("/proc/self/task") if cores else []:
        with suppress(OSError):  # it may have ended meanwhile
            os.sched_setaffinity(int(thread), cores[place * share : (place + 1) * share])
    return run(setting, data_dir, place + 1)


def end_with_parent() -> None:
    """End this process when the one that started it has ended, even killed."""
    multiprocessing.parent_process().join()  # type: ignore[union-attr]
    os._exit(1)


# The handout's experiments -------------------------------------------------------------------------


class Architecture(NamedTuple):
    """One of the configurations of section 3.2: what it varies, and the widths of the hidden layers."""

    varied: str = "nothing"
    hidden_size1: int = 256
    hidden_size2: int | None = 128

    @property
    def width(self) -> str:
        """The width of what is varied."""
        return str(self.hidden_size1 if self.varied == "first hidden layer" else self.hidden_size2 or "none")

    @property
    def name(self) -> str:
        """What to call it in a table."""
        return "original" if self.varied == "nothing" else f"{self.varied}: {self.width}"


ORIGINAL = Architecture()
ARCHITECTURES = (
    ORIGINAL,
    *(Architecture("first hidden layer", width, 128) for width in (8, 16, 64, 1024)),
    *(Architecture("second hidden layer", 256, width) for width in (8, 16, 64, 1024, None)),
)
LEARNING_RATE_FACTORS = {"very small": 1 / 200, "as given": 1, "very large": 100}


def plan(experiment: str, base: Setting, models: Sequence[str]) -> dict[Any, list[Setting]]:
    """Return the runs of an experiment: for each thing that it compares, a setting for each model."""
    changes: dict[Any, dict[str, Any]] = {"": {}}
    if experiment == "learning-rates":
        rates = LEARNING_RATE_FACTORS.items()
        changes = {name: {"lr": float(f"{base.lr * factor:.6g}")} for name, factor in rates}
    elif experiment == "architectures":
        changes = {it: dict(zip(it._fields[1:], it[1:], strict=True)) for it in ARCHITECTURES}
    return {it: [replace(base, model=model, **change) for model in models] for it, change in changes.items()}


def curves(group: Sequence[Runs], values: str) -> dict[str, list[list[float]]]:
    """Return one of the lists of some runs, a row for each run, by the model's name."""
    return {MODELS[runs[0].setting.model]: [getattr(record, values) for record in runs] for runs in group}


def show_training(groups: Finished, results: Results) -> None:
    """Save the curves of ``train`` and print the test accuracies."""
    (group,) = groups.values()
    setting = group[0][0].setting
    title = described(group[0], f"learning rate {readable(setting.lr)}", f"batches of {setting.batch_size}")
    compared = curves(group, "train_losses"), curves(group, "val_accuracies")
    results.save_figure(plot(*compared, title), "training.png")
    results.save_figure(plot_losses(group), "losses.png")
    results.save_figure(plot_confusion(group[-1]), "confusion.png")  # of our own model, if it is there
    results.save_figure(plot_mistakes(group[-1][0]), "mistakes.png")
    results.save_figure(plot_first_layer(group[-1][0]), "first-layer.png")
    for runs in group:
        accuracy, seconds = measured(runs, "test_accuracy"), measured(runs, "training_seconds")
        print(f"{MODELS[runs[0].setting.model]}: test accuracy {accuracy:.4f}, trained in {seconds:.1f} s")
    if len(group) == 2:
        with np.errstate(invalid="ignore"):
            losses, accuracies = (np.abs(np.diff([*it.values()], axis=0)).max() for it in compared)
        validated = "" if np.isnan(accuracies) else f", {accuracies:.4f} in validation accuracy"
        print(f"largest difference between the two in any epoch: {losses:.1e} in training loss{validated}")


def plot_learning_rates(groups: Finished) -> dict[str, Figure]:
    """Plot the six figures of section 3.1, by the name of their file."""
    figures = {}
    for (name, group), (quantity, (values, _)) in itertools.product(groups.items(), QUANTITIES.items()):
        lr = group[0][0].setting.lr
        with plt.rc_context(STYLE):
            figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
            title = f"{quantity}, learning rate {readable(lr)} ({name})\n{described(group[0])}"
            draw_curves(axes, curves(group, values), quantity, title)
        figures[f"{quantity} lr {lr:g}.png".lower().replace(" ", "-")] = figure
    return figures


def show_learning_rates(groups: Finished, results: Results) -> None:
    """Save the six figures of section 3.1."""
    for name, figure in plot_learning_rates(groups).items():
        results.save_figure(figure, f"learning-rates/{name}")


def architecture_rows(groups: Finished) -> list[dict[str, Any]]:
    """Return the rows of section 3.2's table, a row for each architecture and model."""
    return [
        {
            "Configuration": architecture.name,
            "Model": MODELS[runs[0].setting.model],
            "Parameters": runs[0].parameters,
            "Epochs": runs[0].setting.epochs,
            "Batch": runs[0].setting.batch_size,
            "Learning rate": runs[0].setting.lr,
            "Test accuracy": measured(runs, "test_accuracy"),
            "Training (s)": measured(runs, "training_seconds"),
            "Speed (original = 1)": speed(runs, original),
        }
        for architecture, group in groups.items()
        for runs, original in zip(group, groups[ORIGINAL], strict=True)
    ]


def speed(runs: Runs, original: Runs) -> Measured:
    """Return how many times as fast as the original some runs are, each beside that of the same seed."""
    pairs = zip(runs, original, strict=True)
    return Measured.of([base.training_seconds / run.training_seconds for run, base in pairs])


def tabulate_architectures(rows: Sequence[Mapping[str, Any]], tablefmt: str, narrow: bool = False) -> str:
    """Write section 3.2's table in one of tabulate's formats; a narrow one has no more than 80 columns."""
    formats = ("", "", ",", "", "", "g", ".4f", ".1f", ".2f")
    cells = [list(map(format, row.values(), formats)) for row in rows]
    header, alignment = list(rows[0]), ["left"] * 2 + ["right"] * 7
    if narrow:  # without what is the same in all rows
        header[0], header[7:] = "Hidden layer", ["Seconds", "Speed"]
        for line in [header, alignment, *cells]:
            del line[3:6]
            line[0] = line[0].removesuffix("original").replace(" hidden layer", "") or "as given"
    return tabulate(cells, header, tablefmt, colalign=alignment, disable_numparse=True)


def show_architectures(groups: Finished, results: Results) -> None:
    """Save the table of section 3.2, as CSV and as Markdown, and its figure, and print the table."""
    rows = architecture_rows(groups)
    plain: list[dict[str, Any]] = [{} for _ in rows]
    for row, numbers in zip(rows, plain, strict=True):
        for name, value in row.items():
            mean, std = value if isinstance(value, Measured) else (value, None)
            numbers[name] = f"{mean:.6g}" if isinstance(value, Measured) else value
            if std is not None:
                numbers[f"{name}, standard deviation"] = f"{std:.6g}"
    text = io.StringIO(newline="")
    csv.writer(text).writerows([plain[0], *(numbers.values() for numbers in plain)])
    results.save_text(text.getvalue(), "architectures.csv")
    table = tabulate_architectures(rows, "github")
    results.save_text(f"{described(groups[ORIGINAL][0])}\n\n{table}\n", "architectures.md")
    print(tabulate_architectures(rows, "simple", narrow=True))
    results.save_figure(plot_accuracy_against_time(groups), "architectures.png")


EXPERIMENTS = {
    "train": show_training,
    "learning-rates": show_learning_rates,
    "architectures": show_architectures,
}

# The command line ----------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and whose options may be spelled with underscores."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read ``--batch_size`` as ``--batch-size``, and so on."""
        words = [re.sub("^--[a-z_]+", lambda option: option[0].replace("_", "-"), word) for word in args]
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> Any:
        """Print the error and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def number(kind: type, expected: str, accepts: Callable[[Any], bool]) -> Callable[[str], Any]:
    """Return a function that reads an argument as a number, or says what was expected."""

    def read(text: str) -> Any:
        with suppress(ValueError):
            if accepts(value := kind(text)):
                return value
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")

    return read


def expanded(text: str) -> Path:
    """Read an argument as a path, with the home folder for ~."""
    return Path(os.path.expanduser(text))


@contextmanager
def outright_interrupts() -> Iterator[None]:
    """Let Ctrl-C be itself where what it interrupts fails on the way out.

    tqdm releases its lock even if Ctrl-C came before it was acquired, which is a RuntimeError.
    """
    try:
        yield
    except Exception as error:
        earlier = error.__context__
        while earlier is not None:
            if isinstance(earlier, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            earlier = earlier.__context__
        raise


def run_command(parser: Parser, action: Callable[[argparse.Namespace], Any], arguments: Any = None) -> int:
    """Parse a command line, do what it says, and return the exit status; what goes wrong is one line."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed, as services have it
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # what a terminal can't show becomes a question mark
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    try:
        with outright_interrupts():
            action(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        hint = "; the same command goes on from here" if parser.epilog else ""  # which promises that
        print(f"\nstopped{hint}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads the output has had enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (DataError, ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    return 0


def make_parser() -> Parser:
    """Describe the command line."""
    parser = Parser(
        prog="fashion_mnist.py",
        description="Train the handout's network on Fashion-MNIST, in PyTorch and in our own library.",
        epilog="A run that was stopped goes on where it was when the same command is given again.",
    )
    whole = number(int, "a whole number >= 1", lambda value: value >= 1)
    # The largest rate of the experiments must fit a float32, too.
    largest = LARGEST_LEARNING_RATE / LEARNING_RATE_FACTORS["very large"]
    rate = number(float, f"a number > 0 and < {largest:.0e}", lambda value: 0 < value < largest)
    share = number(float, "a number >= 0 and < 1", lambda value: 0 <= value < 1)
    count = number(int, "a whole number of 1 to 1,000", lambda value: 1 <= value <= 1_000)
    seed = number(int, "a whole number of 0 to 1,000,000", lambda value: 0 <= value <= 1_000_000)
    default, add = Setting(), parser.add_argument
    # fmt: off
    add("command", nargs="?", choices=[*EXPERIMENTS, "all"], default="train",
        help="train: both models once (the default); learning-rates: section 3.1; architectures: section 3.2")
    add("--models", nargs="+", choices=list(MODELS), default=list(MODELS), help="which models (both)")
    add("--lr", type=rate, default=default.lr, help="learning rate; the experiments vary it (%(default)s)")
    add("--epochs", type=whole, default=default.epochs, help="passes over the training data (%(default)s)")
    add("--batch-size", type=whole, default=default.batch_size, help="images per step (%(default)s)")
    add("--val-perc", type=share, default=default.val_perc, help="share kept for validation (%(default)s)")
    add("--seed", type=seed, default=default.seed, help="split, order and first weights (%(default)s)")
    add("--seeds", type=count, default=1, help="so many runs of each, with SEED, SEED + 1, ... (%(default)s)")
    add("--jobs", type=count, default=1, help="networks at a time, each on cores of its own (%(default)s)")
    add("--plot", action="store_true", help="also show the figures, where there is a screen")
    add("--save", type=expanded, metavar="FILE",
        help="keep the weights of the base network: .pt for torch.load, .npz for NumPy")
    add("--data-dir", help="folder with the data set's files, or to put them in ($FASHION_MNIST_DIR, ./data)")
    add("--results-dir", type=expanded, help="where results go (results, or results/synthetic)")
    add("--dataset", choices=DATASETS, default=default.dataset, help="the real one, or a made-up one")
    add("--fresh", action="store_true", help="forget the results of this command's runs and start over")
    # fmt: on
    return parser


def run_experiments(options: argparse.Namespace) -> None:
    """Do the runs that have no record yet, then make the figures and tables."""
    if not options.plot:
        matplotlib.use("agg")
    if options.save and options.save.suffix not in (".pt", ".pth", ".npz"):
        raise ValueError(f"--save: expected a file that ends with .pt, .pth or .npz, got {options.save}")
    if options.jobs > available_cores():
        raise ValueError(f"--jobs: expected at most {available_cores()}, as cores, got {options.jobs}")
    given = ("lr", "batch_size", "epochs", "val_perc", "seed", "dataset")
    base = Setting(**{name: getattr(options, name) for name in given})
    models = list(dict.fromkeys(options.models))
    plans = {it: plan(it, base, models) for it in EXPERIMENTS if options.command in (it, "all")}
    seeds = range(options.seed, options.seed + options.seeds)
    planned = [it for groups in plans.values() for group in groups.values() for it in group]
    settings = list(dict.fromkeys(replace(it, seed=seed) for seed in seeds for it in planned))
    data = FashionMNIST(base.batch_size, base.val_perc, base.seed, options.data_dir, base.dataset)
    default_folder = "results" if base.dataset == "fashion-mnist" else f"results/{base.dataset}"
    if options.save:
        check_writable(options.save.parent, options.save)
    results = Results(options.results_dir or Path(default_folder), hash_of(Layer, MLP, Setting))
    if options.fresh:
        for setting in settings:
            results.forget(setting)
    to_save = [replace(base, model=model) for model in models] if options.save else []
    records = {it: record for it in settings if it not in to_save and (record := results.load(it, Record))}
    kept, states = list(records), {}
    if results.outdated:
        print(f"{len(results.outdated)} runs were of other code, and are done again", file=sys.stderr)
    done: Iterable[Any] = ((records[setting], {}) for setting in kept)
    missing = [it for it in settings if it not in records]
    with closing(run_all(missing, options.data_dir, options.jobs)) as new:
        for place, (record, weights) in enumerate(itertools.chain(done, new), 1):
            setting = record.setting
            if setting not in kept:
                results.save(record)
                records[setting] = record
            if setting in to_save:
                states[setting.model] = weights
            tqdm.write(
                f"[{place}/{len(settings)}] {setting}: test accuracy {record.test_accuracy:.4f}, "
                f"trained in {record.training_seconds:.1f} s{' (kept from before)' * (setting in kept)}"
            )
    if options.save:
        save_weights(options.save, {model: states[model] for model in models})
    results.save_figure(plot_samples(data), "samples.png")
    for name, groups in plans.items():
        finished = {
            key: [[records[replace(it, seed=seed)] for seed in seeds] for it in group]
            for key, group in groups.items()
        }
        EXPERIMENTS[name](finished, results)
    interactive = backend_registry.list_builtin(BackendFilter.INTERACTIVE)
    if options.plot and matplotlib.get_backend().lower() in interactive:
        plt.show()
    elif options.plot:
        print("there is no screen to show figures on; they are saved")
    plt.close("all")


def save_weights(path: str | Path, states: Mapping[str, Mapping[str, FloatArray]]) -> None:
    """Save the state dicts of models as one; of several, with the model's name before the parameter's.

    As .npz it is for NumPy alone, else of tensors, for ``torch.load(path, weights_only=True)``.
    """
    named = [(f"{model}." if len(states) > 1 else "", state) for model, state in states.items()]
    arrays = {before + name: array for before, state in named for name, array in state.items()}
    with replacing(Path(path)) as beside, open(beside, "wb") as file:
        if Path(path).suffix == ".npz":
            np.savez(file, allow_pickle=False, **arrays)
        else:
            torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, file)
    print(f"saved {path}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    return run_command(make_parser(), run_experiments, arguments)


if __name__ == "__main__":
    # Under its own name, by which the processes of --jobs find what they are handed.
    sys.exit(__import__("fashion_mnist").main())
