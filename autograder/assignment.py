"""What an assignment is: a folder with its graded tests, and an ``assignment.py`` that says how they are run.

    from autograder.assignment import Assignment, Limits, Suite

    ASSIGNMENT = Assignment("Homework 1", suites=(Suite("sorting", Limits(wall=5)),))

grades a ``sorting.py`` with the tests in ``test_sorting.py``. Points stand at the tests (``@weight``), and
what an item may not use stands in its class of tests (``checks.GradedTest``).
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .sandbox import Limits

__all__ = ["Assignment", "BadAssignmentError", "Limits", "Suite", "load_assignment"]

NAME = "assignment"
INSIDE = Path(__file__).resolve().parent / "inside"


class BadAssignmentError(Exception):
    """A folder is no assignment; the message says why."""


@dataclass(frozen=True)
class Suite:
    """The graded tests of one module of the submission, which stand in ``test_<module>.py``.

    Attributes:
        module: the module.
        limits: of one test.
        preload: what each test finds imported, so that it need not wait for that.
        hidden_packages: of which the submission gets but dummies: these can be imported, and do nothing.
        optional_packages: likewise, where they are not installed: what students import and do not use here.
        data: given the grading's seed, provides the folder that the submission finds as ``./data``.
        stand_ins: the student's other modules that this one builds on. Where a test fails on these, it is
            tried again with the assignment's stand-ins in their place, and the better result counts.
    """

    module: str
    limits: Limits = Limits()  # noqa: RUF009
    preload: tuple[str, ...] = ("numpy",)
    hidden_packages: tuple[str, ...] = ()
    optional_packages: tuple[str, ...] = ()
    data: Callable[[int], AbstractContextManager[Path]] | None = None
    stand_ins: tuple[str, ...] = ()

    @property
    def stage(self) -> tuple[Any, ...]:
        """What suites have in common whose workers are forked from the same process."""
        return self.preload, self.hidden_packages, self.optional_packages, self.data


@dataclass(frozen=True)
class Assignment:
    """An assignment; paths are relative to its folder.

    Attributes:
        title: its name.
        suites: the graded tests, module by module.
        solution: the folder of the reference solution's modules.
        probe: a module of the folder that works for the tests in the submission's process; they talk to a
            proxy of it, and students' code can read it.
        helpers: further modules of the folder that the submission's process can import.
        stand_ins: that of the helpers which has ``install(worker, modules, blank)``, and so replaces modules
            of the submission by stand-ins, which ask the grader.
        references: given the replaced modules, returns what has ``answer(question)`` for those.
        leaderboard: whether Gradescope shows what tests with ``@leaderboard`` have measured.
        requirements: files of what the tests and the submission need, for pip; they need not be there.
        starter: the folder of what students start from (see ``starter.py``); it need not be there.
        folder: where it is; known once it is loaded.
    """

    title: str
    suites: tuple[Suite, ...]
    solution: str = "solution"
    probe: str = ""
    helpers: tuple[str, ...] = ()
    stand_ins: str = ""
    references: Callable[[Collection[str]], Any] | None = None
    leaderboard: bool = False
    requirements: tuple[str, ...] = ("requirements.txt",)
    starter: str = "starter"
    folder: Path = Path()

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that are handed in."""
        return tuple(suite.module for suite in self.suites)

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are handed in."""
        return tuple(f"{module}.py" for module in self.modules)

    @property
    def remote(self) -> tuple[str, ...]:
        """The modules that the tests import and that are in the submission's process."""
        return (*self.modules, self.probe) if self.probe else self.modules

    @property
    def inside(self) -> list[Path]:
        """The files that the submission's process can import beside the submission's own."""
        names = (self.probe, *self.helpers) if self.probe else self.helpers
        return [self.folder / f"{name}.py" for name in names]

    @property
    def grader_modules(self) -> list[str]:
        """The modules of the grader's own that are in the submission's process."""
        return [path.stem for path in (*self.inside, *INSIDE.glob("*.py"))]

    @property
    def secrets(self) -> list[Path]:
        """What students' code must not be able to read: the tests and the solution."""
        return [self.folder, *(self.folder / self.solution / file for file in self.files)]

    @property
    def sources(self) -> list[Path]:
        """All files that belong to it: those in its folder, the solution's, the requirements."""
        paths = [*self.folder.iterdir(), *self.secrets, *(self.folder / name for name in self.requirements)]
        return sorted({path.resolve() for path in paths if path.is_file() and not path.name.startswith(".")})


@functools.cache
def load_assignment(folder: Path) -> Assignment:
    """Return the assignment in a folder.

    Raises:
        BadAssignmentError: there is none.
    """
    folder = folder.resolve()
    if not (folder / f"{NAME}.py").is_file():
        raise BadAssignmentError(f"expected a folder with an {NAME}.py, got {folder}")
    with modules_of(folder, {}):
        try:
            assignment = importlib.import_module(NAME).ASSIGNMENT
        except Exception as error:
            raise BadAssignmentError(f"{folder}/{NAME}.py: {type(error).__name__}: {error}") from error
    if not isinstance(assignment, Assignment):
        raise BadAssignmentError(
            f"{folder}/{NAME}.py: expected ASSIGNMENT to be an Assignment, got {assignment!r}"
        )
    assignment = replace(assignment, folder=folder)
    for path in (*(folder / f"test_{module}.py" for module in assignment.modules), *assignment.inside):
        if not path.is_file():
            raise BadAssignmentError(f"{folder}/{NAME}.py: expected {path.name} beside it, and there is none")
    return assignment


@contextmanager
def modules_of(folder: Path, modules: dict[str, Any]) -> Iterator[None]:
    """Have ``import`` find the modules of a folder first, as if no others of their names were there.

    Args:
        folder: the folder.
        modules: what ``sys.modules`` has of them meanwhile; it takes up those that are imported.
    """
    names = {*modules, *(path.stem for path in folder.glob("*.py"))}
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.modules.update(modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        modules.update({name: sys.modules.pop(name) for name in names if name in sys.modules})
        sys.modules.update(before)
