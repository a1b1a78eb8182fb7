"""Counts how often a correct solution loses a point: it never should.

    python -m tools.fairness --seeds 200
    python -m tools.fairness --seeds 20 --isolated --solutions loops einsum

The folders in ``tests/assignment4/solutions/`` hold correct solutions in different styles; what one lacks is
as in ``handout``. ``tests/starter`` has one more, out of which the gaps are cut that students fill. Each is
graded once for each seed: in place, as a student runs the tests, or isolated, as the autograder does. What
staff have added to the assignment since, and a solution does not have, is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
FOLDER = TESTS / "assignment4" / "solutions"
STARTER = "starter"  # what students start from, with its gaps filled
SOLUTIONS = [*sorted(folder.name for folder in FOLDER.iterdir() if folder.is_dir()), STARTER]
BASE = "handout"
MODULES = ("q1.py", "q2.py", "fashion_mnist.py")
SLOW_EVERY = 20  # seeds: the tests that load the data set draw next to nothing from it


def lay_out(solution: str, folder: Path) -> None:
    """Copy the three files of a solution into a folder."""
    for module in MODULES:
        own = TESTS / STARTER / module if solution == STARTER else FOLDER / solution / module
        shutil.copy(own if own.exists() else FOLDER / BASE / module, folder)


def grade_in_place(solution: str, seeds: Iterable[int], data: Path) -> list[str]:
    """Return what fails when the tests run beside the solution, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lay_out(solution, folder)
        (folder / "data").symlink_to(data)
        path = os.pathsep.join(map(str, (folder, TESTS, ROOT)))
        own = solution in (BASE, STARTER) or (FOLDER / solution / "fashion_mnist.py").exists()
        command = [sys.executable, __file__, "--here", str(int(own)), *map(str, seeds)]
        environment = {**os.environ, "PYTHONPATH": path, "FASHION_MNIST_DIR": "", "MPLBACKEND": "agg"}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", errors="replace"
        )
        if done.returncode != 0:
            raise RuntimeError(f"{solution}: the tests did not run to their end:\n{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])


def run_here(own: bool, seeds: Iterable[int]) -> None:
    """Run the graded tests on the modules of the current folder; print what fails, as JSON.

    Args:
        own: whether section 3 is the solution's own. What of BASE's has nothing to do with q1 is tried once.
        seeds: for the tests.
    """
    import torchvision_operators  # noqa: F401

    from autograder import checks

    names = ("test_q1", "test_q2", "test_fashion_mnist")
    tests = [test for group in unittest.defaultTestLoader.loadTestsFromNames(names) for test in flat(group)]
    tests = [test for test in tests if is_there(test, Path()) and (own or depends_on_q1(test))]
    failures = []
    for place, seed in enumerate(seeds):
        checks.submission_seed = seed
        for test in tests:
            if place % SLOW_EVERY and needs_data(test):
                continue
            result = unittest.TestResult()
            test.run(result)
            failures += [f"seed {seed}, {test.id()}: {text}" for _, text in result.failures + result.errors]
    print(json.dumps(failures))


def flat(suite: Iterable) -> Iterator[unittest.TestCase]:
    """Yield the graded tests in a suite of suites."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        elif hasattr(getattr(test, test.id().rpartition(".")[2]), "__weight__"):
            yield test


def needs_data(test: unittest.TestCase) -> bool:
    """Say whether a test loads the data set."""
    return "TestData" in test.id() or "test_fashion_mnist_" in test.id()


def depends_on_q1(test: unittest.TestCase) -> bool:
    """Say whether a test can tell how q1 and q2 are written: it needs their layers, and no data set."""
    section_3 = type(test).__module__ == "test_fashion_mnist"
    return not section_3 or ("custom" in test.id() and not needs_data(test))


def is_there(test: unittest.TestCase, folder: Path) -> bool:
    """Say whether a solution has what a test is about."""
    module, tested = getattr(test, "module", None), getattr(test, "tested", "")
    text = (folder / f"{module.__name__}.py").read_text(encoding="utf-8") if module else ""
    return not module or f"class {tested}" in text


def grade_isolated(solution: str, seeds: Iterable[int], data: Path) -> list[str]:
    """Return what fails when the autograder grades the solution."""
    from autograder.__main__ import DEFAULT_ASSIGNMENT
    from autograder.assignment import load_assignment
    from autograder.grading import grade, load_tests

    failures = []
    assignment = load_assignment(DEFAULT_ASSIGNMENT)
    with tempfile.TemporaryDirectory() as name:
        lay_out(solution, Path(name))
        there = {case.test.id for case in load_tests(assignment).cases if is_there(case.case, Path(name))}
        for seed in seeds:
            result = grade(Path(name), assignment, seed=seed, deadline=None)
            outcomes = [(test, result.outcomes[test.id]) for test in result.tests if test.id in there]
            failures += [
                f"seed {seed}, {test.id}: {outcome.message}"
                for test, outcome in outcomes
                if not outcome.passed
            ]
    return failures


def main(arguments: Sequence[str] | None = None) -> int:
    """Grade the solutions with all the seeds, and return 1 if any lost a point."""
    sys.path.insert(0, str(TESTS))
    from dataset import provide

    parser = argparse.ArgumentParser(
        prog="python -m tools.fairness", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seeds", type=int, default=200, help="how many (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (%(default)s)")
    parser.add_argument(
        "--solutions",
        nargs="+",
        choices=SOLUTIONS,
        default=SOLUTIONS,
        metavar="NAME",
        help=f"of {', '.join(SOLUTIONS)} (all)",
    )
    parser.add_argument("--isolated", action="store_true", help="as the autograder grades, not in place")
    options = parser.parse_args(arguments)
    sys.stdout.reconfigure(errors="replace")  # what the terminal can't show becomes a ?
    grade = grade_isolated if options.isolated else grade_in_place
    seeds = range(options.first, options.first + options.seeds)
    total = 0
    with provide() as data:
        for solution in options.solutions:
            failures = grade(solution, seeds, data)
            total += len(failures)
            print(f"{solution}: {len(failures)} false failures over {len(seeds)} seeds", flush=True)
            for failure in failures:
                print(failure)
    print(f"{total} false failures")
    return 1 if total else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--here"]:
        run_here(sys.argv[2] == "1", map(int, sys.argv[3:]))
    else:
        sys.exit(main())
