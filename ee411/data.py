"""Fashion-MNIST as tensors: transform, loaders, validation split, permuted pixels (exercises 2.1, 2.5).

Which transform is necessary? ``ToTensor``: the data set's images are arrays of bytes (28, 28), and a model
takes float tensors with an axis for the channel, (1, 28, 28). It also scales 0 .. 255 to 0 .. 1.
``Normalize`` is not necessary but usual: it centres the pixels, to -1 .. 1. Were all inputs positive, then a
sample could move all the weights of a unit in the first layer only up or only down together.

The loaders apply the transform to one image after the other, each time it is asked for, as the handout has
it. Training uses ``Part`` instead: the whole set as one tensor, transformed once. The numbers are the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from fashion_mnist import (
    DATASETS,
    DataError,
    import_torchvision,
    load_idx_files,
    load_images,
    make_synthetic_images,
)

PARTS = ("train", "validation", "test")
VALIDATION_SHARE = 1 / 6
"""Of the training images: 10,000 of 60,000. They are the same ones for every seed, so that nothing that is
chosen by them has ever been trained on them."""


class RandomPermutation:
    """Rearranges the pixels of every image in one random way, drawn when it is made (exercise 2.5).

    Args:
        num_features: the pixels of an image.
        generator: where the permutation is drawn from; by default PyTorch's global one, as in the handout.

    Attributes:
        reindex: the permutation (num_features,): the new image's pixel k is the old one's ``reindex[k]``.
    """

    def __init__(self, num_features: int, generator: torch.Generator | None = None) -> None:
        self.num_features = num_features
        self.reindex = torch.randperm(num_features, generator=generator)

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        """Return the image, of any shape, with its pixels rearranged.

        Raises:
            ValueError: it has another number of pixels.
        """
        if img.numel() != self.num_features:
            raise ValueError(
                f"RandomPermutation: expected an image of {self.num_features} pixels, "
                f"got {img.numel()} in the shape {tuple(img.shape)}"
            )
        return img.reshape(-1)[self.reindex].reshape(img.shape)


def make_permutation(seed: int) -> RandomPermutation:
    """Return the permutation of Fashion-MNIST's 784 pixels that belongs to a seed."""
    return RandomPermutation(28 * 28, torch.Generator().manual_seed(seed))


def make_transform(permutation: RandomPermutation | None = None) -> Any:
    """Return the transform from bytes (28, 28) to floats (1, 28, 28) in [-1, 1], a permutation last."""
    transforms = import_torchvision().transforms
    steps = [transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))]
    return transforms.Compose([*steps, permutation] if permutation else steps)


class TransformedImages(Dataset):
    """Images and labels of which every image goes through a transform when it is taken.

    Args:
        images: uint8 (n, 28, 28).
        labels: (n,).
        transform: of an image (28, 28).
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform: Any) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Return a transformed image and its label."""
        image = self.images[index].copy()  # PyTorch warns of arrays that it may not write to, as a file's are
        return self.transform(image), int(self.labels[index])


def check_folder(data_dir: str | os.PathLike[str] | None) -> str | None:
    """Return the path of a folder that is there; a DataError if it is not.

    Else a mistyped one would be made, or passed over for another place that has the data.
    """
    if data_dir is None:
        return None
    folder = Path(data_dir).expanduser()
    if not folder.is_dir():
        raise DataError(
            f"--data-dir: expected a folder that is there (make it, if the data is to be fetched into it), "
            f"got {os.fspath(data_dir)!r}"
        )
    return str(folder)


def make_loaders(
    dataset: str = "fashion-mnist",
    data_dir: str | os.PathLike[str] | None = None,
    batch_size: int = 64,
    permutation: RandomPermutation | None = None,
    seed: int = 0,
) -> dict[str, DataLoader]:
    """Return the data loaders "train", "validation" and "test", all with the same transform.

    Args:
        dataset: "fashion-mnist" or "synthetic".
        data_dir: the folder with the data set's files (see ``fashion_mnist.load_idx_files``).
        batch_size: how many images make a batch.
        permutation: the last step of the transform, if any.
        seed: fixes the order in which the training images come.

    Raises:
        DataError: Fashion-MNIST is not to be had, or not whole.
        ValueError: there is no data set of that name.
    """
    if dataset not in DATASETS:
        raise ValueError(f"expected dataset to be one of {', '.join(DATASETS)}, got {dataset!r}")
    arrays = load_idx_files(check_folder(data_dir)) if dataset == "fashion-mnist" else make_synthetic_images()
    transform = make_transform(permutation)
    return {
        name: DataLoader(
            TransformedImages(images, labels, transform),
            batch_size,
            shuffle=name == "train",
            generator=torch.Generator().manual_seed(seed),
        )
        for name, (images, labels) in divide(*arrays).items()
    }


@dataclass(frozen=True)
class Part:
    """A part of the data set as one tensor, on the device where it is used.

    Attributes:
        images: float32 (n, 1, 28, 28).
        labels: int64 (n,), or the probabilities (n, 10) of the classes.
    """

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def batches(
        self, batch_size: int, order: torch.Tensor | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Go through the images and labels in batches, the last of which has what is left.

        Args:
            batch_size: how many images make a batch.
            order: the indices (n,) in the order in which they come; by default as they are.
        """
        order = torch.arange(len(self)) if order is None else order
        for indices in order.to(self.labels.device).split(batch_size):
            yield self.images[indices], self.labels[indices]

    def rearranged(self, order: torch.Tensor) -> Part:
        """Return the same images with pixel ``order[k]`` at place k: ``RandomPermutation`` on all at once."""
        pixels = self.images.flatten(1)
        if order.numel() != pixels.shape[1]:
            raise ValueError(f"expected an order of {pixels.shape[1]} pixels, got {order.numel()}")
        return Part(pixels[:, order.to(pixels.device)].reshape(self.images.shape), self.labels)


def load_parts(
    dataset: str = "fashion-mnist",
    data_dir: str | os.PathLike[str] | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Part]:
    """Return "train", "validation" and "test" in memory, with the numbers that the loaders give.

    Raises:
        DataError: Fashion-MNIST is not to be had, or not whole.
        ValueError: there is no data set of that name.
    """
    arrays = load_images(dataset, check_folder(data_dir))
    return {
        name: Part(torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device))
        for name, (images, labels) in divide(*arrays).items()
    }


def join(*parts: Part) -> Part:
    """Return the images of several parts as one."""
    return Part(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))


def divide(
    images: np.ndarray, labels: np.ndarray, test_images: np.ndarray, test_labels: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the images and labels of each of ``PARTS``, given those that the data set comes with."""
    shuffled = np.random.default_rng(0).permutation(len(images))
    validation, train = np.split(shuffled, [round(VALIDATION_SHARE * len(images))])
    own = [(images[indices], labels[indices]) for indices in (train, validation)]
    return dict(zip(PARTS, [*own, (test_images, test_labels)], strict=True))
