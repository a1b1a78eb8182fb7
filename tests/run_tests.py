"""Runs the graded tests and writes Gradescope's results.json.

    python tests/run_tests.py --results results/results.json

A test's output is its failure's message; nothing else is printed.
"""

from __future__ import annotations

import argparse
import io
import sys
import unittest
from pathlib import Path

from gradescope_utils.autograder_utils.json_test_runner import JSONTestRunner

TESTS = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> int:
    """Discover the tests in this folder, run them and write their results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--results", metavar="FILE", type=Path, help="where to write; default: standard output"
    )
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(TESTS.parent))  # where q1.py, q2.py and fashion_mnist.py are
    results = io.StringIO()
    JSONTestRunner(stream=results, visibility="visible").run(unittest.defaultTestLoader.discover(str(TESTS)))
    if options.results is None:
        print(results.getvalue(), end="")
    else:
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text(results.getvalue(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
