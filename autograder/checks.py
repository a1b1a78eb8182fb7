"""What graded tests are written with: comparisons that name the likely mistake, random inputs, and bans.

A failure is an AssertionError whose message is all that a student sees. It is Markdown and says in a few
plain lines what is wrong, where, and, if the numbers give it away, which mistake it looks like. The tests
work on the modules of the current folder and on the proxies of an isolated submission alike.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import traceback
import unittest
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import policy

submission_seed = 0
"""Goes into all that the tests draw; grading sets it to a number that belongs to the submission."""

submission_data: Path | None = None
"""The folder that the submission finds as ``./data``; None in place, where it is one of the usual ones."""

submission_modules: set[str] = set()
"""The modules that are tested."""

grader_modules: tuple[str, ...] = ()
"""Modules of the grader's own that the submission's process can import, and has no business with."""


@contextlib.contextmanager
def grading(seed: int, graders: Sequence[str] = ()) -> Iterator[None]:
    """Have the checks draw from a seed, and refuse the use of modules of the grader's, for a while."""
    global submission_seed, submission_data, grader_modules
    before = submission_seed, submission_data, grader_modules
    submission_seed, grader_modules = seed, tuple(graders)
    try:
        yield
    finally:
        submission_seed, submission_data, grader_modules = before


# ---------------------------------------------------------------------------------------------------
# Numbers
# ---------------------------------------------------------------------------------------------------


def generator(*key: int) -> np.random.Generator:
    """Return a generator of random numbers, the same for the same key and the same submission."""
    return np.random.default_rng([submission_seed, *key])


def random_batch(*shape: int, seed: int = 0) -> np.ndarray:
    """Return normally distributed numbers, the same for the same seed and the same submission."""
    return generator(seed, *shape).normal(size=shape)


# ---------------------------------------------------------------------------------------------------
# Comparisons
# ---------------------------------------------------------------------------------------------------


class CheckError(AssertionError):
    """A failure, in the words that the student reads.

    Args:
        what: is wrong.
        *details: lines of a list.
        code: a block of code or of a traceback.
        bug: the mistake that it looks like, and what to do about it.
        suspicious: whether staff should look at it: what is banned, out of sight, or done by something else.
    """

    def __init__(
        self, what: str, *details: str, code: str = "", bug: str = "", suspicious: bool = False
    ) -> None:
        self.what = what
        self.bug = bug
        self.suspicious = suspicious
        paragraphs = [
            f"**{what}.**",
            code and f"```\n{code}\n```",
            "\n".join(f"- {line}" for line in details),
            bug and f"Likely bug: {bug}.",
        ]
        super().__init__("\n\n".join(filter(None, paragraphs)))


