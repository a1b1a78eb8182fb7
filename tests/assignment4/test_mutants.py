"""Tests that each common mistake costs points where it was made, nowhere else, and is called by its name."""

from __future__ import annotations

import pytest
import test_q1
import test_q2
from default_assignment import ASSIGNMENT
from in_place_tests import assert_named, cases_of, install, messages_of
from mutants import MUTANTS, REFERENCE

from autograder.grading import grade, load_tests, method_of

ITEMS = sorted({mutant.item for mutant in MUTANTS})
ONE_FOR_EACH = list({mutant.item: mutant for mutant in MUTANTS}.values())


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_mutant(mutant, monkeypatch, tmp_path):
    for file, source in sources_of(mutant).items():
        (tmp_path / file).write_text(source, encoding="utf-8")
        install(monkeypatch, tmp_path / file, test_q1, test_q2)
    tests = [
        test for graded in (test_q1, test_q2) for test in cases_of(graded) if item_of(test) == mutant.item
    ]
    assert_named(mutant.bug, (message for test in tests for message in messages_of(test)))


def item_of(case):
    """Return the number of the item that a test case belongs to."""
    return method_of(case).__number__.rpartition(".")[0]


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
