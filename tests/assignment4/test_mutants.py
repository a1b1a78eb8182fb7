"""Tests that each common mistake costs points where it was made, nowhere else, and is called by its name."""

from __future__ import annotations

import pytest
import test_q1
import test_q2
from default_assignment import ASSIGNMENT
from in_place_tests import assert_named, cases_of, install, messages_of
from mutants import FILES, MUTANTS, REFERENCE

from autograder.grading import grade, method_of

ITEMS = sorted({mutant.item for mutant in MUTANTS})
ONE_FOR_EACH = list({mutant.item: mutant for mutant in MUTANTS}.values())


@pytest.fixture
def tests_of(monkeypatch, tmp_path):
    """Return a function that yields graded tests of q1 and q2, in place on a submission."""

    def run(sources):
        for file, source in sources.items():
            (tmp_path / file).write_text(source, encoding="utf-8")
            install(monkeypatch, tmp_path / file, test_q1, test_q2)
        return [test for graded in (test_q1, test_q2) for test in cases_of(graded)]

    return run


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_mutant(mutant, tests_of):
    tests = [test for test in tests_of(mutant.sources()) if item_of(test) == mutant.item]
    assert_named(mutant.bug, (message for test in tests for message in messages_of(test)))


@pytest.mark.parametrize("mutant", ONE_FOR_EACH, ids=str)
def test_it_costs_nothing_elsewhere(mutant, tests_of):
    """In the other items of its module, that is; what builds on it is tried isolated."""
    tests = [test for test in tests_of(mutant.sources()) if f"{test.module.__name__}.py" == mutant.file]
    assert {item_of(test) for test in tests if messages_of(test)} == {mutant.item}


def test_the_reference_loses_nothing(tests_of):
    tests = tests_of({file: (REFERENCE / file).read_text(encoding="utf-8") for file in FILES})
    assert {item_of(test) for test in tests} >= set(ITEMS)
    assert [message for test in tests for message in messages_of(test)] == []


def item_of(case):
    """Return the number of the item that a test case belongs to."""
    return method_of(case).__number__.rpartition(".")[0]


@pytest.mark.parametrize("file", FILES)
def test_faults_in_one_file_cost_nothing_in_the_other(file, tmp_path):
    """Isolated, and with a fault in each of its items; each is called by its name there, too."""
    faults = [mutant for mutant in ONE_FOR_EACH if mutant.file == file]
    for name, source in faults[0].sources().items():
        for other in faults[1:] if name == file else ():
            assert source.count(other.old) == 1, other
            source = source.replace(other.old, other.new)
        (tmp_path / name).write_text(source, encoding="utf-8")
    result = grade(tmp_path, ASSIGNMENT, seed=1, only=ITEMS if file == "q1.py" else ["2.1"])
    told = {}
    for test in result.tests:
        if not result.outcomes[test.id].passed:
            told.setdefault(test.number.rpartition(".")[0], []).append(result.outcomes[test.id].message)
    assert told.keys() == {mutant.item for mutant in faults}
    for mutant in faults:
        assert any(mutant.bug in message for message in told[mutant.item]), "\n\n".join(told[mutant.item])


def test_there_are_enough():
    assert len(MUTANTS) >= 30
    assert len(ONE_FOR_EACH) == len(ITEMS) == 6, "those of the handout; staff may have added others"
    assert len({mutant.new + mutant.old for mutant in MUTANTS}) == len(MUTANTS)
