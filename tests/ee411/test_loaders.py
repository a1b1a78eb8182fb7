"""The data: transform, loaders, split, permutation, and the same numbers in memory."""

import numpy as np
import pytest
import torch

from ee411.data import (
    PARTS,
    RandomPermutation,
    TransformedImages,
    load_parts,
    make_loaders,
    make_permutation,
    make_transform,
)
from fashion_mnist import DataError, load_images, make_synthetic_images


@pytest.fixture(scope="module")
def parts():
    return load_parts("synthetic")


def everything(loader):
    """Return all images and all labels of a loader."""
    return tuple(torch.cat(tensors) for tensors in zip(*loader, strict=True))


def test_transform():
    image = np.arange(28 * 28, dtype=np.uint8).reshape(28, 28)
    transformed = make_transform()(image)
    assert transformed.shape == (1, 28, 28)
    assert transformed.dtype == torch.float32
    assert torch.allclose(transformed[0], torch.tensor(image) / 127.5 - 1)


def test_sizes_and_split(parts):
    """A sixth is held out, none of it is trained on, and nothing is lost."""
    assert [len(parts[name]) for name in PARTS] == [1667, 333, 500]
    images = [image.numpy().tobytes() for name in PARTS[:2] for image in parts[name].images]
    assert sorted(images) == sorted(image.tobytes() for image in load_images("synthetic")[0])
    assert not set(images[:1667]) & set(images[1667:])


@pytest.mark.parametrize("seed", [None, 3])
def test_loaders_and_memory_agree(parts, seed):
    """Bit for bit, with and without a permutation, which is the same for all three parts."""
    permutation = None if seed is None else make_permutation(seed)
    loaders = make_loaders("synthetic", batch_size=100, permutation=permutation)
    for name in PARTS:
        own = parts[name] if permutation is None else parts[name].rearranged(permutation.reindex)
        images, labels = everything(loaders[name])
        if name == "train":  # this one is shuffled: put both into the same order
            assert not torch.equal(labels, own.labels)
            own_order, order = (
                np.lexsort(pixels.flatten(1).numpy().T[:20]) for pixels in (own.images, images)
            )
            assert torch.equal(images[order], own.images[own_order])
            assert torch.equal(labels[order], own.labels[own_order])
        else:
            assert torch.equal(images, own.images)
            assert torch.equal(labels, own.labels)


def test_training_order_is_shuffled_and_seeded():
    first, same, other = (everything(make_loaders("synthetic", seed=seed)["train"])[1] for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_batches(parts):
    """Every image comes once, in the order asked for; the last batch has what is left."""
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    batches = list(parts["test"].batches(64, order))
    assert [len(labels) for _, labels in batches] == [64] * 7 + [52]
    images, labels = everything(batches)
    assert torch.equal(images, parts["test"].images[order])
    assert torch.equal(labels, parts["test"].labels[order])


def test_arrays_that_may_not_be_written_to():
    """The real set's are such; PyTorch would warn of them, and a warning fails a test."""
    images, labels = make_synthetic_images()[:2]
    images.setflags(write=False)
    image, label = TransformedImages(images, labels, make_transform())[3]
    assert torch.allclose(image[0] * 127.5 + 127.5, torch.tensor(images[3].copy()).float())
    assert label == labels[3]


def test_permutation_is_the_handouts():
    """Made with the number of pixels alone, drawn by torch.randperm, one for all images of any shape."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        permutation = RandomPermutation(12)
        torch.manual_seed(5)
        reindex = torch.randperm(12)
    image = torch.arange(12.0).reshape(1, 3, 4)
    assert torch.equal(permutation(image), image.flatten()[reindex].reshape(1, 3, 4))
    assert torch.equal(permutation(image.flatten()), image.flatten()[reindex])
    assert torch.equal(permutation(image.transpose(1, 2)).flatten(), image.transpose(1, 2).flatten()[reindex])
    assert torch.equal(make_permutation(1).reindex, make_permutation(1).reindex)
    assert not torch.equal(make_permutation(1).reindex, make_permutation(2).reindex)


def test_rearranging_back(parts):
    reindex = make_permutation(0).reindex
    there = parts["test"].rearranged(reindex)
    assert not torch.equal(there.images, parts["test"].images)
    assert torch.equal(there.rearranged(reindex.argsort()).images, parts["test"].images)


def test_bad_input(parts, monkeypatch):
    with pytest.raises(ValueError, match=r"an image of 784 pixels, got 100 in the shape \(1, 10, 10\)"):
        make_permutation(0)(torch.zeros(1, 10, 10))
    with pytest.raises(ValueError, match="an order of 784 pixels, got 12"):
        parts["test"].rearranged(torch.arange(12))
    for load in (load_parts, make_loaders):
        with pytest.raises(ValueError, match="one of fashion-mnist, synthetic, got 'mnist'"):
            load("mnist")

    def nothing(*_):
        raise DataError("Fashion-MNIST was not found")

    monkeypatch.setattr("ee411.data.load_idx_files", nothing)
    monkeypatch.setattr("fashion_mnist.load_idx_files", nothing)
    for load in (load_parts, make_loaders):
        with pytest.raises(DataError, match="was not found"):
            load("fashion-mnist")


def test_synthetic_bytes_are_what_is_scaled(parts):
    images, *_ = make_synthetic_images()
    assert images.dtype == np.uint8
    assert parts["train"].images.min() >= -1
    assert parts["train"].images.max() <= 1
