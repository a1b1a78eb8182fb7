"""Tests that who hands in what was handed out gets no points for what is to be written."""

from pathlib import Path

from default_assignment import ASSIGNMENT

from autograder.grading import grade

PROVIDED = ("FashionMNIST:", "PyTorch model:")  # as the names of their tests begin


def test_template_earns_nothing():
    result = grade(Path(__file__).parent / "template", ASSIGNMENT, seed=1)
    assert not result.notes
    for test in result.tests:
        passed = result.outcomes[test.id].passed
        assert passed == test.name.startswith(PROVIDED), (test.name, result.outcomes[test.id].message)
