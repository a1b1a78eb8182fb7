"""Tests that each common mistake costs points where it was made, nowhere else, and is called by its name."""

from __future__ import annotations

import importlib.util
import sys
import unittest

import pytest
import test_q1
import test_q2
from default_assignment import ASSIGNMENT
from mutants import MUTANTS, REFERENCE

from autograder.grading import grade, load_tests

ITEMS = sorted({mutant.item for mutant in MUTANTS})
ONE_FOR_EACH = list({mutant.item: mutant for mutant in MUTANTS}.values())


@pytest.fixture
def failures(monkeypatch, tmp_path):
    """Return a function that yields the messages of an item's tests that a submission fails, run in place."""

    def run(sources, item):
        for name in ("q1", "q2"):
            path = tmp_path / f"{name}.py"
            path.write_text(sources[path.name], encoding="utf-8")
            spec = importlib.util.spec_from_file_location(name, path)
            module = importlib.util.module_from_spec(spec)
            monkeypatch.setitem(sys.modules, name, module)
            spec.loader.exec_module(module)
            for graded in (test_q1, test_q2):
                if hasattr(graded, name):
                    monkeypatch.setattr(graded, name, module)
        for graded in (test_q1, test_q2):
            for group in unittest.defaultTestLoader.loadTestsFromModule(graded):
                for test in group:
                    if getattr(test, test.id().rpartition(".")[2]).__number__.rpartition(".")[0] == item:
                        if type(test).module.__name__ in sys.modules:
                            monkeypatch.setattr(type(test), "module", sys.modules[type(test).module.__name__])
                        result = unittest.TestResult()
                        test.run(result)
                        yield from (text for _, text in result.failures + result.errors)

    return run


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_mutant(mutant, failures):
    messages = []
    for message in failures(sources_of(mutant), mutant.item):
        messages.append(message)
        if mutant.bug in message:
            return
    pytest.fail("\n\n".join([f"{len(messages)} tests fail, none says {mutant.bug!r}", *messages]))


def sources_of(mutant):
    """Return the texts of a mutant's files."""
    return {
        file: (REFERENCE / file).read_text(encoding="utf-8") for file in ("q1.py", "q2.py")
    } | mutant.sources()


@pytest.mark.parametrize("mutant", ONE_FOR_EACH, ids=str)
def test_it_costs_nothing_elsewhere(mutant, tmp_path):
    """Isolated, where a fault in q1 costs no points of q2."""
    failed = lost(tmp_path, sources_of(mutant), ITEMS)
    assert {number.rpartition(".")[0] for number in failed} == {mutant.item}
    assert any(mutant.bug in message for message in failed.values()), "\n\n".join(failed.values())


def lost(folder, sources, only):
    """Return the feedback of each test that a submission of these sources fails, by the test's number."""
    for file, source in sources.items():
        (folder / file).write_text(source, encoding="utf-8")
    result = grade(folder, ASSIGNMENT, seed=1, only=tuple(only))
    outcomes = [(test.number, result.outcomes[test.id]) for test in result.tests]
    assert len(outcomes) >= len(ITEMS)
    return {number: outcome.message for number, outcome in outcomes if not outcome.passed}


def test_the_reference_loses_nothing(tmp_path):
    sources = {file: (REFERENCE / file).read_text(encoding="utf-8") for file in ("q1.py", "q2.py")}
    assert lost(tmp_path, sources, ITEMS) == {}


def test_there_are_enough():
    assert len(MUTANTS) >= 30
    assert len(ONE_FOR_EACH) == len(ITEMS) == len({case.test.number.rpartition(".")[0] for case in CASES})
    assert len({mutant.new + mutant.old for mutant in MUTANTS}) == len(MUTANTS)


CASES = [case for case in load_tests(ASSIGNMENT).cases if case.suite.module in ("q1", "q2")]
