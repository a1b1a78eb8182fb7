"""Runs the graded tests of exercise 1 in place, on any backprop.py, and counts how often a right one fails.

    python tests/ee411/exercise1/in_place.py --seeds 100

The folders in ``solutions/`` hold right solutions in different styles; none should ever lose a point.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import unittest
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT))  # where the autograder is

from autograder import checks  # noqa: E402
from autograder.assignment import modules_of  # noqa: E402
from autograder.grading import flatten, method_of  # noqa: E402

EXERCISE = ROOT / "ee411" / "exercise1"
REFERENCE = ROOT / "ee411" / "backprop.py"
SOLUTIONS = {path.parent.name: path for path in sorted(HERE.glob("solutions/*/backprop.py"))}
POINTS = {"predict": 25, "logistic_loss": 15, "stable_logistic_loss": 25, "gradient": 35}


class Failures(unittest.TestResult):
    """Keeps what a student is told about each test that fails, by the test's number."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: dict[str, str] = {}

    def addError(self, test, err):
        self.messages[method_of(test).__number__] = checks.explain(err[1])

    addFailure = addError  # noqa: N815


@contextmanager
def graded_tests(file: Path) -> Iterator[list[unittest.TestCase]]:
    """Provide the graded tests, of a backprop.py."""
    spec = importlib.util.spec_from_file_location("backprop", file)
    module = importlib.util.module_from_spec(spec)
    with modules_of(EXERCISE, {"backprop": module}):
        spec.loader.exec_module(module)
        group = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module("test_backprop"))
        yield [case for case in flatten(group) if method_of(case).__weight__ > 0]


def failures(file: Path, seeds: Iterable[int] = (1,)) -> list[dict[str, str]]:
    """Return for each seed the messages of the tests that a backprop.py fails, by the tests' numbers."""
    found = []
    with graded_tests(file) as cases:
        for seed in seeds:
            result = Failures()
            with checks.grading(seed):
                unittest.TestSuite(cases).run(result)
            found.append(result.messages)
    return found


def points(file: Path) -> dict[str, float]:
    """Return the points of each function of a backprop.py."""
    (lost,) = failures(file)
    earned: dict[str, float] = {}
    with graded_tests(file) as cases:
        for case in cases:
            method = method_of(case)
            right = method.__number__ not in lost
            earned[case.tested] = earned.get(case.tested, 0) + right * method.__weight__
    return earned


def main(arguments: Sequence[str] | None = None) -> int:
    """Grade the right solutions with all the seeds, and return 1 if any lost a point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=100, help="how many (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (%(default)s)")
    options = parser.parse_args(arguments)
    seeds = range(options.first, options.first + options.seeds)
    total = 0
    for name, file in {"reference": REFERENCE, **SOLUTIONS}.items():
        found = [
            f"seed {seed}, {number}: {message}"
            for seed, messages in zip(seeds, failures(file, seeds), strict=True)
            for number, message in messages.items()
        ]
        total += len(found)
        print(f"{name}: {len(found)} false failures over {len(seeds)} seeds", flush=True)
        print("".join(f"{line}\n" for line in found), end="")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
