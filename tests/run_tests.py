"""Grades the three modules of a folder in place, without isolation and limits.

    python tests/run_tests.py                  those of the current folder
    python tests/run_tests.py DIR --only 1.1   of another one, and only the
                                               tests whose numbers begin so

It prints a table and what went wrong, and exits with 1 unless all points are
reached. A fault in one module costs points in those that build on it, too.
``python -m autograder grade`` is for the code of others.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
sys.path.insert(0, str(TESTS.parent))  # where the autograder is

from autograder import results  # noqa: E402
from autograder.assignment import load_assignment  # noqa: E402
from autograder.in_place import grade_in_place  # noqa: E402
from autograder.submission import BadSubmissionError  # noqa: E402


def path(text: str) -> Path:
    """Read an argument as a path, with the home folder for ~."""
    return Path(os.path.expanduser(text))


def main(arguments: list[str] | None = None) -> int:
    """Run the graded tests, show the grade, and return 0 for full marks, 1 for less, 2 for no submission."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", metavar="DIR", type=path, nargs="?", default=Path())
    parser.add_argument(
        "--only", metavar="NUMBER", nargs="+", default=[], help="beginnings of tests' numbers"
    )
    parser.add_argument(
        "--results", metavar="FILE", type=path, help="also write results.json, as Gradescope has it"
    )
    options = parser.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # what the terminal can't show becomes a ?
    try:
        grade = grade_in_place(options.folder, load_assignment(TESTS), only=options.only)
    except BadSubmissionError as error:
        parser.error(str(error))
    results.show(results.table(grade))
    if options.results is not None:
        results.write(options.results, grade)
    return 0 if grade.total == grade.maximum else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
