"""Fashion-MNIST with two models, PyTorch's and our own, that compute the same (handout, section 3).

The file reads from top to bottom as the data flow: find and check the data set, batch it
(``FashionMNIST``), train it with PyTorch (``PytorchMLPFashionMNIST``) and with the layers of ``q1.py``
and ``q2.py`` (``CustomMLPFashionMNIST``), draw curves (``plot``), run the handout's experiments and
keep their results, and last the command line:

    python fashion_mnist.py                     both models, 10 epochs, learning rate 0.002
    python fashion_mnist.py learning-rates      section 3.1: three learning rates, six figures
    python fashion_mnist.py architectures       section 3.2: ten architectures, one table
    python fashion_mnist.py all                 all of it
    python fashion_mnist.py all --seeds 3       all of it three times, as means and standard deviations
"""

from __future__ import annotations

import argparse
import csv
import functools
import gzip
import hashlib
import itertools
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.backends import BackendFilter, backend_registry
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, DTypeLike
from tabulate import tabulate
from threadpoolctl import threadpool_limits
from torch import nn
from torch.utils.data import Subset, TensorDataset
from tqdm import tqdm

from q1 import CrossEntropyLossLayer, Dense, FloatArray, Layer, ReLULayer, SoftmaxLayer, as_float_array
from q2 import MLP

# ---------------------------------------------------------------------------------------------------
# The data set: find it, check it, fetch it
# ---------------------------------------------------------------------------------------------------

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
DEBIAN_PACKAGE = "dataset-fashion-mnist"


class DataError(RuntimeError):
    """The data set is missing, incomplete or not what it should be."""


