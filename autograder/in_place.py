"""Grades one's own code in this very process: quick, on every system, and nothing for the code of others.

There is no sandbox and there are no limits, an endless loop goes on until Ctrl-C, and no stand-ins, so that a
fault in one module costs points in those that build on it, too.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import tempfile
import time
import unittest
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from . import checks
from .assignment import Assignment, Suite, modules_of
from .grading import flatten, in_part, load_tests, run_test
from .key import seed_of
from .results import Grade, Outcome, exact_sum
from .submission import load


def grade_in_place(
    path: Path,
    assignment: Assignment,
    *,
    only: Sequence[str] = (),
    report: Callable[[Grade], object] = lambda grade: None,
) -> Grade:
    """Grade the modules in a folder or a zip; ``only`` and ``report`` are as for ``grading.grade``.

    Raises:
        BadSubmissionError: ``path`` is neither a folder nor a zip.
    """
    start = time.monotonic()
    submission = load(path, assignment.files)
    cases = load_tests(assignment).select(only)
    checks.submission_modules.update(assignment.modules)
    grade = Grade(tuple(case.test for case in cases), notes=list(submission.problems))
    report(grade)
    with (
        tempfile.TemporaryDirectory() as name,  # the files alone: nothing beside them is to be imported
        modules_of(assignment.folder, {}),
        checks.grading(seed_of(submission.digest, None), ()),
    ):
        submission.save(Path(name))
        with modules_of(Path(name), {}):
            found: dict[Suite, dict[str, unittest.TestCase] | str] = {}
            for case in cases:
                began = time.monotonic()
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    if case.suite not in found:
                        found[case.suite] = import_tests(case.suite)
                        if isinstance(found[case.suite], str):
                            grade.notes.append(str(found[case.suite]))
                    tests = found[case.suite]
                    if isinstance(tests, str):
                        outcome = Outcome(False, tests)
                    else:
                        outcome = outcome_of(tests[case.test.id], case.test.points)
                grade.outcomes[case.test.id] = replace(
                    outcome, printed=printed.getvalue(), seconds=time.monotonic() - began
                )
                grade.seconds = time.monotonic() - start
                report(grade)
    return grade


def import_tests(suite: Suite) -> dict[str, unittest.TestCase] | str:
    """Import the tests of a module, and so the module; return them by their ids, or why that failed."""
    try:
        for name in suite.preload:
            importlib.import_module(name)
        module = importlib.import_module(f"test_{suite.module}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, too
        return f"`{suite.module}.py` can't be imported. {checks.explain(error)}"
    return {case.id(): case for case in flatten(unittest.defaultTestLoader.loadTestsFromModule(module))}


def outcome_of(test: unittest.TestCase, points: float) -> Outcome:
    """Run a test, and return what came of it."""
    verdict = run_test(test, points)
    told = dict.fromkeys(checks.explain(problem) for problem in verdict.problems)
    steps = [step for step in verdict.steps if step.right and verdict.whole]
    if verdict.problems and steps:
        told = {in_part(steps, points, ()): None, **told}
    return Outcome(not verdict.problems, "\n\n".join(told), earned=exact_sum(step.points for step in steps))
