"""Tests that correct solutions get full marks, however they are written; tools/fairness.py has more seeds."""

from __future__ import annotations

import pytest
from dataset import provide

from tools.fairness import SOLUTIONS, grade_in_place, grade_isolated


@pytest.fixture(scope="module")
def data():
    """Return the folder with the data set, or a made-up one in its place."""
    with provide() as folder:
        yield folder


@pytest.mark.parametrize("solution", SOLUTIONS)
def test_in_place(solution, data):
    assert grade_in_place(solution, range(1), data) == []


def test_isolated(data):
    assert grade_isolated("course_documentation", range(1, 2), data) == []


def test_there_are_enough():
    assert len(SOLUTIONS) >= 8
