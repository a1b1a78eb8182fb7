"""Runs the graded tests on the modules of the current folder, and writes results as Gradescope has them.

    python tests/run_tests.py --results results/results.json

A test's output is its failure's message; nothing else is printed. Nothing is isolated here: this is for
one's own code. ``python -m autograder grade`` is for that of others.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import unittest
from pathlib import Path
from typing import Any

from gradescope_utils.autograder_utils.json_test_runner import JSONTestResult, JSONTestRunner

TESTS = Path(__file__).resolve().parent
sys.path.insert(0, str(TESTS.parent))  # where the three modules and the autograder are

from autograder.checks import explain  # noqa: E402


class Result(JSONTestResult):
    """Results whose failures are Markdown, and say where in the student's code an error arose."""

    def buildResult(self, test: Any, err: Any = None) -> dict[str, Any]:
        """Return what results.json has about a test."""
        result = super().buildResult(test, err and (err[0], explain(err[1]), err[2]))
        return {**result, "output_format": "md"}


class Runner(JSONTestRunner):
    """The runner of such results."""

    resultclass = Result


def path(text: str) -> Path:
    """Read an argument as a path, with the home folder for ~."""
    return Path(os.path.expanduser(text))


def main(arguments: list[str] | None = None) -> int:
    """Discover the tests in this folder, run them and write their results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--results", metavar="FILE", type=path, help="where to write; default: standard output"
    )
    options = parser.parse_args(arguments)
    results = io.StringIO()
    Runner(stream=results, visibility="visible", failure_prefix="").run(
        unittest.defaultTestLoader.discover(str(TESTS))
    )
    if options.results is None:
        print(results.getvalue(), end="")
    else:
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text(results.getvalue(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
