"""Tests that each common mistake costs points where it was made, nowhere else, and is called by its name."""

from __future__ import annotations

import pytest
from default_assignment import ASSIGNMENT
from mutants import MUTANTS, REFERENCE

from autograder.grading import grade

ITEMS = sorted({mutant.item for mutant in MUTANTS})


def lost(folder, sources, only):
    """Return the feedback of each test that a submission of these sources fails, by the test's number."""
    for file, source in sources.items():
        (folder / file).write_text(source, encoding="utf-8")
    result = grade(folder, ASSIGNMENT, seed=1, only=only)
    outcomes = [(test.number, result.outcomes[test.id]) for test in result.tests]
    assert len(outcomes) >= len(ITEMS)
    return {number: outcome.message for number, outcome in outcomes if not outcome.passed}


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_mutant(mutant, tmp_path):
    only = [item if item == mutant.item else f"{item}.1" for item in ITEMS]
    messages = lost(tmp_path, mutant.sources(), tuple(only))
    assert messages, "no test fails"
    assert {number.rpartition(".")[0] for number in messages} == {mutant.item}
    assert any(mutant.bug in message for message in messages.values()), "\n\n".join(messages.values())


def test_the_reference_loses_nothing(tmp_path):
    sources = {file: (REFERENCE / file).read_text(encoding="utf-8") for file in ("q1.py", "q2.py")}
    assert lost(tmp_path, sources, tuple(ITEMS)) == {}


def test_there_are_enough():
    assert len(MUTANTS) >= 30
    assert len({mutant.new + mutant.old for mutant in MUTANTS}) == len(MUTANTS)