class Comparison:
    """Compares a test's answers with the right ones, and names a mistake only if it explains all of them.

        with Comparison() as compare:
            for n in (3, 1):
                compare(mean(x[:n]), x[:n].mean(), "The mean", suspects={"it is the sum": x[:n].sum()})

    At the end of the ``with`` the first answer that is wrong is a CheckError. An error that comes before the
    end is kept back where an answer before it was wrong.
    """

    def __init__(self) -> None:
        self.trials: list[Trial] = []

    def __call__(self, actual: Any, expected: Any, name: str, **options: Any) -> None:
        """Take up an answer, the right one, and what else ``assert_close`` takes."""
        self.trials.append(
            Trial(as_array(actual, name), np.asarray(detached(expected)), name=name, **options)
        )

    def __enter__(self) -> Comparison:
        """Begin."""
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Raise a CheckError if an answer is wrong."""
        wrong = next((trial for trial in self.trials if not trial.is_right), None)
        if wrong is None or not isinstance(error, (Exception, type(None))):
            return
        bugs = (bug for bug in wrong.suspects if all(trial.explained_by(bug) for trial in self.trials))
        bug = next(bugs, "")
        if not bug and self._only_overflows(wrong.not_finite):
            bug = wrong.not_finite
        raise wrong.failure(bug) from None

    def _only_overflows(self, bug: str) -> bool:
        """Say whether all that is wrong is that numbers are not finite, while others are right."""
        finite = [np.isfinite(trial.actual) for trial in self.trials]
        return any(mask.any() for mask in finite) and all(
            trial.is_right or (trial.not_finite == bug and not mask.all() and trial.is_right_where(mask))
            for trial, mask in zip(self.trials, finite, strict=True)
        )


def comparing(test: Callable[..., None]) -> Callable[..., None]:
    """Give a test a ``Comparison`` as its first argument, which judges when the test ends."""

    @functools.wraps(test)
    def run(self: Any, *args: Any) -> None:
        with Comparison() as compare:
            test(self, compare, *args)

    return run


@dataclass
class Trial:
    """An answer beside the right one; the attributes are as ``assert_close`` describes them."""

    actual: np.ndarray
    expected: np.ndarray
    name: str
    tolerance: float = 1e-4
    scale: float = 0.1
    suspects: Mapping[str, Any] = field(default_factory=dict)
    not_finite: str = ""

    @property
    def is_right(self) -> bool:
        """Whether the answer is right."""
        return is_close(self.actual, self.expected, self.tolerance, self.scale)

    def is_right_where(self, mask: np.ndarray) -> bool:
        """Say whether the answer has the right shape, and the right numbers where a mask is true."""
        return self.actual.shape == self.expected.shape and is_close(
            self.actual[mask], self.expected[mask], self.tolerance, self.scale
        )

    def explained_by(self, bug: str) -> bool:
        """Say whether a mistake gives this answer; one that is no suspect gives the right one."""
        wrong = self.suspects.get(bug, self.expected)
        answers = wrong if isinstance(wrong, tuple) else (wrong,)
        return any(is_close(self.actual, answer, self.tolerance, self.scale) for answer in answers)

    def failure(self, bug: str) -> CheckError:
        """Return what is wrong with the answer, in words."""
        actual, expected, name = self.actual, self.expected, self.name
        if actual.shape != expected.shape:
            return CheckError(
                f"{name} has the wrong shape", f"expected {expected.shape}", f"got {actual.shape}", bug=bug
            )
        error = error_of(actual, expected)
        worst = np.unravel_index(error.argmax(), error.shape)
        where = f" at {[int(index) for index in worst]}" if worst else ""
        # Beside a 0, or next to 0, any error is large, and says nothing.
        sizes = np.abs(expected[np.isfinite(expected)]).max(initial=self.scale) * self.tolerance
        compared = np.isfinite(expected) & (np.abs(expected) > sizes)
        relative = (error[compared] / np.abs(expected[compared])).max(initial=0)
        return CheckError(
            f"{name} is wrong",
            f"largest error {error[worst]:.2g}{where}: "
            f"expected {expected[worst]:.6g}, got {actual[worst]:.6g}",
            *([f"largest relative error {relative:.2g}"] if relative > self.tolerance else []),
            f"shape {actual.shape}, as it should be; dtype {actual.dtype}",
            bug=bug,
        )


def assert_close(
    actual: Any,
    expected: Any,
    name: str,
    *,
    tolerance: float = Trial.tolerance,
    scale: float = Trial.scale,
    suspects: Mapping[str, Any] | None = None,
    not_finite: str = "",
) -> None:
    """Check shape and values; NaN equals NaN, and an infinity only itself.

    Args:
        actual: a number, an array or a tensor.
        expected: likewise, or a list of numbers.
        name: the quantity, such as "dL/dW".
        tolerance: the largest error allowed, as a fraction of the largest number expected, or of
            ``scale`` if that is larger. By default whatever computes in float32 passes.
        scale: about the size of the numbers from which ``expected`` was computed.
        suspects: what wrong code would give, by the sentence that tells its author what is wrong; a
            tuple where a mistake can show in several ways.
        not_finite: that sentence for numbers that should be finite and are not, while the others are right.
    """
    with Comparison() as compare:
        compare(
            actual,
            expected,
            name,
            tolerance=tolerance,
            scale=scale,
            suspects=suspects or {},
            not_finite=not_finite,
        )


def is_close(actual: Any, expected: Any, tolerance: float = 1e-4, scale: float = 0.1) -> bool:
    """Say whether two arrays are equal, up to what ``assert_close`` allows."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        return False
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=scale)
    return bool(error_of(actual, expected).max(initial=0.0) <= tolerance * largest)