@dataclass(frozen=True)
class IdxFile:
    """One of the files that Fashion-MNIST consists of, an array of bytes in the IDX format.

    Attributes:
        name: the file's name; a gzipped one has ".gz" behind it.
        shape: the array's shape.
        sha256: the checksum of the file as it is when not gzipped.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def header(self) -> bytes:
        """What the file begins with: two zeros, 8 for unsigned bytes, the number of axes, the axes."""
        axes = b"".join(size.to_bytes(4, "big") for size in self.shape)
        return bytes([0, 0, 8, len(self.shape)]) + axes

    def read(self, path: Path) -> FloatArray:
        """Read the file, or a gzipped one, and check every byte of it.

        Returns:
            uint8, of the shape that the file should have.

        Raises:
            DataError: the file is cut off, too long, not gzip, or holds something else.
        """
        size = len(self.header) + math.prod(self.shape)
        try:
            with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
                content = file.read(size + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path}: expected a whole gzip file, got one with an error: {error}") from error
        if content[:4] != self.header[:4]:
            expected, found = (int.from_bytes(head[:4], "big") for head in (self.header, content))
            raise DataError(f"{path}: expected an IDX file with magic number {expected}, got {found}")
        if len(content) != size:
            found_size = f"{len(content)}" if len(content) < size else "more"
            raise DataError(f"{path}: expected {size} bytes, got {found_size}")
        found_sum = hashlib.sha256(content).hexdigest()
        if found_sum != self.sha256:
            raise DataError(f"{path}: expected the sha256 sum {self.sha256}, got {found_sum}")
        return np.frombuffer(content, np.uint8, offset=len(self.header)).reshape(self.shape)


IDX_FILES = (
    IdxFile(
        "train-images-idx3-ubyte",
        (60_000, 28, 28),
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    IdxFile(
        "train-labels-idx1-ubyte",
        (60_000,),
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    IdxFile(
        "t10k-images-idx3-ubyte",
        (10_000, 28, 28),
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    IdxFile(
        "t10k-labels-idx1-ubyte",
        (10_000,),
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)


def find_idx_files(folder: Path) -> list[Path] | None:
    """Return the paths of the four files of ``IDX_FILES`` in a folder, or None if none is there.

    They may be gzipped or not, and lie in the folder itself or in torchvision's FashionMNIST/raw below.

    Raises:
        DataError: some of the files are there and some are not.
    """
    for place in (folder, folder / "FashionMNIST" / "raw"):
        candidates = [[place / file.name, place / f"{file.name}.gz"] for file in IDX_FILES]
        found = [next((path for path in paths if path.is_file()), None) for paths in candidates]
        missing = [file.name for file, path in zip(IDX_FILES, found, strict=True) if path is None]
        if not missing:
            return [path for path in found if path is not None]
        if len(missing) < len(IDX_FILES):
            raise DataError(f"{place}: expected {len(IDX_FILES)} files, got all but {', '.join(missing)}")
    return None


def load_idx_files(data_dir: str | os.PathLike[str] | None = None) -> list[FloatArray]:
    """Load the real Fashion-MNIST from the first place that has it, or fetch it.

    The places: ``data_dir``, or if that is None ``$FASHION_MNIST_DIR``; ``./data``; the folder of the
    Debian package. Else torchvision downloads it, and where that fails apt-get does; it is then kept in
    ``data_dir`` (by default ``./data``).

    Returns:
        The arrays of ``IDX_FILES``, uint8, in that order.

    Raises:
        DataError: it is nowhere to be had, or a place has it but not whole.
    """
    own = data_dir or os.environ.get("FASHION_MNIST_DIR")
    target = Path(own or "data")
    folders = dict.fromkeys([target, Path("data"), DEBIAN_FOLDER])
    for folder in folders:
        paths = find_idx_files(folder)
        if paths is not None:
            return [file.read(path) for file, path in zip(IDX_FILES, paths, strict=True)]
    failures = []
    for fetch in (fetch_with_torchvision, fetch_with_apt):
        try:
            target.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetched-", dir=target) as fetched:
                paths = find_idx_files(fetch(Path(fetched)))
                if paths is None:
                    raise DataError("the files were not in what came")
                arrays = [file.read(path) for file, path in zip(IDX_FILES, paths, strict=True)]
                whole = Path(fetched, "whole")
                whole.mkdir()
                for file, path in zip(IDX_FILES, paths, strict=True):
                    path.rename(whole / f"{file.name}{path.suffix}")
                (target / "FashionMNIST").mkdir(exist_ok=True)
                whole.rename(target / "FashionMNIST" / "raw")
            return arrays
        except (DataError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            failures.append(f"  {fetch.__name__}: {' '.join(str(error).split())}")
    raise DataError(
        "Fashion-MNIST was not found in "
        + ", ".join(f"{folder}" for folder in folders)
        + ", and fetching it failed:\n"
        + "\n".join(failures)
        + "\nTo provide it, do one of these:\n"
        f"  put {', '.join(file.name for file in IDX_FILES)} (or .gz) into a folder and name it with\n"
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
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
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


class Images(NamedTuple):
    """A data set in memory: images (n, 1, 28, 28) float32 in [-1, 1] and labels (n,) int64."""

    train_images: FloatArray
    train_labels: FloatArray
    test_images: FloatArray
    test_labels: FloatArray


@functools.lru_cache(maxsize=1)
def load_images(dataset: str, data_dir: str | None = None) -> Images:
    """Load a data set, "fashion-mnist" or "synthetic", and scale its pixels from 0 .. 255 to -1 .. 1.

    Raises:
        DataError: Fashion-MNIST is not to be had, or not whole.
        ValueError: there is no data set of that name.
    """
    if dataset not in DATASETS:
        raise ValueError(f"expected dataset to be one of {', '.join(DATASETS)}, got {dataset!r}")
    arrays = load_idx_files(data_dir) if dataset == "fashion-mnist" else make_synthetic_images()

    def scale(images: FloatArray) -> FloatArray:
        scaled = images[:, np.newaxis].astype(np.float32)
        scaled /= 255
        scaled -= 0.5
        scaled /= 0.5
        return scaled

    train_images, train_labels, test_images, test_labels = arrays
    return Images(
        scale(train_images), train_labels.astype(np.int64), scale(test_images), test_labels.astype(np.int64)
    )


DATASETS = ("fashion-mnist", "synthetic")


def make_synthetic_images(train_size: int = 2_000, test_size: int = 500) -> list[FloatArray]:
    """Make a small set of ten learnable classes, for trying things out where the real one is not at hand.

    Each class is a coarse random pattern; its images are that pattern, shifted a little, with noise.

    Returns:
        Training images (n, 28, 28) and labels (n,), test images and labels, all uint8.
    """
    random = np.random.RandomState(0)
    patterns = np.kron(random.uniform(0, 255, (len(CLASSES), 7, 7)), np.ones((4, 4)))

    def draw(size: int) -> list[FloatArray]:
        labels = random.randint(len(CLASSES), size=size)
        shifts = random.randint(-2, 3, (size, 2))
        shifted = [
            np.roll(patterns[label], shift, (0, 1)) for label, shift in zip(labels, shifts, strict=True)
        ]
        images = np.clip(shifted + random.normal(0, 60, (size, 28, 28)), 0, 255)
        return [images.astype(np.uint8), labels.astype(np.uint8)]

    return draw(train_size) + draw(test_size)


# ---------------------------------------------------------------------------------------------------
# Batches
# ---------------------------------------------------------------------------------------------------


class BatchLoader:
    """Goes through a data set in batches (counterpart: ``torch.utils.data.DataLoader``).

    It gathers about a thousand images at a time with NumPy and hands out slices. No operation of
    PyTorch's is in that, so that its threads, which go on spinning for a while after every parallel
    operation, do not take the cores away from NumPy's.

    Args:
        dataset: pairs of an image and a label.
        batch_size: how many of them make a batch; the last one has what is left.
        seed: with a seed, the order is shuffled, in another way each epoch; None keeps it.

    Attributes:
        epoch: which epoch comes next. Data set, seed and epoch fix the order.
    """

    gathered_at_once = 1024

    def __init__(self, dataset: Subset[Any], batch_size: int, seed: int | None = None) -> None:
        images, labels = dataset.dataset.tensors  # type: ignore[attr-defined]
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self._images, self._labels = images.numpy(), labels.numpy()
        self._indices = np.asarray(dataset.indices)

    def __len__(self) -> int:
        """Return the number of batches."""
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
        batch_size: how many images make a batch.
        val_perc: the share of the 60,000 training images that is set aside for validation; with 0 there
            is no validation.
        seed: fixes which images those are, and in which order the rest come, anew in each epoch.
        data_dir: the folder with the files, or where they are put once fetched (see ``load_idx_files``).
        dataset: "fashion-mnist", or "synthetic" for a small made-up set.

    Attributes:
        train_loader, val_loader, test_loader: iterate over (images, labels), tensors of shape
            (B, 1, 28, 28), float32, in [-1, 1], and (B,), int64.

    Raises:
        ValueError: batch_size is no whole number >= 1, val_perc is not in [0, 1), the data set's name
            is unknown.
        DataError: the data set is not to be had, or not whole.
    """

    def __init__(
        self,
        batch_size: int = 8,
        val_perc: float = 0.2,
        seed: int = 0,
        data_dir: str | os.PathLike[str] | None = None,
        dataset: str = "fashion-mnist",
    ) -> None:
        if not isinstance(batch_size, (int, np.integer)) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError(
                f"FashionMNIST: expected batch_size to be a whole number >= 1, got {batch_size!r}"
            )
        if not 0 <= val_perc < 1:
            raise ValueError(f"FashionMNIST: expected 0 <= val_perc < 1, got {val_perc!r}")
        images = load_images(dataset, None if data_dir is None else str(data_dir))
        self.batch_size = batch_size
        self.dataset = dataset
        train = TensorDataset(torch.from_numpy(images.train_images), torch.from_numpy(images.train_labels))
        test = TensorDataset(torch.from_numpy(images.test_images), torch.from_numpy(images.test_labels))
        shuffled = np.random.default_rng(seed).permutation(len(train))
        val_size = round(val_perc * len(train))
        if val_size == len(train):
            raise ValueError(
                f"FashionMNIST: expected a val_perc that leaves training images, got {val_perc!r}"
            )
        val_indices, train_indices = np.split(shuffled, [val_size])
        self.train_loader = BatchLoader(Subset(train, train_indices.tolist()), batch_size, seed)
        self.val_loader = BatchLoader(Subset(train, val_indices.tolist()), batch_size)
        self.test_loader = BatchLoader(Subset(test, range(len(test))), batch_size)


# ---------------------------------------------------------------------------------------------------
# The two models
# ---------------------------------------------------------------------------------------------------

Progress: TypeAlias = Callable[[int, float], None]
"""Called now and then while training, with the batches since the last call and the mean loss so far."""


