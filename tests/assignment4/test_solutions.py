"""Tests that correct solutions get full marks, however they are written; tools/fairness.py has more seeds."""

from __future__ import annotations

from pathlib import Path

import dataset
import pytest
import test_fashion_mnist
import test_q1
import test_q2
import torchvision_operators  # noqa: F401
from in_place_tests import cases_of, install, messages_of

from tools.fairness import (
    BASE,
    FOLDER,
    MODULES,
    SOLUTIONS,
    STARTER,
    depends_on_q1,
    grade_in_place,
    grade_isolated,
    is_there,
    lay_out,
)


@pytest.fixture
def small_set(monkeypatch, tmp_path):
    """Let a test begin in a folder with a data set of a thirtieth of the real one's size."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHION_MNIST_DIR", "")
    for sizes in (dataset.SIZES, test_fashion_mnist.SIZES):
        for part, size in sizes.items():
            monkeypatch.setitem(sizes, part, size // 30)
    raw = tmp_path / "data" / dataset.RAW
    raw.mkdir(parents=True)
    dataset.make_up_files(raw, seed=0)


@pytest.mark.parametrize("solution", SOLUTIONS)
def test_in_place(solution, small_set, monkeypatch, tmp_path):
    """Without a section 3 of its own it is tried in that of ``BASE``, as far as that is built on it."""
    lay_out(solution, tmp_path)
    for file in MODULES:
        install(monkeypatch, tmp_path / file, test_q1, test_q2, test_fashion_mnist)
    tests = [test for graded in (test_q1, test_q2, test_fashion_mnist) for test in cases_of(graded)]
    if solution not in (BASE, STARTER) and not (FOLDER / solution / "fashion_mnist.py").exists():
        tests = [test for test in tests if depends_on_q1(test)]
    tests = [test for test in tests if is_there(test, Path())]
    assert len(tests) > 50
    assert [message for test in tests for message in messages_of(test)] == []


@pytest.fixture(scope="module")
def data():
    """Return the folder with the data set, or a made-up one in its place."""
    with dataset.provide() as folder:
        yield folder


def test_in_a_process_of_its_own(data):
    assert grade_in_place("einsum", range(1), data) == []


def test_isolated(data):
    """What students start from, once it is filled in, gets all points."""
    assert grade_isolated(STARTER, range(1, 2), data) == []


def test_there_are_enough():
    assert len(SOLUTIONS) >= 8
