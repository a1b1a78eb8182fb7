"""The two zips: ``dist/autograder.zip`` for course staff, ``dist/submission.zip`` for a student.

The same files give the same zip, byte for byte: entries are in a fixed order, carry no times, and are
stored as they are, since compressors differ from machine to machine.
"""

from __future__ import annotations

import json
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from .grading import NOT_RUN, TESTS, grade, load_tests
from .results import Grade, document, replacing
from .submission import FILES, BadSubmissionError, read_file

REPOSITORY = TESTS.parent
CONTAINER = Path(__file__).resolve().parent / "container"
NO_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip knows


def sources() -> dict[str, bytes]:
    """Return everything that a grade depends on: the tests, the autograder, the reference, by path."""
    paths = [
        *(REPOSITORY / name for name in ("requirements.txt", *FILES)),
        *(path for path in CONTAINER.parent.rglob("*") if path.suffix in (".py", ".txt", ".json")),
        *TESTS.glob("*.py"),
    ]
    return {path.relative_to(REPOSITORY).as_posix(): path.read_bytes() for path in paths}


def build(target: Path) -> None:
    """Write the zip that Gradescope takes as an autograder."""
    contents = sources()
    for path in CONTAINER.iterdir():
        contents[path.name] = path.read_bytes()
    manifest = Grade(tuple(case.test for case in load_tests().cases), notes=[NOT_RUN])
    contents["manifest.json"] = json.dumps(document(manifest), indent=1).encode()
    write_zip(target, contents)


def submit(folder: Path, target: Path, report: Callable[[Grade], object]) -> Grade:
    """Write the zip that a student hands in, once what is in it has been graded.

    Returns:
        The grade of what is in the zip.

    Raises:
        BadSubmissionError: a file is missing, does not compile, or can't be graded. No zip is
            written, and one that was there stays as it was.
    """
    contents = {}
    for name in FILES:
        try:
            contents[name] = read_file(folder / name)
        except ValueError as error:
            raise BadSubmissionError(f"{folder / name} {error}") from error
        try:
            compile(contents[name], name, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            raise BadSubmissionError(f"{folder / name} does not compile: {error}") from error
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch, target.name)
        write_zip(draft, contents)
        graded = grade(draft, report=report)
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
