"""Tests of the data folder that submissions find: the real set where there is one, else one like it."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import shutil
from types import SimpleNamespace

import dataset
import numpy as np
import pytest
import torchvision_operators  # noqa: F401

import fashion_mnist


@pytest.fixture
def made_up(tmp_path):
    """Return the folder of a made-up set's files."""
    dataset.make_up_files(tmp_path, seed=3)
    return tmp_path


def read(folder, name):
    return (folder / name).read_bytes()


def test_made_up_files_have_the_real_ones_form(made_up, monkeypatch):
    shapes = [(60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,)]
    for name, shape in zip(fashion_mnist.IDX_FILES, shapes, strict=True):
        content = read(made_up, name)
        assert content[:4] == bytes([0, 0, 8, len(shape)])
        assert len(content) == 4 + 4 * len(shape) + np.prod(shape)
        monkeypatch.setitem(fashion_mnist.IDX_FILES, name, hashlib.sha256(content).hexdigest())
        array = fashion_mnist.read_idx_file(made_up / name, name)
        assert (array.shape, array.dtype) == (shape, np.uint8)
    labels = np.frombuffer(read(made_up, "t10k-labels-idx1-ubyte"), np.uint8, offset=8)
    assert set(labels) == set(range(10))


def test_made_up_files_are_drawn_from_the_seed(made_up, tmp_path_factory):
    for seed, same in ((3, True), (4, False)):
        folder = tmp_path_factory.mktemp("again")
        dataset.make_up_files(folder, seed)
        for name in fashion_mnist.IDX_FILES:
            assert (read(folder, name) == read(made_up, name)) is same


def test_made_up_images_are_of_different_patterns(made_up):
    labels = np.frombuffer(read(made_up, "t10k-labels-idx1-ubyte"), np.uint8, offset=8)
    images = np.frombuffer(read(made_up, "t10k-images-idx3-ubyte"), np.uint8, offset=16).reshape(-1, 784)
    assert images.min() == 0
    assert images.max() > 250
    means = np.array([images[labels == label].mean(axis=0) for label in range(10)])
    distances = np.linalg.norm(means[:, None] - means, axis=2)
    assert distances[~np.eye(10, dtype=bool)].min() > 1000


def test_torchvision_takes_the_folder(monkeypatch):
    """Its download=True finds everything there, and so neither downloads nor writes."""
    datasets = importlib.import_module("torchvision.datasets")
    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", None)
    monkeypatch.setattr(dataset, "copy_real_files", lambda raw: False)
    with dataset.provide() as folder:
        paths = sorted(folder.rglob("*"))
        assert all(path.stat().st_mode & 0o222 == 0 for path in (folder, *paths))
        assert all(path.stat().st_mode & 0o444 == 0o444 for path in (folder, *paths))
        for train, size in ((True, 60_000), (False, 10_000)):
            assert len(datasets.FashionMNIST(root=str(folder), train=train, download=True)) == size
        assert sorted(folder.rglob("*")) == paths
    assert not folder.exists()


@pytest.mark.parametrize("name", ["labels-ubyte.gz", "FashionMNIST/raw/labels-ubyte", "labels.txt", None])
def test_the_reference_is_asked_where_there_are_files(name, tmp_path, monkeypatch):
    """It takes seconds to ask."""
    asked = []
    monkeypatch.setattr(
        dataset.subprocess, "run", lambda *_, **__: asked.append(1) or SimpleNamespace(returncode=0)
    )
    monkeypatch.setattr(dataset, "SOLUTION", tmp_path)
    monkeypatch.setattr(dataset, "DEBIAN_FOLDER", tmp_path / "debian")
    for place in ("mine", "data", "debian"):
        monkeypatch.setenv("FASHION_MNIST_DIR", str(tmp_path / "mine"))
        if name is not None:
            file = tmp_path / place / name
            file.parent.mkdir(parents=True)
            file.touch()
        there = name is not None and "ubyte" in name
        assert dataset.copy_real_files(tmp_path) is there
        assert asked == [1] * there
        asked.clear()
        shutil.rmtree(tmp_path / place, ignore_errors=True)


def test_where_the_package_is():
    assert dataset.DEBIAN_FOLDER == fashion_mnist.DEBIAN_FOLDER


def test_real_files_are_copied_uncompressed_if_they_are_whole(tmp_path, monkeypatch, capsys):
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source, target):
        folder.mkdir()
    content = bytes([0, 0, 8, 1, 0, 0, 0, 5]) + b"label"
    monkeypatch.setattr(fashion_mnist, "IDX_FILES", {"labels": hashlib.sha256(content).hexdigest()})
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "nowhere")
    monkeypatch.setenv("FASHION_MNIST_DIR", str(source))
    monkeypatch.chdir(tmp_path)
    assert dataset.main(str(target)) == 1
    with gzip.open(source / "labels.gz", "wb") as written:
        written.write(content)
    assert dataset.main(str(target)) == 0
    assert read(target, "labels") == content
    (source / "labels").write_bytes(content[:-1] + b"x")
    assert dataset.main(str(target)) == 1
    assert "is not used" in capsys.readouterr().err
