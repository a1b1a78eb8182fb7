"""Assignment 4, which most tests of the autograder try it with."""

from autograder.__main__ import DEFAULT_ASSIGNMENT
from autograder.assignment import load_assignment

ASSIGNMENT = load_assignment(DEFAULT_ASSIGNMENT)
