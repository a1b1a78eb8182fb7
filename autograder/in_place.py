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
from pathlib import Path

from . import checks
from .assignment import Assignment, Suite, modules_of
from .grading import flatten, load_tests, run_test
from .key import seed_of
from .results import Grade, Outcome
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
                    problems = [tests] if isinstance(tests, str) else told(tests[case.test.id])
                grade.outcomes[case.test.id] = Outcome(
                    not problems, "\n\n".join(problems), printed.getvalue(), time.monotonic() - began
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


def told(test: unittest.TestCase) -> list[str]:
    """Run a test, and return what its student is told of each thing that went wrong."""
    return list(dict.fromkeys(checks.explain(problem) for problem in run_test(test)))