class PytorchMLPFashionMNIST(nn.Module):
    """The handout's network in PyTorch: 784 → 256 → 128 → 10, ReLU in between, softmax at the end.

    Args:
        input_size: the pixels of an image.
        hidden_size1, hidden_size2: the widths of the hidden layers; hidden_size2 may be None, which
            leaves that layer out.
        output_size: the number of classes.

    Attributes:
        layers: the ``nn.Sequential``.
        epochs_trained: how often ``train`` has gone through the data.
        training_seconds: the time that took, validation not counted.
    """

    def __init__(
        self,
        input_size: int = 784,
        hidden_size1: int = 256,
        hidden_size2: int | None = 128,
        output_size: int = 10,
    ) -> None:
        super().__init__()
        sizes = [size for size in (input_size, hidden_size1, hidden_size2, output_size) if size is not None]
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1], nn.Softmax(dim=-1))
        self.epochs_trained = 0
        self.training_seconds = 0.0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the probability of each class, (N, 10), for images (N, 1, 28, 28) or (N, 784)."""
        return self.layers(self._flatten(images))

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the softmax makes probabilities of, (N, 10)."""
        return self.layers[:-1](self._flatten(images))

    def _flatten(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1).to(next(self.parameters()).dtype)

    def train(
        self,
        data: FashionMNIST | bool = True,
        criterion: nn.Module | None = None,
        lr: float = 0.002,
        progress: Progress | None = None,
    ) -> Any:
        """Train for one epoch with plain SGD, then measure the accuracy on the validation set.

        The handout gives this name to what it asks for, and PyTorch to the switch between training and
        evaluation. With True or False for ``data`` the method is that switch, as in every ``nn.Module``.

        Args:
            data: a FashionMNIST.
            criterion: the loss, of logits and labels; by default ``nn.CrossEntropyLoss()``.
            lr: the learning rate.
            progress: called about 50 times (see ``Progress``).

        Returns:
            The mean training loss of the epoch, and the validation accuracy after it (NaN without
            validation set), two floats. As PyTorch's switch, the model.

        Raises:
            ValueError: the learning rate is negative, infinite or NaN.
            TypeError: the criterion is none of PyTorch's.
        """
        if isinstance(data, bool):
            return super().train(data)
        check_learning_rate(lr)
        criterion = nn.CrossEntropyLoss() if criterion is None else criterion
        if isinstance(criterion, Layer):
            raise TypeError(f"train: expected a criterion such as nn.CrossEntropyLoss(), got {criterion}")
        super().train(True)
        optimizer = torch.optim.SGD(self.parameters(), lr=lr)

        def step(images: torch.Tensor, labels: torch.Tensor) -> float:
            loss = criterion(self.logits(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.item()

        return train_one_epoch(self, data, step, progress)

    def test(self, data: FashionMNIST) -> float:
        """Return the accuracy on the test set."""
        return self.accuracy(data.test_loader)

    def accuracy(self, loader: BatchLoader) -> float:
        """Return the share of images that the model gives their label; NaN if there are none."""

        def predict(images: FloatArray) -> FloatArray:
            return self.logits(torch.from_numpy(images)).argmax(dim=1).numpy()

        was_training = self.training
        self.eval()
        with torch.no_grad():
            share = accuracy(predict, loader)
        super().train(was_training)
        return share


class CustomMLPFashionMNIST(Layer):
    """The same network and the same methods, of the layers in q1 and q2 alone.

    ``state_dict`` and ``load_state_dict`` exchange weights with ``PytorchMLPFashionMNIST``.

    Args:
        input_size, hidden_size1, hidden_size2, output_size: as there.
        dtype: float32 or float64.
        seed: where the initial weights come from; each layer draws from the next number.

    Attributes:
        layers: the ``MLP``.
        epochs_trained, training_seconds: as there.
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
        sizes = [size for size in (input_size, hidden_size1, hidden_size2, output_size) if size is not None]
        layers: list[Layer] = []
        for place, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
            # Of the first layer nobody asks the input's gradient, so its weights can lie as x Wᵀ likes.
            order = "F" if place == 0 else "C"
            layers += [Dense(inputs, outputs, dtype, seed + place, order), ReLULayer()]
        self.layers = MLP([*layers[:-1], SoftmaxLayer()])
        self.dtype = np.dtype(dtype)
        self.epochs_trained = 0
        self.training_seconds = 0.0

    def init_weights(self) -> None:
        """Draw the weights anew."""
        self.layers.init_weights()

    def forward(self, images: ArrayLike) -> FloatArray:
        """Return the probability of each class, (N, 10), for images (N, 1, 28, 28) or (N, 784)."""
        return self.layers.forward(self._flatten(images))

    def logits(self, images: ArrayLike) -> FloatArray:
        """Return what the softmax makes probabilities of, (N, 10)."""
        return self.layers[:-1].forward(self._flatten(images))

    def _flatten(self, images: ArrayLike) -> FloatArray:
        images = as_float_array(images, self.dtype)
        self._input_shape = images.shape
        return images.reshape(*images.shape[:1], math.prod(images.shape[1:]))

    def backward(self, output_grad: ArrayLike) -> FloatArray:
        """Compute all gradients and return the one of the images, given that of the probabilities."""
        return self.layers.backward(output_grad).reshape(self._input_shape)

    def update(self, learning_rate: float) -> None:
        """Take one step of gradient descent with the latest gradients."""
        self.layers.update(learning_rate)

    def check_gradients(self) -> None:
        """Raise a RuntimeError if there are no gradients yet."""
        self.layers.check_gradients()

    def state_dict(self) -> dict[str, FloatArray]:
        """Return the parameters under the names of ``PytorchMLPFashionMNIST.state_dict``."""
        return {f"layers.{name}": array for name, array in self.layers.state_dict().items()}

    @property
    def parameter_count(self) -> int:
        """How many numbers the network learns."""
        return self.layers.parameter_count

    def train(
        self,
        data: FashionMNIST,
        criterion: CrossEntropyLossLayer | None = None,
        lr: float = 0.002,
        progress: Progress | None = None,
    ) -> tuple[float, float]:
        """Train for one epoch with plain SGD, then measure the accuracy on the validation set.

        Args:
            data: a FashionMNIST.
            criterion: the loss; by default ``CrossEntropyLossLayer(from_logits=True)``, which is
                ``nn.CrossEntropyLoss()``. One of probabilities gets the output of the softmax layer.
            lr: the learning rate.
            progress: called about 50 times (see ``Progress``).

        Returns:
            The mean training loss of the epoch, and the validation accuracy after it (NaN without
            validation set).

        Raises:
            ValueError: the learning rate is negative, infinite or NaN.
            TypeError: the criterion is not made of our layers.
        """
        check_learning_rate(lr)
        loss_layer = CrossEntropyLossLayer(from_logits=True) if criterion is None else criterion
        if not isinstance(loss_layer, Layer):
            raise TypeError(f"train: expected a criterion such as CrossEntropyLossLayer(), got {criterion!r}")
        network = self.layers[:-1] if getattr(loss_layer, "from_logits", False) else self.layers

        def step(images: FloatArray, labels: FloatArray) -> float:
            loss = loss_layer.forward(network.forward(self._flatten(images)), labels)
            # The gradient of lr times the loss, and a step of 1: so the update need not multiply by lr.
            network.backward_parameters(loss_layer.backward(lr))
            self.layers.update(1)
            return loss.item()

        self.layers.reuse_buffers = True
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # with too large an lr; as quiet as PyTorch
                return train_one_epoch(self, data, step, progress, as_arrays=True)
        finally:
            self.layers.reuse_buffers = False

    def test(self, data: FashionMNIST) -> float:
        """Return the accuracy on the test set."""
        return self.accuracy(data.test_loader)

    def accuracy(self, loader: BatchLoader) -> float:
        """Return the share of images that the model gives their label; NaN if there are none."""
        with np.errstate(over="ignore", invalid="ignore"):
            return accuracy(lambda images: self.logits(images).argmax(axis=1), loader)

    def __repr__(self) -> str:
        """Show the layers."""
        return f"CustomMLPFashionMNIST({self.layers})"


def check_learning_rate(lr: float) -> None:
    """Raise a ValueError if a learning rate is negative, NaN, or infinite as a float32."""
    if not 0 <= lr <= float(np.finfo(np.float32).max):
        raise ValueError(f"train: expected a learning rate >= 0 that a float32 can hold, got {lr!r}")


def arrays_of(loader: BatchLoader, batch_size: int | None = None) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Go through a loader, of ours or of PyTorch's, as NumPy arrays; ours also in another batch size."""
    if isinstance(loader, BatchLoader):
        return loader.arrays(batch_size)
    return ((images.numpy(), labels.numpy()) for images, labels in loader)


def train_one_epoch(
    model: PytorchMLPFashionMNIST | CustomMLPFashionMNIST,
    data: FashionMNIST,
    step: Callable[[Any, Any], float],
    progress: Progress | None,
    as_arrays: bool = False,
) -> tuple[float, float]:
    """Take a step with every training batch, and return the mean loss and the validation accuracy.

    Every image counts the same in the mean, also those of a last, smaller batch. The n-th epoch of
    every model sees the batches in the same order.

    Args:
        model: the model, whose ``epochs_trained`` and ``training_seconds`` are brought up to date.
        data: a FashionMNIST.
        step: takes images and labels, changes the model and returns the mean loss of the batch.
        progress: as for ``train``.
        as_arrays: whether ``step`` takes NumPy arrays and not tensors.
    """
    loader = data.train_loader
    if hasattr(loader, "set_epoch"):
        loader.set_epoch(model.epochs_trained)
    batches: Iterable[tuple[Any, Any]] = arrays_of(loader) if as_arrays else loader
    report_every = max(1, len(loader) // 50)
    total, images_seen, reported = 0.0, 0, 0
    start = time.perf_counter()
    with suitable_threads(getattr(loader, "batch_size", None)):
        for batch, (images, labels) in enumerate(batches, 1):
            total += step(images, labels) * len(labels)
            images_seen += len(labels)
            if progress is not None and (batch % report_every == 0 or batch == len(loader)):
                progress(batch - reported, total / images_seen)
                reported = batch
    model.training_seconds += time.perf_counter() - start
    model.epochs_trained += 1
    return total / images_seen, model.accuracy(data.val_loader)


@contextmanager
def suitable_threads(batch_size: int | None) -> Iterator[None]:
    """Keep PyTorch and NumPy's BLAS to one thread if the batches are small.

    The matrix products of fewer than 32 images are over before a second thread has paid for its wake-up,
    and where the two come to share a core, each waits for the other: epochs then take up to four times as
    long. Both models are treated alike.
    """
    if batch_size is None or batch_size >= 32:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(threads)


def accuracy(predict: Callable[[FloatArray], FloatArray], loader: BatchLoader) -> float:
    """Return the share of images whose label ``predict`` gives; NaN if there are no images."""
    correct = count = 0
    for images, labels in arrays_of(loader, batch_size=1000):
        correct += int(np.count_nonzero(predict(images) == labels))
        count += len(labels)
    return correct / count if count else math.nan


MODELS = {"pytorch": "PyTorch", "custom": "custom"}
"""The models by the name they have on the command line and the one they have in figures and tables."""

# ---------------------------------------------------------------------------------------------------
# Figures
# ---------------------------------------------------------------------------------------------------

STYLE = {
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "savefig.bbox": "tight",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 2,
    "legend.frameon": False,
}
# Okabe and Ito's colours, which people with a colour-vision deficiency can tell apart; the two models
# differ in marker and line too, so that a curve that hides another still lets it be seen.
LOOKS: dict[str, dict[str, Any]] = {
    "PyTorch": {
        "color": "#D55E00",
        "marker": "o",
        "markersize": 9,
        "markerfacecolor": "none",
        "linewidth": 3,
    },
    "custom": {"color": "#0072B2", "marker": "x", "markersize": 6, "linestyle": "--"},
}
VARIED_LOOKS: dict[str, dict[str, Any]] = {
    "first hidden layer": {"color": "#0072B2", "marker": "o", "linewidth": 1.5},
    "second hidden layer": {"color": "#D55E00", "marker": "s", "linewidth": 1.5, "linestyle": "--"},
}
Curve: TypeAlias = "Sequence[float] | Sequence[Sequence[float]]"
"""One number per epoch; or a row of such numbers for each of several runs."""
Curves: TypeAlias = "Curve | Mapping[str, Curve]"
"""A curve; or, to compare models, curves by the model's name."""


def draw_curves(axes: Any, curves: Curves, title: str, label: str) -> None:
    """Draw a curve, or several by name; of several runs the mean, and the standard deviation as a band."""
    named = curves if isinstance(curves, Mapping) else {"": curves}
    for name, curve in named.items():
        look = LOOKS.get(name, {"color": "#0072B2", "marker": "o"})
        mean, std = Measured.of(np.atleast_2d(curve))
        epochs = range(1, len(mean) + 1)
        axes.plot(epochs, mean, label=name or None, **look)
        if std is not None:
            axes.fill_between(epochs, mean - std, mean + std, color=look["color"], alpha=0.2, linewidth=0)
    axes.set(title=title, xlabel="Epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if all(named):
        axes.legend()


def count_epochs(curves: Curves) -> int | dict[str, int]:
    """Return how many epochs a curve has, by the model's name if there are several models."""
    if isinstance(curves, Mapping):
        return {name: np.shape(curve)[-1] for name, curve in curves.items()}
    return np.shape(curves)[-1]


def plot(train_losses: Curves, val_accuracies: Curves, title: str = "Fashion-MNIST") -> Figure:
    """Plot the training loss and the validation accuracy over the epochs, side by side.

    Args:
        train_losses: one number per epoch, or a row of them for each of several runs, which are drawn as
            their mean with a band of one standard deviation; or, to compare models, such curves by the
            model's name.
        val_accuracies: likewise.
        title: the figure's title.

    Returns:
        The figure, of ``matplotlib.pyplot``; ``plt.show()`` shows it.

    Raises:
        ValueError: there are not as many losses as accuracies, or not of the same models.
    """
    losses, accuracies = count_epochs(train_losses), count_epochs(val_accuracies)
    if losses != accuracies:
        raise ValueError(f"plot: expected as many losses as accuracies, got {losses} and {accuracies}")
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
        figure.suptitle(title)
        draw_curves(left, train_losses, "Training loss", "Cross-entropy, mean of the epoch")
        draw_curves(right, val_accuracies, "Validation accuracy", "Accuracy after the epoch")
    return figure


def plot_curves(curves: Curves, title: str, label: str) -> Figure:
    """Plot one quantity over the epochs."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
        draw_curves(axes, curves, title, label)
    return figure


def plot_samples(data: FashionMNIST, columns: int = 8) -> Figure:
    """Show the first training images of each of the ten classes, a row for each."""
    subset = data.train_loader.dataset
    images, labels = subset.dataset.tensors  # type: ignore[attr-defined]
    pixels, labels = images.numpy(), labels.numpy()
    with plt.rc_context({**STYLE, "axes.grid": False}):
        size = (0.75 * columns + 1.5, 0.75 * len(CLASSES) + 0.9)
        figure, grid = plt.subplots(len(CLASSES), columns, figsize=size, layout="constrained", squeeze=False)
        figure.suptitle(f"The ten classes of {titled(data.dataset)}")
        figure.supxlabel("Training images")
        figure.supylabel("Class")
        names = CLASSES if data.dataset == "fashion-mnist" else [str(label) for label in range(len(CLASSES))]
        for row, (name, line) in enumerate(zip(names, grid, strict=True)):
            chosen = [index for index in subset.indices if labels[index] == row][:columns]
            for axes in line:
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
            for axes, index in zip(line, chosen, strict=False):
                axes.imshow(pixels[index, 0], cmap="gray_r", vmin=-1, vmax=1)
            line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


def titled(dataset: str) -> str:
    """Return a data set's name as titles have it; the synthetic one's says what it is."""
    return "Fashion-MNIST" if dataset == "fashion-mnist" else "synthetic data (not Fashion-MNIST)"


def described(runs: Runs, *details: str) -> str:
    """Return what titles say of some runs: the data set, details and, of several runs, what is shown."""
    several = f"\nmean ± standard deviation of {len(runs)} seeds" if len(runs) > 1 else ""
    return ", ".join([titled(runs[0].setting.dataset), *details]) + several


def plot_accuracy_against_time(groups: Finished) -> Figure:
    """Plot test accuracy over training time, a panel for each model.

    A line joins the original architecture and those that differ from it in the same layer.
    """
    models = [runs[0].setting.model for runs in groups[ORIGINAL]]
    with plt.rc_context(STYLE):
        size = (5 * len(models), 4.6)
        figure, grid = plt.subplots(
            1, len(models), figsize=size, layout="constrained", squeeze=False, sharey=True
        )
        figure.suptitle(f"Test accuracy against training time, {described(groups[ORIGINAL][0])}")
        for panel, (model, axes) in enumerate(zip(models, grid[0], strict=True)):
            seconds, accuracies = (
                {architecture: measured(group[panel], quantity) for architecture, group in groups.items()}
                for quantity in ("training_seconds", "test_accuracy")
            )
            points = {
                architecture: (seconds[architecture].mean, accuracies[architecture].mean)
                for architecture in groups
            }
            for architecture, point in points.items():
                errors = accuracies[architecture].std, seconds[architecture].std
                axes.errorbar(*point, *errors, fmt="none", ecolor="0.6", elinewidth=1)
            for varied, look in VARIED_LOOKS.items():
                joined = [
                    architecture for architecture in points if architecture.varied in (varied, "nothing")
                ]
                joined.sort(key=lambda architecture: architecture.sizes)
                axes.plot(
                    *zip(*(points[architecture] for architecture in joined), strict=True),
                    **look,
                    label=varied,
                )
                for place, architecture in enumerate(joined):
                    label = architecture.width if architecture.varied == varied else ""
                    below = varied.startswith("second") and place % 2 == 0  # these lie closer together
                    offset = (0, -16) if below else (0, 8)
                    axes.annotate(
                        label,
                        points[architecture],
                        offset,
                        textcoords="offset points",
                        ha="center",
                        fontsize=9,
                        color=look["color"],
                        path_effects=[withStroke(linewidth=3, foreground="white")],  # legible on lines
                    )
            axes.plot(*points[ORIGINAL], "k*", markersize=14, label="original, 256 and 128")
            axes.set(title=MODELS[model], xlabel="Training time (s)", ylabel="Test accuracy", xscale="log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_locator(NullLocator())
            axes.margins(x=0.1, y=0.12)
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


# ---------------------------------------------------------------------------------------------------
# Runs and their records
# ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """All that decides how a run turns out, but for the speed of the machine."""

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
    def name(self) -> str:
        """A file name that no other setting has."""
        widths = f"{self.hidden_size1}" + ("" if self.hidden_size2 is None else f"-{self.hidden_size2}")
        return (
            f"{self.dataset}_{self.model}_{widths}_lr{self.lr!r}_batch{self.batch_size}_epochs{self.epochs}"
            f"_val{self.val_perc!r}_seed{self.seed}"
        )

    def __str__(self) -> str:
        """Describe the run in a few words."""
        widths = f"{self.hidden_size1}" + ("" if self.hidden_size2 is None else f"-{self.hidden_size2}")
        seed = f", seed {self.seed}" if self.seed else ""
        return f"{MODELS[self.model]} {widths}, lr {self.lr:g}, batch {self.batch_size}{seed}"


@dataclass(frozen=True)
class Record:
    """What a finished run has measured.

    Attributes:
        setting: what was run.
        parameters: how many numbers the model learns.
        train_losses, val_accuracies: one per epoch.
        test_accuracy: after the last epoch.
        training_seconds: the time that the training steps took; neither loading nor validation is in it.
    """

    setting: Setting
    parameters: int
    train_losses: list[float]
    val_accuracies: list[float]
    test_accuracy: float
    training_seconds: float

    def to_json(self) -> str:
        """Write the record as JSON, which knows no NaN: the loss of a diverged run becomes null."""

        def finite(values: list[float]) -> list[float | None]:
            return [value if math.isfinite(value) else None for value in values]

        content = asdict(self) | {
            "train_losses": finite(self.train_losses),
            "val_accuracies": finite(self.val_accuracies),
        }
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read what ``to_json`` wrote.

        Raises:
            ValueError: the text is something else.
        """
        try:
            content = json.loads(text)
            setting = Setting(**content["setting"])
            losses, accuracies = (
                [math.nan if value is None else float(value) for value in content[name]]
                for name in ("train_losses", "val_accuracies")
            )
            if not len(losses) == len(accuracies) == setting.epochs:
                raise ValueError
            test_accuracy, seconds = float(content["test_accuracy"]), float(content["training_seconds"])
            return cls(setting, int(content["parameters"]), losses, accuracies, test_accuracy, seconds)
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"expected the record of a run, got {text[:40]!r}") from error


Runs: TypeAlias = "Sequence[Record]"
"""The records of one setting, with one seed after the other."""
Finished: TypeAlias = "Mapping[Any, Sequence[Runs]]"
"""The results of an experiment: for each thing compared, the runs of each model."""


class Measured(NamedTuple):
    """What several runs have measured: the mean, and the standard deviation (n - 1), None of a single run.

    Both are numbers, or both arrays of one number per epoch.
    """

    mean: Any
    std: Any = None

    @classmethod
    def of(cls, values: Sequence[Any] | FloatArray) -> Measured:
        """Return the mean and the standard deviation of one number, or one row of numbers, per run."""
        with np.errstate(invalid="ignore"):  # losses can be infinite
            return cls(np.mean(values, axis=0), np.std(values, axis=0, ddof=1) if len(values) > 1 else None)

    def __format__(self, spec: str) -> str:
        """Format a number as one alone is, with its standard deviation behind it if there is one."""
        return f"{self.mean:{spec}}" + ("" if self.std is None else f" ± {self.std:{spec}}")


def measured(runs: Runs, quantity: str) -> Measured:
    """Return what some runs have measured of one quantity, an attribute of ``Record``."""
    return Measured.of([getattr(record, quantity) for record in runs])


class Results:
    """The folder where results are kept: a record per finished run, and the figures and tables of them.

    Args:
        folder: the folder; it is made if need be.

    Raises:
        OSError: it can't be made or written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.runs):
                pass  # a folder that can't be written to is better found out before the training
        except OSError as error:
            reason = error.strerror or error
            raise OSError(f"expected a results folder to write to, got {folder}: {reason}") from error

    def load(self, setting: Setting) -> Record | None:
        """Return the record of a run, or None if there is none of exactly this setting."""
        path = self._path(setting)
        if not path.exists():
            return None
        try:
            record = Record.from_json(path.read_text())
        except ValueError as error:
            print(f"{path}: {error}; the run is done again", file=sys.stderr)
            return None
        return record if record.setting == setting else None

    def save(self, record: Record) -> None:
        """Keep a record."""
        with self.replacing(self._path(record.setting).relative_to(self.folder)) as path:
            path.write_text(record.to_json())

    def forget(self, setting: Setting) -> None:
        """Remove the record of a run, if there is one."""
        self._path(setting).unlink(missing_ok=True)

    def save_figure(self, figure: Figure, name: str) -> None:
        """Save a figure as PNG."""
        with self.replacing(name) as path:
            figure.savefig(path, format="png", dpi=STYLE["savefig.dpi"])
        print(f"saved {self.folder / name}")

    def save_text(self, text: str, name: str) -> None:
        """Save a table or another text."""
        with self.replacing(name) as path:
            path.write_text(text)
        print(f"saved {self.folder / name}")

    @contextmanager
    def replacing(self, name: str | Path) -> Iterator[Path]:
        """Hand out a path to write to; only when all is written does it take the place of ``name``."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.part")
        try:
            yield beside
            beside.replace(path)
        except OSError as error:
            raise OSError(f"{path} could not be written: {error.strerror or error}") from error
        finally:
            beside.unlink(missing_ok=True)

    def _path(self, setting: Setting) -> Path:
        return self.runs / f"{setting.name}.json"


def build_model(setting: Setting) -> PytorchMLPFashionMNIST | CustomMLPFashionMNIST:
    """Build a model; both kinds begin with the same weights, which depend on the sizes and the seed."""
    sizes = {"hidden_size1": setting.hidden_size1, "hidden_size2": setting.hidden_size2}
    custom = CustomMLPFashionMNIST(**sizes, seed=33 + 3 * setting.seed)  # type: ignore[arg-type]
    if setting.model == "custom":
        return custom
    pytorch = PytorchMLPFashionMNIST(**sizes)  # type: ignore[arg-type]
    pytorch.load_state_dict(custom.state_dict())
    return pytorch


def run(setting: Setting, data_dir: str | None = None) -> Record:
    """Train a model from scratch and test it, with a progress bar where there is a terminal."""
    data = FashionMNIST(setting.batch_size, setting.val_perc, setting.seed, data_dir, setting.dataset)
    model = build_model(setting)
    train_losses: list[float] = []
    val_accuracies: list[float] = []
    total = setting.epochs * len(data.train_loader)
    with tqdm(total=total, desc=str(setting), unit="batch", disable=None, leave=False) as bar:

        def advance(batches: int, loss: float) -> None:
            validated = f"{val_accuracies[-1]:.4f}" if val_accuracies else "-"
            bar.set_postfix(loss=f"{loss:.4f}", accuracy=validated, refresh=False)
            bar.update(batches)

        for _ in range(setting.epochs):
            train_loss, val_accuracy = model.train(data, lr=setting.lr, progress=advance)
            train_losses.append(train_loss)
            val_accuracies.append(val_accuracy)
    parameters = sum(math.prod(array.shape) for array in model.state_dict().values())
    return Record(setting, parameters, train_losses, val_accuracies, model.test(data), model.training_seconds)


# ---------------------------------------------------------------------------------------------------
# The handout's experiments
# ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Architecture:
    """One of the configurations of section 3.2.

    Attributes:
        varied: what differs from the original: "first hidden layer", "second hidden layer" or "nothing".
        hidden_size1: the width of the first hidden layer.
        hidden_size2: the width of the second, or None for no such layer.
    """

    varied: str = "nothing"
    hidden_size1: int = 256
    hidden_size2: int | None = 128

    @property
    def sizes(self) -> tuple[int, int]:
        """Both widths, as numbers."""
        return self.hidden_size1, self.hidden_size2 or 0

    @property
    def width(self) -> str:
        """The width of what is varied."""
        if self.varied == "first hidden layer":
            return str(self.hidden_size1)
        return "none" if self.hidden_size2 is None else str(self.hidden_size2)

    @property
    def name(self) -> str:
        """What to call it in a table."""
        return "original" if self.varied == "nothing" else f"{self.varied}: {self.width}"


ORIGINAL = Architecture()
ARCHITECTURES = (
    ORIGINAL,
    *(Architecture("first hidden layer", hidden_size1=width) for width in (8, 16, 64, 1024)),
    *(Architecture("second hidden layer", hidden_size2=width) for width in (8, 16, 64, 1024, None)),
)
LEARNING_RATE_FACTORS = {"very small": 1 / 200, "as given": 1, "very large": 100}


Groups: TypeAlias = "dict[Any, list[Setting]]"
"""The runs of an experiment: for each thing compared, the settings of the models."""


def train_settings(base: Setting, models: Sequence[str]) -> Groups:
    """Return the runs of ``train``: every model with the base setting."""
    return {"": [replace(base, model=model) for model in models]}


def learning_rate_settings(base: Setting, models: Sequence[str]) -> Groups:
    """Return the runs of section 3.1: every model with each of three learning rates."""
    return {
        name: [replace(base, model=model, lr=float(f"{base.lr * factor:.6g}")) for model in models]
        for name, factor in LEARNING_RATE_FACTORS.items()
    }


def architecture_settings(base: Setting, models: Sequence[str]) -> Groups:
    """Return the runs of section 3.2: every model with each of the architectures."""
    return {
        architecture: [
            replace(
                base,
                model=model,
                hidden_size1=architecture.hidden_size1,
                hidden_size2=architecture.hidden_size2,
            )
            for model in models
        ]
        for architecture in ARCHITECTURES
    }


def show_training(groups: Finished, results: Results) -> list[Figure]:
    """Save the curves of ``train`` and print the test accuracies."""
    (group,) = groups.values()
    setting = group[0][0].setting
    title = described(group[0], f"learning rate {setting.lr:g}", f"batches of {setting.batch_size}")
    train_losses, val_accuracies = curves(group, "train_losses"), curves(group, "val_accuracies")
    figure = plot(train_losses, val_accuracies, title)
    results.save_figure(figure, "training.png")
    for runs in group:
        name = MODELS[runs[0].setting.model]
        accuracy, seconds = measured(runs, "test_accuracy"), measured(runs, "training_seconds")
        print(f"{name}: test accuracy {accuracy:.4f}, trained in {seconds:.1f} s")
    if len(group) == 2:
        with np.errstate(invalid="ignore"):
            losses, accuracies = (
                np.diff(list(by_model.values()), axis=0) for by_model in (train_losses, val_accuracies)
            )
        print(
            f"largest difference between the two in any epoch: {np.abs(losses).max():.1e} in training loss, "
            f"{np.abs(accuracies).max():.4f} in validation accuracy"
        )
    return [figure]


def show_learning_rates(groups: Finished, results: Results) -> list[Figure]:
    """Save the six figures of section 3.1."""
    figures = plot_learning_rates(groups)
    for file_name, figure in figures.items():
        results.save_figure(figure, f"learning-rates/{file_name}")
    return list(figures.values())


def plot_learning_rates(groups: Finished) -> dict[str, Figure]:
    """Plot the six figures of section 3.1, by the name of their file."""
    figures = {}
    for name, group in groups.items():
        lr, data = f"{group[0][0].setting.lr:g}", described(group[0])
        for quantity, values, label in (
            ("Training loss", "train_losses", "Cross-entropy, mean of the epoch"),
            ("Validation accuracy", "val_accuracies", "Accuracy after the epoch"),
        ):
            title = f"{quantity}, learning rate {lr} ({name})\n{data}"
            file_name = f"{quantity} lr {lr}.png".lower().replace(" ", "-")
            figures[file_name] = plot_curves(curves(group, values), title, label)
    return figures


def show_architectures(groups: Finished, results: Results) -> list[Figure]:
    """Save the table of section 3.2, as CSV and as Markdown, and its figure, and print the table."""
    rows = architecture_rows(groups)
    numbers = [in_columns_of_numbers(row) for row in rows]
    with results.replacing("architectures.csv") as path, open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, numbers[0])
        writer.writeheader()
        writer.writerows(numbers)
    print(f"saved {results.folder / 'architectures.csv'}")
    table = tabulate_architectures(rows, "github")
    results.save_text(f"{described(groups[ORIGINAL][0])}\n\n{table}\n", "architectures.md")
    print(table)
    figure = plot_accuracy_against_time(groups)
    results.save_figure(figure, "architectures.png")
    return [figure]


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
    return Measured.of(
        [base.training_seconds / run.training_seconds for run, base in zip(runs, original, strict=True)]
    )


FORMATS = {
    "Parameters": ",",
    "Learning rate": "g",
    "Test accuracy": ".4f",
    "Training (s)": ".1f",
    "Speed (original = 1)": ".2f",
}
"""How the columns of section 3.2's table are written."""


def tabulate_architectures(rows: Sequence[Mapping[str, Any]], tablefmt: str) -> str:
    """Write section 3.2's table in one of tabulate's formats."""
    cells = [[format(value, FORMATS.get(name, "")) for name, value in row.items()] for row in rows]
    alignment = ["left", "left", *["right"] * (len(cells[0]) - 2)]
    return tabulate(cells, list(rows[0]), tablefmt, colalign=alignment, disable_numparse=True)


def in_columns_of_numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with what was measured as plain numbers; standard deviations get columns of their own."""
    numbers = dict(row)
    for name, value in row.items():
        if isinstance(value, Measured):
            digits = int(FORMATS[name][1])
            numbers[name] = round(value.mean, digits)
            if value.std is not None:
                numbers[f"{name}, standard deviation"] = round(value.std, digits)
    return numbers


def curves(group: Sequence[Runs], values: str) -> dict[str, list[list[float]]]:
    """Return one of the lists of some runs, a row for each run, by the model's name."""
    return {MODELS[runs[0].setting.model]: [getattr(record, values) for record in runs] for runs in group}


EXPERIMENTS: dict[str, tuple[Callable[..., Groups], Callable[..., list[Figure]]]] = {
    "train": (train_settings, show_training),
    "learning-rates": (learning_rate_settings, show_learning_rates),
    "architectures": (architecture_settings, show_architectures),
}

# ---------------------------------------------------------------------------------------------------
# The command line
# ---------------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> Any:
        """Print the error and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def number(kind: type, expected: str, accepts: Callable[[Any], bool]) -> Callable[[str], Any]:
    """Return a function that reads an argument as a number, or says what was expected."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not accepts(value):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return value

    return read


def make_parser() -> Parser:
    """Describe the command line."""
    parser = Parser(
        prog="fashion_mnist.py",
        description="Train the handout's network on Fashion-MNIST, in PyTorch and in our own library.",
        epilog="A run that was stopped goes on where it was when the same command is given again.",
    )
    whole = number(int, "a whole number >= 1", lambda value: value >= 1)
    rate = number(float, "a finite number > 0", lambda value: 0 < value < math.inf)
    share = number(float, "a number >= 0 and < 1", lambda value: 0 <= value < 1)
    count = number(int, "a whole number of 1 to 1,000", lambda value: 1 <= value <= 1_000)
    seed = number(int, "a whole number of 0 to 1,000,000", lambda value: 0 <= value <= 1_000_000)
    default = Setting()
    add = parser.add_argument
    add(
        "command",
        nargs="?",
        choices=[*EXPERIMENTS, "all"],
        default="train",
        help="train: both models once (the default); learning-rates: section 3.1; architectures: section 3.2",
    )
    add("--models", nargs="+", choices=list(MODELS), default=list(MODELS), help="which models (both)")
    add("--lr", type=rate, default=default.lr, help="learning rate; the experiments vary it (%(default)s)")
    add("--epochs", type=whole, default=default.epochs, help="passes over the training data (%(default)s)")
    add("--batch-size", type=whole, default=default.batch_size, help="images per step (%(default)s)")
    add("--val-perc", type=share, default=default.val_perc, help="share kept for validation (%(default)s)")
    add("--seed", type=seed, default=default.seed, help="split, order and first weights (%(default)s)")
    add("--seeds", type=count, default=1, help="so many runs of each, with SEED, SEED + 1, ... (%(default)s)")
    add("--plot", action="store_true", help="also show the figures, where there is a screen")
    add("--data-dir", help="folder with the data set's files, or to put them in ($FASHION_MNIST_DIR, ./data)")
    add("--results-dir", help="where results go (results; results/synthetic for synthetic data)")
    add("--dataset", choices=DATASETS, default=default.dataset, help="the real one, or a made-up one")
    add("--fresh", action="store_true", help="forget the results of this command's runs and start over")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if not options.plot:
        matplotlib.use("agg")
    try:
        run_experiments(options)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130
    except (DataError, OSError, ValueError) as error:
        parser.error(str(error))
    return 0


def run_experiments(options: argparse.Namespace) -> None:
    """Do the runs that have no record yet, then make the figures and tables."""
    base = Setting(
        lr=options.lr,
        batch_size=options.batch_size,
        epochs=options.epochs,
        val_perc=options.val_perc,
        seed=options.seed,
        dataset=options.dataset,
    )
    models = list(dict.fromkeys(options.models))
    chosen = list(EXPERIMENTS) if options.command == "all" else [options.command]
    plans = {name: EXPERIMENTS[name][0](base, models) for name in chosen}
    groups = [group for plan in plans.values() for group in plan.values()]
    seeds = range(options.seed, options.seed + options.seeds)
    settings = list(
        dict.fromkeys(replace(setting, seed=seed) for seed in seeds for group in groups for setting in group)
    )
    for setting in settings:
        check_learning_rate(setting.lr)
    data = FashionMNIST(options.batch_size, options.val_perc, options.seed, options.data_dir, options.dataset)
    default_folder = "results" if options.dataset == "fashion-mnist" else f"results/{options.dataset}"
    results = Results(Path(options.results_dir or default_folder))
    if options.fresh:
        for setting in settings:
            results.forget(setting)
    records: dict[Setting, Record] = {}
    for place, setting in enumerate(settings, 1):
        kept = results.load(setting)
        if kept is None:
            records[setting] = run(setting, options.data_dir)
            results.save(records[setting])
        else:
            records[setting] = kept
        record = records[setting]
        print(
            f"[{place}/{len(settings)}] {setting}: test accuracy {record.test_accuracy:.4f}, "
            f"trained in {record.training_seconds:.1f} s{' (kept from before)' if kept else ''}",
            flush=True,
        )
    figures = [plot_samples(data)]
    results.save_figure(figures[0], "samples.png")
    for name, plan in plans.items():
        finished = {
            key: [[records[replace(setting, seed=seed)] for seed in seeds] for setting in group]
            for key, group in plan.items()
        }
        figures += EXPERIMENTS[name][1](finished, results)
    if options.plot:
        show_windows()
    plt.close("all")


def show_windows() -> None:
    """Show the open figures in windows until they are closed, where there is a screen."""
    interactive = backend_registry.list_builtin(BackendFilter.INTERACTIVE)
    if matplotlib.get_backend().lower() in interactive:
        plt.show()
    else:
        print("there is no screen to show figures on; they are saved")


if __name__ == "__main__":
    sys.exit(main())
