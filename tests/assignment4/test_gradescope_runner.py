"""The graded tests are plain unittest: gradescope-utils' own runner runs them, those of one module alone."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = """
import sys, unittest
sys.path[:0] = sys.argv[2:]
from gradescope_utils.autograder_utils.json_test_runner import JSONTestRunner
tests = unittest.defaultTestLoader.loadTestsFromName(sys.argv[1])
JSONTestRunner(visibility="visible", stream=sys.stdout).run(tests)
"""


def test_one_module_alone():
    command = [sys.executable, "-c", RUN, "test_q2", str(ROOT), str(ROOT / "tests")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    tests = json.loads(done.stdout)["tests"]
    assert [test["output"] for test in tests if test["status"] == "failed"] == []
    assert sum(test["score"] for test in tests) == 10
    assert all(test["number"] for test in tests)
