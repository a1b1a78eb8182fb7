"""The graded tests are plain unittest: gradescope-utils' own runner runs them, those of each module alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = """
import sys, unittest
sys.path[:0] = sys.argv[2:]
from gradescope_utils.autograder_utils.json_test_runner import JSONTestRunner
tests = unittest.defaultTestLoader.loadTestsFromName(sys.argv[1])
JSONTestRunner(visibility="visible", stream=sys.stdout).run(tests)
"""


@pytest.mark.parametrize(
    ("name", "points"),
    [("test_q1.TestReLULayer", 10), ("test_q2", 10), ("test_fashion_mnist.TestArchitecture.test_custom", 2)],
)
def test_each_alone(name, points):
    command = [sys.executable, "-c", RUN, name, str(ROOT), str(ROOT / "tests")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    tests = json.loads(done.stdout)["tests"]
    assert [test["output"] for test in tests if test["status"] == "failed"] == []
    assert sum(test["score"] for test in tests) == points
    assert all(test["number"] for test in tests)
