"""The two zips: ``dist/autograder.zip`` for course staff, ``dist/submission.zip`` for a student.

The same files give the same zip, byte for byte: entries are in a fixed order, carry no times, and are
stored as they are, since compressors differ from machine to machine.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from .assignment import Assignment
from .grading import grade, load_tests
from .in_place import grade_in_place
from .inside.scratch import scratch_folder
from .key import as_text
from .results import Grade, document, replacing
from .submission import BadSubmissionError, read_file

ENGINE = Path(__file__).resolve().parent
CONTAINER = ENGINE / "container"
IN_PLACE = (
    "there is no sandbox on {system}, so your code was graded in place, without limits; a mistake in one file"
    " can cost points in others then, as it does not on Gradescope"
)
NO_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip knows


def sources(assignment: Assignment) -> dict[str, bytes]:
    """Return everything that a grade depends on, by its path in the zip: autograder, tests, solution.

    What belongs to the assignment lies there as it lies here, so that relative paths hold.
    """
    engine = [path for path in ENGINE.rglob("*") if path.suffix in (".py", ".txt", ".json")]
    contents = {f"autograder/{path.relative_to(ENGINE).as_posix()}": path.read_bytes() for path in engine}
    own = assignment.sources
    root = Path(os.path.commonpath([assignment.folder, *(path.parent for path in own)]))
    contents |= {f"assignment/{path.relative_to(root).as_posix()}": path.read_bytes() for path in own}
    folder = PurePosixPath("assignment", assignment.folder.relative_to(root).as_posix())
    needed = ["autograder/requirements.txt"]
    for path in (assignment.folder / name for name in assignment.requirements):
        if path.exists():
            needed.append(f"assignment/{path.resolve().relative_to(root).as_posix()}")
    contents["folder.txt"] = f"{folder}\n".encode()
    contents["requirements.txt"] = "".join(f"-r {path}\n" for path in needed).encode()
    return contents


def build(assignment: Assignment, target: Path, key: bytes, unsafe: bool = False) -> None:
    """Write the zip that Gradescope takes as an autograder, with the staff's key in it.

    Args:
        assignment: what is graded.
        target: the zip.
        key: of the staff.
        unsafe: whether it grades with ``--unsafe``.
    """
    contents = sources(assignment)
    contents["key"] = as_text(key).encode()
    if unsafe:
        contents["unsafe"] = b""
    for path in CONTAINER.iterdir():
        contents[path.name] = path.read_bytes()
    manifest = Grade(tuple(case.test for case in load_tests(assignment).cases))
    contents["manifest.json"] = json.dumps(document(manifest), indent=1).encode()
    write_zip(target, contents)


def submit(
    folder: Path,
    assignment: Assignment,
    target: Path,
    report: Callable[[Grade], object],
    unsafe: bool = False,
) -> Grade:
    """Write the zip that a student hands in, once what is in it has been graded.

    Where there is no sandbox, on macOS and Windows, it is graded in place: it is one's own code.

    Returns:
        The grade of what is in the zip.

    Raises:
        BadSubmissionError: a file is missing, does not compile, or can't be graded. No zip is
            written, and one that was there stays as it was.
    """
    contents = {}
    for name in assignment.files:
        try:
            contents[name] = read_file(folder / name)
        except ValueError as error:
            raise BadSubmissionError(f"{folder / name} {error}") from error
        try:
            compile(contents[name], name, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            raise BadSubmissionError(f"{folder / name} does not compile: {error}") from error
    isolated = sys.platform == "linux"
    with scratch_folder() if isolated else tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch, target.name)
        write_zip(draft, contents)
        if isolated:
            graded = grade(draft, assignment, report=report, unsafe=unsafe)
        else:
            graded = grade_in_place(draft, assignment, report=report)
            graded.warnings.append(IN_PLACE.format(system=sys.platform))
    if graded.notes:
        raise BadSubmissionError("\n".join(graded.notes))
    write_zip(target, contents)
    return graded


def write_zip(target: Path, contents: dict[str, bytes]) -> None:
    """Write a zip as ``replacing`` does; files that begin with ``#!`` can be executed."""
    with replacing(target) as beside, zipfile.ZipFile(beside, "w") as archive:
        for name, content in sorted(contents.items()):
            entry = zipfile.ZipInfo(name, NO_TIME)
            entry.create_system = 3  # Unix, so that the mode counts
            entry.external_attr = (stat.S_IFREG | (0o755 if content.startswith(b"#!") else 0o644)) << 16
            archive.writestr(entry, content)
