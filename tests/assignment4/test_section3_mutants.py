"""Tests that each common mistake in section 3 costs points there, and is called by its name."""

from __future__ import annotations

import pytest
import test_fashion_mnist as graded
from in_place_tests import assert_named, cases_of, install, messages_of
from section3_mutants import MUTANTS, REFERENCE


@pytest.fixture
def failures(monkeypatch, tmp_path):
    """Return a function that yields the messages of the tests that a source fails, of those of some names."""
    monkeypatch.delenv("FASHION_MNIST_DIR", raising=False)

    def run(source, beginning=""):
        path = tmp_path / "fashion_mnist.py"
        path.write_text(source, encoding="utf-8")
        install(monkeypatch, path, graded)
        for test in cases_of(graded):
            if test.id().partition(".")[2].startswith(beginning):
                yield from messages_of(test)

    return run


@pytest.mark.parametrize(
    ("group", "mutant"),
    [(group, mutant) for group, mutants in MUTANTS.items() for mutant in mutants],
    ids=str,
)
def test_mutant(group, mutant, failures):
    assert_named(mutant.bug, failures(mutant.source(), group))


def test_the_reference_loses_nothing(failures):
    assert list(failures(REFERENCE.read_text(encoding="utf-8"))) == []