def error_of(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return |actual - expected|: 0 where both are NaN or the same infinity, infinite where one alone is."""
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(actual.astype(np.float64) - expected)
    return np.where(same, 0.0, np.nan_to_num(error, nan=np.inf, posinf=np.inf))


def detached(value: Any) -> Any:
    """Return a tensor of PyTorch's as an array, and anything else as it is; no proxy is asked what it is."""
    torch = sys.modules.get("torch")
    return value.detach().numpy() if torch is not None and isinstance(value, torch.Tensor) else value


def as_array(value: Any, name: str) -> np.ndarray:
    """Return what the student's code answered, a number, an array or a tensor, as an array of numbers."""
    if value is None:
        raise CheckError(f"{name} is None", bug="it is not implemented yet, or a `return` is missing")
    value = detached(value)
    if (
        not isinstance(value, (int, float, np.generic, np.ndarray))
        or np.asarray(value).dtype.kind not in "biuf"
    ):
        raise CheckError(f"{name} should be an array of real numbers", f"got {value!r:.80}")
    return np.asarray(value)


def assert_refused(call: Callable[[], Any], what: str) -> None:
    """Check that ``call()`` raises an error, whichever."""
    try:
        call()
    except Exception:
        return
    raise CheckError(
        f"{what} should raise an error",
        "it raised none",
        bug="the dimensions are not checked: compare the shape with what is expected, and raise a ValueError",
    )


# ---------------------------------------------------------------------------------------------------
# Errors that the student's code raises
# ---------------------------------------------------------------------------------------------------


def explain(error: BaseException) -> str:
    """Return what a student is told: the message of a failed check, or where their code raised an error."""
    if isinstance(error, AssertionError) and not frames_of(error):
        return str(error)
    return str(CheckError("Your code raised an error", code=trace_of(error)))


def trace_of(error: BaseException) -> str:
    """Return an error with the lines of the submission that led to it."""
    frames = "".join(f"{file}, line {line}\n    {code}\n" for file, line, code in frames_of(error))
    name = getattr(error, "name", "") if hasattr(error, "frames") else type(error).__name__
    return f"{frames}{name}: {error}"


def frames_of(error: BaseException) -> list[tuple[str, int, str]]:
    """Return file, line and code of the submission's part of a traceback, outermost first."""
    if hasattr(error, "frames"):  # it came through a proxy
        return error.frames
    return [
        (Path(frame.filename).name, frame.lineno or 0, frame.line or "")
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).stem in submission_modules
    ]


@contextlib.contextmanager
def hint(bug: str, is_shown: Callable[[], bool]) -> Iterator[None]:
    """Where the student's code stumbles over shapes or indices, tell the likely bug beside its error.

    Args:
        bug: the mistake.
        is_shown: says whether that is it, as seen where all shapes fit and only the numbers tell.
    """
    try:
        yield
    except (ValueError, IndexError) as error:
        try:
            likely = is_shown()
        except Exception:  # the student's code may stumble there, too
            likely = False
        raise CheckError(
            "Your code raised an error", code=trace_of(error), bug=bug if likely else ""
        ) from None


def takes(function: Callable[..., Any], *arguments: Any) -> bool:
    """Say whether a function can be called with these arguments."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # nothing is known about its parameters
        return True
    return True


# ---------------------------------------------------------------------------------------------------
# The tests of one item
# ---------------------------------------------------------------------------------------------------


class GradedTest(unittest.TestCase):
    """The tests of a class or a function; what is banned there costs every such test.

    Attributes:
        module: which has it; ``__file__`` is its text.
        tested: its name.
        banned_functions: that no library may lend to it.
        allowed_libraries: the only ones that it may use, besides what is harmless of the standard library.
            None for any.
    """

    module: Any
    tested: str
    banned_functions: tuple[str, ...] = ()
    allowed_libraries: tuple[str, ...] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "module"):
            submission_modules.add(cls.module.__name__)

    def setUp(self) -> None:
        """Look for what is banned in the text of the submission."""
        quiet = warnings.catch_warnings()
        quiet.__enter__()
        self.addCleanup(quiet.__exit__, None, None, None)
        warnings.simplefilter("ignore")  # an overflow on the way to a right answer costs nothing
        if self.banned_functions or self.allowed_libraries is not None:
            refuse_banned(self.module, self.tested, self.banned_functions, self.allowed_libraries)


def refuse_banned(
    module: Any, tested: str, functions: Sequence[str] = (), libraries: Sequence[str] | None = None
) -> None:
    """Check that a class uses nothing that is banned (see ``policy``); arguments as of ``GradedTest``.

    What lies beside the module is the submission's, too, also where the tests of this module run alone.
    """
    files = sorted(Path(module.__file__).parent.glob("*.py"))
    sources = tuple((file.stem, file.read_bytes()) for file in files)
    allowed = None if libraries is None else tuple(libraries)
    uses = policy.violations(sources, module.__name__, tested, tuple(functions), allowed, grader_modules)
    for file, line, what, hidden in uses:
        costs = "as long as it is there, this part of the assignment has no points"
        if hidden:
            raise CheckError(
                f"`{file}`, line {line}: `{what}` hides what {tested} uses",
                "nothing here may be out of sight: write it out, as in `np.exp(x)`",
                costs,
                suspicious=True,
            )
        raise CheckError(
            f"`{file}`, line {line}: `{what}` is not allowed in {tested}",
            "the handout asks you to write this yourself",
            costs,
            suspicious=True,
        )
