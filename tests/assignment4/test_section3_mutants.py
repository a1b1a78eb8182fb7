"""Tests that each common mistake in section 3 costs points there, and is called by its name."""

from __future__ import annotations

import sys
import types
import unittest

import pytest
import test_fashion_mnist as graded
from section3_mutants import MUTANTS, REFERENCE


@pytest.fixture
def failures(monkeypatch):
    """Return a function that yields the messages of the tests of section 3 that a source fails."""
    monkeypatch.delenv("FASHION_MNIST_DIR", raising=False)

    def run(source):
        module = types.ModuleType("fashion_mnist")
        monkeypatch.setitem(sys.modules, "fashion_mnist", module)
        monkeypatch.setattr(graded, "fashion_mnist", module)
        exec(compile(source, "fashion_mnist.py", "exec"), vars(module))  # noqa: S102
        for group in unittest.defaultTestLoader.loadTestsFromModule(graded):
            for test in group:
                result = unittest.TestResult()
                test.run(result)
                yield from (text for _, text in result.failures + result.errors)

    return run


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_mutant(mutant, failures):
    messages = []
    for message in failures(mutant.source()):
        messages.append(message)
        if mutant.bug in message:
            return
    pytest.fail("\n\n".join([f"{len(messages)} tests fail, none says {mutant.bug!r}", *messages]))


def test_the_reference_loses_nothing(failures):
    assert list(failures(REFERENCE.read_text(encoding="utf-8"))) == []
