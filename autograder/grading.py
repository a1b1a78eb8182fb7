"""Grades one submission: every graded test in turn, each with a worker that has the student's code.

The tests run here, in the grader's process. They were written for modules of the current folder; here an
``import`` of one gives them a ``remote.RemoteModule``, whose answers come from the worker. So the student's
code is never imported here, and a worker that dies takes nothing with it but the test that it ran.

What builds on other modules of the student's is first tested on those. Where that fails it is tried again on
*stand-ins*, which ask the grader for the right answers, and the better result counts: a fault in one module
costs its own points and no others.
"""

from __future__ import annotations

import functools
import importlib
import math
import re
import sys
import time
import traceback
import unittest
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

from threadpoolctl import threadpool_limits

from . import checks
from .assignment import Assignment, Suite, modules_of
from .bounds import bounded
from .inside.scratch import scratch_folder
from .key import read_key, seed_of
from .remote import RemoteModule, Session, SubmissionError
from .results import TEST_LIMIT, Grade, Measure, Outcome, ScoredTest, Signs, clean, exact_sum, fenced, shorten
from .sandbox import Sandbox, WorkerFailure
from .submission import Submission, load

DEADLINE = 510.0  # seconds; Gradescope's is 600
IMPORT_LIMIT = 15.0  # seconds
RUN_AT_IMPORT = (
    " The autograder imports the file, which runs everything in it but what stands in functions and classes: "
    'what takes long, and is for running the file alone, belongs under `if __name__ == "__main__":`.'
)
SHOWN = 3  # problems of one test
LOOKING = 10.0  # seconds that a test may still take once the submission's have passed
TOO_LONG = "The autograder took too long to look at what your code returned, and stopped."
SHORTEST = 1.0  # seconds; with less time than that left, a test is not begun

StandIns: TypeAlias = tuple[str, ...]
"""The names of the modules that stand-ins replace in a worker; none where all is the student's own."""


# ---------------------------------------------------------------------------------------------------
# The tests
# ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A graded test, and how it is run."""

    test: ScoredTest
    suite: Suite
    case: unittest.TestCase


@dataclass
class Tests:
    """The graded tests, imported in a world where the submission's modules are remote.

    Attributes:
        assignment: whose tests they are.
        modules: what ``sys.modules`` holds in that world: the remote modules, the tests, their helpers.
        session: with the worker of the test that is running.
        cases: in the order of the suites and the tests' numbers.
    """

    assignment: Assignment
    modules: dict[str, Any] = field(default_factory=dict)
    session: Session | None = None
    cases: list[Case] = field(default_factory=list)

    def select(self, only: Sequence[str] = ()) -> list[Case]:
        """Return the tests whose number or item begins with one of ``only``; all if that is empty.

        "3.1" is the beginning of "3.1" and "3.1.2", and not of "3.10".
        """
        beginning = re.compile(rf"(?:{'|'.join(map(re.escape, only))})(?!\d)" if only else "")
        return [
            case
            for case in self.cases
            if beginning.match(case.test.number) or beginning.match(case.test.item)
        ]

    def active(self) -> AbstractContextManager[None]:
        """Swap this world into ``sys.modules``, and afterwards back out."""
        return modules_of(self.assignment.folder, self.modules)


@functools.cache
def load_tests(assignment: Assignment) -> Tests:
    """Import the graded tests of an assignment, once in a process; those without a weight are none."""
    tests = Tests(assignment)
    for name in assignment.remote:
        tests.modules[name] = RemoteModule(name, assignment.folder / f"{name}.py", tests)
    with tests.active():
        for suite in assignment.suites:
            module = importlib.import_module(f"test_{suite.module}")
            cases = [
                Case(describe(case), suite, case)
                for case in flatten(unittest.defaultTestLoader.loadTestsFromModule(module))
                if getattr(method_of(case), "__weight__", 0) > 0
            ]
            tests.cases += sorted(cases, key=lambda case: natural(case.test.number))
    return tests


