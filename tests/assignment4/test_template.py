"""Tests that who hands in what was handed out gets no points for what is to be written."""

from pathlib import Path

from default_assignment import ASSIGNMENT

from autograder.grading import grade, load_tests

PROVIDED = ("FashionMNIST:", "PyTorch model:")  # as the names of their tests begin


def test_template_earns_nothing():
    cases = load_tests(ASSIGNMENT).cases
    to_write = [case.test.number for case in cases if not case.test.name.startswith(PROVIDED)]
    result = grade(Path(__file__).parent / "template", ASSIGNMENT, seed=1, only=to_write)
    assert len(result.tests) == len(to_write) > 60
    assert not result.notes
    assert [test.name for test in result.tests if result.outcomes[test.id].passed] == []