def flatten(group: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Yield the test cases in a suite of unittest's and in the suites in it."""
    for part in group:
        if isinstance(part, unittest.TestSuite):
            yield from flatten(part)
        else:
            yield part


def method_of(case: unittest.TestCase) -> Any:
    """Return the method that a test case runs."""
    return getattr(case, case.id().rpartition(".")[2])


def describe(case: unittest.TestCase) -> ScoredTest:
    """Return what the decorators and the docstrings of a graded test say."""
    method = method_of(case)
    item = (type(case).__doc__ or type(case).__name__).strip().split("\n")[0]
    return ScoredTest(
        id=case.id(),
        number=method.__number__,
        name=case.shortDescription() or case.id(),
        points=float(method.__weight__),
        visibility=getattr(method, "__visibility__", "visible"),
        item=re.sub(r",? *[\d.]+ points?|\.$", "", item),
    )


def natural(number: str) -> list[tuple[int, str]]:
    """Return a key that sorts "1.2.10" behind "1.2.9"."""
    return [(int(digits or 0), text) for digits, text in re.findall(r"(\d+)|(\D+)", number)]


@dataclass(frozen=True)
class Step:
    """A part of a test that has points of its own: a ``with self.subTest("its name", points=1)``."""

    name: str
    points: float
    right: bool


class Verdict(unittest.TestResult):
    """Takes down everything that goes wrong in one test, subtests and fixtures included.

    Attributes:
        problems: the errors, in their order.
        steps: the subtests with points, in their order.
        whole: whether nothing went wrong outside of the steps.
        succeeded: whether unittest saw the test through to its end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[BaseException] = []
        self.steps: list[Step] = []
        self.whole = True
        self.succeeded = False

    def addSuccess(self, test: Any) -> None:  # noqa: N802, D102
        self.succeeded = True

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802, D102
        self._fail(err[1])

    addFailure = addError  # noqa: N815

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802, D102
        if "points" in subtest.params:
            name = getattr(subtest, "_message", None)
            self.steps.append(
                Step(name if isinstance(name, str) else "", subtest.params["points"], err is None)
            )
            if err is not None:
                self.problems.append(err[1])
        elif err is not None:
            self._fail(err[1])

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802, D102
        self._fail(AssertionError(f"This test was skipped: {reason}"))

    def _fail(self, problem: BaseException) -> None:
        """Take down what costs the whole test."""
        self.problems.append(problem)
        self.whole = False


def run_test(case: unittest.TestCase, points: float) -> Verdict:
    """Run one test with its fixtures; ``points`` are those of the test, and of all its steps together."""
    verdict = Verdict()
    unittest.TestSuite([case])(verdict)
    if not verdict.succeeded and not verdict.problems:
        verdict.addError(case, (None, AssertionError("The test did not come to its end."), None))
    together = exact_sum(step.points for step in verdict.steps)
    if verdict.steps and verdict.whole and together != points:
        wrong = ValueError(f"the steps of {case.id()} have {together:g} points, and it has {points:g}")
        verdict.addError(case, (None, wrong, None))
    return verdict


# ---------------------------------------------------------------------------------------------------
# What a student is told
# ---------------------------------------------------------------------------------------------------


def feedback_on(error: BaseException) -> str:
    """Return an error as Markdown for the student, without the tests' source."""
    if isinstance(error, WorkerFailure):
        return str(error)
    if isinstance(error, SubmissionError):
        return f"Your code raised an error:\n\n{fenced(trace(error))}"
    if isinstance(error, AssertionError):
        cause = error.__cause__
        where = f"\n\n{fenced(trace(cause))}" if isinstance(cause, SubmissionError) and cause.frames else ""
        return f"{error}{where}"
    # For course staff, as it may be a fault of the test.
    print(clean(shorten("".join(traceback.format_exception(error)), TEST_LIMIT)), file=sys.stderr)
    return (
        f"The test can't work with what your code returned:\n\n{fenced(f'{type(error).__name__}: {error}')}"
    )


def trace(error: SubmissionError) -> str:
    """Return where in the submission an error arose, and the error."""
    frames = "".join(f"{file}, line {line}\n    {code}\n" for file, line, code in error.frames)
    return f"{frames}{error.name}: {error.message}"


def with_reference(stand_ins: StandIns, failure: str | None) -> str:
    """Return why a test gets its points, given how it failed on the student's own modules if it was tried."""
    names = " and ".join(f"`{name}`" for name in stand_ins)
    reason = failure or f"Your code ran into a time limit before, so your own {names} were not tried here."
    return f"{reason}\n\nWith the reference in place of your own {names} it passes, and so gets its points."


def in_part(steps: Sequence[Step], points: float, stand_ins: StandIns) -> str:
    """Return what a test that failed has points for: the steps that are right."""
    earned = exact_sum(step.points for step in steps)
    names = ", ".join(step.name for step in steps if step.name)
    told = f"This test has {earned:g} of its {points:g} points, for what is right in it"
    reference = " and ".join(f"`{name}`" for name in stand_ins)
    return (
        told
        + (f": {names}" if names else "")
        + (f" (with the reference in place of your own {reference})" if stand_ins else "")
        + "."
    )


def told_apart(failures: list[str], stand_ins: StandIns) -> str:
    """Return why a test failed on the student's own modules and, if it was tried, on stand-ins too."""
    if len(failures) == 1:
        return failures[0]
    own, other = failures
    names = " and ".join(f"`{name}`" for name in stand_ins)
    if own == other:
        return f"{own}\n\nIt fails in the same way with the reference in place of your own {names}."
    return (
        f"On your own {names}:\n\n{own}\n\n"
        f"With the reference in place of your own {names} it fails, too:\n\n{other}"
    )


# ---------------------------------------------------------------------------------------------------
# Grading
# ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attempt:
    """What came of something that a worker was asked to do.

    Attributes:
        failure: why it failed, as Markdown; None if it did not.
        printed: by the submission.
        ended: why the worker ended, if it did; see ``WorkerFailure.reason``.
        steps: those that are right of a test that failed in others.
        problems: that made it fail.
    """

    failure: str | None = None
    printed: str = ""
    ended: str = ""
    steps: tuple[Step, ...] = ()
    problems: tuple[BaseException, ...] = ()

    @property
    def earned(self) -> float:
        """The points for the steps that are right."""
        return exact_sum(step.points for step in self.steps)


NO_TIME = Attempt("There was no time left for this test: those before it took too long.", ended="deadline")


def signs_of(attempts: Sequence[Attempt], reference: bool) -> Signs:
    """Return what course staff want to know of a test, given all that was tried."""
    failed = [
        problem
        for attempt in attempts
        for problem in attempt.problems
        if isinstance(problem, checks.CheckError)
    ]
    memory = any(getattr(it, "name", "") == "MemoryError" for attempt in attempts for it in attempt.problems)
    return Signs(
        bugs=tuple(dict.fromkeys(problem.bug for problem in failed if problem.bug)),
        suspicions=tuple(dict.fromkeys(problem.what for problem in failed if problem.suspicious)),
        ended=next((attempt.ended for attempt in attempts if attempt.ended), "memory" if memory else ""),
        reference=reference,
    )


def grade(
    path: Path,
    assignment: Assignment,
    *,
    seed: int | str | None = None,
    key: Path | None = None,
    deadline: float | None = DEADLINE,
    only: Sequence[str] = (),
    report: Callable[[Grade], object] = lambda grade: None,
    unsafe: bool = False,
) -> Grade:
    """Grade the submission in a folder or a zip.

    Args:
        path: the folder or the zip.
        assignment: what was to be handed in.
        seed: what the tests' inputs are drawn from: a number, the submission's id, or by default the
            contents of its files. The same seed gives the same inputs.
        key: the file of the staff's key, which goes into a seed that is no number; without one, whoever has
            this code can compute the inputs.
        deadline: seconds for everything; tests that it leaves no time for get no points. An item may
            use as much of it as it has of the points, and what those before it have left over.
        only: beginnings of the numbers or the items of the tests to run; by default all are run.
        report: called with the grade before the first test and after each.
        unsafe: whether to go on where students' code can't be kept from other files.

    Raises:
        BadSubmissionError: ``path`` is neither a folder nor a zip.
        BadKeyError: there is no key in that file.
        SandboxError: students' code can't be run on this system.
    """
    secret = None if key is None else read_key(key)
    submission = load(path, assignment.files)
    if not isinstance(seed, int):
        seed = seed_of(submission.digest if seed is None else seed, secret)
    return Grader(
        submission,
        load_tests(assignment),
        seed,
        [*assignment.secrets, *([] if key is None else [key.resolve()])],
        math.inf if deadline is None else deadline,
        only,
        report,
        unsafe,
    ).run()


class Grader:
    """The grading of one submission; see ``grade``."""

    def __init__(
        self,
        submission: Submission,
        tests: Tests,
        seed: int,
        secrets: Sequence[Path],
        deadline: float,
        only: Sequence[str],
        report: Callable[[Grade], object],
        unsafe: bool,
    ) -> None:
        self.start = time.monotonic()
        self.submission = submission
        self.tests = tests
        self.seed = seed
        self.secrets = secrets
        self.report = report
        self.unsafe = unsafe
        cases = tests.select(only)
        self.grade = Grade(tuple(case.test for case in cases), notes=list(submission.problems))
        self.cases = []
        for case in cases:
            if f"{case.suite.module}.py" in submission.files:
                self.cases.append(case)
            else:
                missing = f"`{case.suite.module}.py` is missing or can't be read."
                self.grade.outcomes[case.test.id] = Outcome(False, missing)
        self.imports: dict[tuple[Suite, StandIns], Attempt] = {}
        self.hung = False  # whether the student's code has run into a time limit
        self.deadly = False  # whether a worker has ended while it imported the student's code

        self.end = self.start + deadline
        self.until = {}  # when each item must be done
        share = 0.0
        for item, (_, points) in self.grade.items().items():
            share += points / self.grade.maximum
            self.until[item] = self.start + deadline * share

    def run(self) -> Grade:
        """Run the tests and return the grade."""
        self.report(self.grade)
        tests = self.tests
        with (
            tests.active(),
            checks.grading(self.seed, tests.assignment.grader_modules),
            threadpool_limits(1),
            scratch_folder() as folder,
        ):
            self.submission.save(folder)
            for name in tests.assignment.modules:
                tests.modules[name].__file__ = str(folder / f"{name}.py")
            for _, cases in groupby(self.cases, lambda case: case.suite.stage):
                self._run_stage(folder, list(cases))
        return self.grade

    def _run_stage(self, folder: Path, cases: list[Case]) -> None:
        """Run tests whose workers are forked from the same process, and report after each."""
        assignment, suite = self.tests.assignment, cases[0].suite
        with (
            nullcontext() if suite.data is None else suite.data(self.seed) as data,
            Sandbox(
                folder,
                preload=suite.preload,
                hidden_packages=suite.hidden_packages,
                optional_packages=suite.optional_packages,
                data=data,
                helpers=assignment.inside,
                secrets=self.secrets,
                unsafe=self.unsafe,
            ) as sandbox,
        ):
            checks.submission_data = data
            self.grade.warnings = list(dict.fromkeys([*self.grade.warnings, *sandbox.warnings]))
            for case in cases:
                began = time.monotonic()
                outcome = self._run_test(sandbox, case)
                now = time.monotonic()
                self.grade.outcomes[case.test.id] = replace(outcome, seconds=now - began)
                self.grade.seconds = now - self.start
                self.report(self.grade)

    def _run_test(self, sandbox: Sandbox, case: Case) -> Outcome:
        """Run one test on the student's own modules, and if it fails there, on stand-ins.

        Once the student's code has run into a time limit, it is run on stand-ins alone where there are any,
        so that there is time for all tests.
        """
        stand_ins = case.suite.stand_ins
        attempts = []
        if not (self.hung and stand_ins):
            attempts.append(self._try(sandbox, case, ()))
            if attempts[0].failure is None:
                self._measure(case)
                return Outcome(True, printed=attempts[0].printed)
        if stand_ins:
            attempts.append(self._try(sandbox, case, stand_ins))
        shown, latest = attempts[0], attempts[-1]
        if latest.failure is None:
            signs = signs_of(attempts, reference=True)
            return Outcome(True, with_reference(stand_ins, shown.failure), shown.printed, signs=signs)
        failures = [attempt.failure or "" for attempt in attempts]
        message = told_apart(failures, stand_ins)
        best = max(attempts, key=lambda attempt: attempt.earned)  # the student's own of two that are equal
        helped = bool(best.steps) and best is not shown
        if best.steps:
            message = f"{in_part(best.steps, case.test.points, stand_ins if helped else ())}\n\n{message}"
        return Outcome(
            False, message, shown.printed, earned=best.earned, signs=signs_of(attempts, reference=helped)
        )

    def _measure(self, case: Case) -> None:
        """Take what a test that has passed has measured for the leaderboard, if the assignment wants one."""
        method = method_of(case.case)
        if not (self.tests.assignment.leaderboard and hasattr(method, "__leaderboard_column__")):
            return
        try:
            value = float(method.__leaderboard_value__)
        except (TypeError, ValueError, OverflowError):  # none, or nothing that a student's code should answer
            return
        if math.isfinite(value):
            name, order = method.__leaderboard_column__, method.__leaderboard_sort_order__
            self.grade.leaderboard.append(Measure(name, value, order))

    def _try(self, sandbox: Sandbox, case: Case, stand_ins: StandIns) -> Attempt:
        """Run one test, if the module that it tests can be imported at all.

        A module that can't be imported, or hangs when it is, is so found out once and not in every test.
        """
        key = case.suite, stand_ins
        if key not in self.imports:
            self.imports[key] = self._import(sandbox, case, stand_ins)
        if self.imports[key].failure is not None:
            return self.imports[key]
        seconds = min(case.suite.limits.wall, self.until[case.test.item] - time.monotonic())

        def run(session: Session) -> Verdict:
            method = method_of(case.case)
            if hasattr(method, "__leaderboard_column__"):
                method.__func__.__leaderboard_value__ = None  # not that of another submission
            return run_test(case.case, case.test.points)

        return self._attempt(sandbox, case, stand_ins, seconds, run)

    def _import(self, sandbox: Sandbox, case: Case, stand_ins: StandIns) -> Attempt:
        """Import the module that a test tests."""
        module = case.suite.module

        def import_module(session: Session) -> Verdict:
            verdict = Verdict()
            try:
                session.request("module", module)
            except Exception as error:
                verdict.problems.append(error)
            return verdict

        seconds = min(IMPORT_LIMIT, self.end - time.monotonic())
        attempt = self._attempt(sandbox, case, stand_ins, seconds, import_module)
        if attempt.failure is None or attempt is NO_TIME:
            return attempt
        self.deadly |= bool(attempt.ended)
        failure = f"`{module}.py` can't be imported. {attempt.failure}"
        if attempt.ended == "timeout":
            failure += RUN_AT_IMPORT
        if not stand_ins:
            self.grade.notes.append(failure)
            (problem,) = attempt.problems
            kind = f"{problem.name}: " if isinstance(problem, SubmissionError) else ""
            why = re.sub(r"/\S*/(?=\w+\.py\b)", "", str(problem))  # without the folders, which are nobody's
            self.grade.unimportable[module] = f"{kind}{why}"
        return replace(attempt, failure=failure, ended="")  # which is said once, and not of every test

    def _attempt(
        self,
        sandbox: Sandbox,
        case: Case,
        stand_ins: StandIns,
        seconds: float,
        work: Callable[[Session], Verdict],
    ) -> Attempt:
        """Have a fresh worker do some work, which returns what went wrong, within some seconds.

        Where the worker was ended, or the grader had to stop looking, no step counts.
        """
        if seconds < SHORTEST:
            return NO_TIME
        limits = replace(case.suite.limits, wall=seconds)
        assignment = self.tests.assignment
        config = {
            "modules": list(assignment.remote),
            "stand_ins": list(stand_ins),
            "installer": assignment.stand_ins,
            "blank": self.deadly,
        }
        answer = assignment.references(stand_ins).answer if stand_ins and assignment.references else None
        with sandbox.worker(limits, **config) as worker:
            self.tests.session = session = Session(worker, answer)

            def overdue() -> WorkerFailure:
                session.failure = WorkerFailure("timeout", TOO_LONG)
                return session.failure

            try:
                with bounded(seconds + LOOKING, overdue):
                    verdict = work(session)
            except WorkerFailure as late:
                verdict = Verdict()
                session.failure = session.failure or late
            finally:
                self.tests.session = None
        ended = session.failure
        # Whatever a test made of it.
        problems = tuple(verdict.problems) if ended is None else (ended,)
        self.hung |= ended is not None and ended.reason == "timeout"
        told = dict.fromkeys(shorten(feedback_on(problem), TEST_LIMIT) for problem in problems[:SHOWN])
        return Attempt(
            "\n\n".join(told) if problems else None,
            worker.output,
            "" if ended is None else ended.reason,
            tuple(step for step in verdict.steps if step.right and verdict.whole and ended is None),
            problems,
        )
