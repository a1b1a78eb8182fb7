"""The grading run, on made-up graded tests: what counts, what a student is told, and that it always ends."""

import json
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest
from default_assignment import ASSIGNMENT, MAXIMUM

from autograder import grading
from autograder.assignment import load_assignment
from autograder.submission import BadSubmissionError

REPOSITORY = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((REPOSITORY / "autograder" / "results.schema.json").read_text(encoding="utf-8"))

TESTS = {
    "assignment.py": """
        from types import SimpleNamespace

        import numpy as np

        from autograder.assignment import Assignment, Suite

        ASSIGNMENT = Assignment(
            "Made up",
            suites=(Suite("q1"), Suite("q2", stand_ins=("q1",)), Suite("q3")),
            probe="probe",
            helpers=("standins",),
            stand_ins="standins",
            references=lambda modules: SimpleNamespace(answer=lambda question: np.maximum(question[0], 0)),
        )
    """,
    "probe.py": "def double(x):\n    return 2 * x\n",
    "standins.py": """
        import importlib, sys, types

        def install(worker, names, blank):
            class ReLULayer:
                def forward(self, x):
                    return worker.ask(x)

            try:
                module = types.ModuleType("q1") if blank else importlib.import_module("q1")
            except BaseException:
                module = types.ModuleType("q1")
            sys.modules["q1"] = module
            module.ReLULayer = ReLULayer
    """,
    "test_q1.py": '''
        import unittest
        import probe
        import q1
        from autograder import checks
        from gradescope_utils.autograder_utils.decorators import number, visibility, weight


        class TestDense(unittest.TestCase):
            """Dense layer, 15 points."""

            @weight(2)
            @number("1.10")
            def test_last(self):
                """Dense: the tenth comes after the ninth."""
                self.assertEqual(q1.forward(1), 2)

            @weight(1.5)
            @number("1.9")
            @visibility("after_due_date")
            def test_forward(self):
                """Dense: forward."""
                self.assertEqual(q1.forward(3), 4, "forward(3) should be 4")

            @weight(1)
            @number("1.11")
            def test_subtests(self):
                """Dense: subtests."""
                for x in range(4):
                    with self.subTest(x=x):
                        self.assertEqual(q1.backward(x), 1, f"backward({x}) should be 1")

            def test_without_points(self):
                raise AssertionError("tests without a weight are not run")


        class TestOdd(unittest.TestCase):
            """Odd tests."""

            @weight(1)
            @number("2.1")
            def test_skip(self):
                """Skipped."""
                self.skipTest("not today")

            @weight(1)
            @number("2.2")
            @unittest.expectedFailure
            def test_expected_failure(self):
                """Expected to fail."""
                self.fail()

            @weight(1)
            @number("2.3")
            @unittest.expectedFailure
            def test_unexpected_success(self):
                """Expected to fail, and doesn't."""

            @weight(1)
            @number("2.4")
            def test_nonsense(self):
                """Trips over what the submission returns."""
                abs(q1.name)

            @weight(1)
            @number("2.5")
            def test_seed(self):
                """Tells the seed."""
                self.fail(f"seed {checks.submission_seed}")

            @weight(1)
            @number("2.6")
            def test_helper(self):
                """Runs a helper beside the submission."""
                self.assertEqual(probe.double(4), 8)

            @weight(1)
            @number("2.8")
            def test_silent(self):
                """Fails without a word."""
                raise AssertionError

            @weight(1)
            @number("2.7")
            def test_swallows(self):
                """Catches whatever goes wrong."""
                try:
                    q1.leave()
                except Exception:
                    pass


        class TestGrader(unittest.TestCase):
            """What the grader does with an answer."""

            @weight(1)
            @number("5.1")
            def test_time(self):
                """Takes very long to look at it."""
                name = q1.name
                try:
                    while name:
                        pass
                except Exception:
                    pass

            @weight(1)
            @number("5.2")
            def test_memory(self):
                """Takes very much memory."""
                bytearray(3_000_000_000 + len(q1.name))


        class TestFixture(unittest.TestCase):
            """Fixture that fails."""

            @classmethod
            def setUpClass(cls):
                q1.no_such_function()

            @weight(1)
            @number("3.1")
            def test_nothing(self):
                """Never gets so far."""
    ''',
    "test_q2.py": '''
        import unittest
        import q2
        from gradescope_utils.autograder_utils.decorators import number, weight


        class TestMLP(unittest.TestCase):
            """MLP."""

            @weight(10)
            @number("4.1")
            def test_forward(self):
                """MLP: forward."""
                self.assertEqual(q2.forward([-1.0, 3.0]), [0.0, 3.0], "forward is wrong")
    ''',
    "test_q3.py": "",
}
Q1 = """
    import numpy as np
    name = "me"
    def forward(x): return x + 1
    def backward(x): return 1
    class ReLULayer:
        def forward(self, x): return np.maximum(x, 0)
"""
Q2 = """
    import numpy as np
    import q1
    def forward(x): return [float(y) for y in q1.ReLULayer().forward(np.array(x))]
"""


@pytest.fixture(scope="module")
def tests(tmp_path_factory):
    """Return a folder of made-up graded tests."""
    folder = tmp_path_factory.mktemp("tests")
    for name, source in TESTS.items():
        (folder / name).write_text(textwrap.dedent(source), encoding="utf-8")
    return folder


@pytest.fixture
def grade(tests, tmp_path):
    """Return a function that grades made-up modules and returns the grade, its tests by number."""

    def run(q1=Q1, q2=Q2, **options):
        for name, source in {"q1": q1, "q2": q2, "q3": ""}.items():
            if source is not None:
                (tmp_path / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        grade = grading.grade(tmp_path, load_assignment(tests), **options)
        outcomes = {test.number: grade.outcomes[test.id] for test in grade.tests}
        return SimpleNamespace(grade=grade, outcomes=outcomes)

    return run


def test_manifest(grade):
    """Reported before anything runs: all tests in order, with what their decorators and docstrings say."""
    reports = []
    grade(report=lambda grade: reports.append((grade.tests, len(grade.outcomes))), only=["1"])
    manifest = reports[0][0]
    assert [count for _, count in reports] == [0, 1, 2, 3]
    assert [test.number for test in manifest] == ["1.9", "1.10", "1.11"]
    assert [test.points for test in manifest] == [1.5, 2.0, 1.0]
    assert manifest[0].name == "Dense: forward."
    assert {test.item for test in manifest} == {"Dense layer"}
    assert [test.visibility for test in manifest] == ["after_due_date", "visible", "visible"]


@pytest.mark.parametrize(
    ("only", "numbers"),
    [
        (["1"], ["1.9", "1.10", "1.11"]),
        (["1.1"], []),
        (["1.1", "1.10", "4"], ["1.10", "4.1"]),
        (["Dense"], ["1.9", "1.10", "1.11"]),
    ],
)
def test_only(tests, only, numbers):
    assert [case.test.number for case in grading.load_tests(load_assignment(tests)).select(only)] == numbers


def test_everything_right(grade):
    done = grade(only=["1", "2.6", "4"])
    assert done.grade.total == done.grade.maximum == 15.5
    assert not any(outcome.message for outcome in done.outcomes.values())


def test_a_wrong_answer(grade):
    done = grade(q1=Q1.replace("x + 1", "x + 2"), only=["1"])
    assert done.grade.total == 1
    assert "forward(3) should be 4" in done.outcomes["1.9"].message
    assert "Traceback" not in done.outcomes["1.9"].message


def test_a_subtest_that_fails(grade):
    """It costs the whole test, and each of them is told of."""
    done = grade(q1=Q1.replace("return 1", "return x % 2"), only=["1.11"])
    assert not done.outcomes["1.11"].passed
    assert "backward(0) should be 1" in done.outcomes["1.11"].message
    assert "backward(2) should be 1" in done.outcomes["1.11"].message


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ("2.1", "skipped: not today"),
        ("2.2", "did not come to its end"),
        ("2.3", "did not come to its end"),
        ("2.4", "can't work with what your code returned"),
        ("3.1", "no_such_function"),
    ],
)
def test_nothing_vanishes(grade, capsys, number, told):
    """Skips, expected failures, errors in the test itself or in its fixture: no points, and a message."""
    done = grade(only=[number])
    assert done.grade.total == 0
    assert told in done.outcomes[number].message


def test_a_failure_without_a_message_is_one(grade):
    assert grade(only=["2.8"]).grade.total == 0


def test_a_swallowed_failure_of_the_worker_counts(grade):
    done = grade(q1=Q1 + "    def leave():\n        import os\n        os._exit(0)", only=["2.7", "1.9"])
    assert done.outcomes["1.9"].passed
    assert not done.outcomes["2.7"].passed
    assert done.outcomes["2.7"].message


def test_an_error_names_the_students_line(grade):
    done = grade(q1=Q1.replace("return x + 1", "return x / 0"), only=["1.9"])
    message = done.outcomes["1.9"].message
    assert "q1.py, line 4" in message
    assert "def forward(x): return x / 0" in message
    assert "ZeroDivisionError: division by zero" in message


def test_what_was_printed(grade):
    done = grade(q1=Q1.replace("return x + 1", "print('here I am'); return x + 1"), only=["1.9"])
    assert done.outcomes["1.9"].passed
    assert "here I am" in done.outcomes["1.9"].printed


@pytest.fixture
def seed_of(tests, tmp_path, monkeypatch):
    """Return a function that returns the seed with which a submission would be graded."""

    class Ungraded(grading.Grader):
        def run(self):
            return self.seed

    monkeypatch.setattr(grading, "Grader", Ungraded)

    def run(q1=Q1, **options):
        (tmp_path / "q1.py").write_text(textwrap.dedent(q1), encoding="utf-8")
        return grading.grade(tmp_path, load_assignment(tests), **options)

    return run


def test_seed(seed_of):
    """Made of the id, or else of the files; the same each time."""
    assert seed_of(seed=7) == 7
    assert seed_of(seed="12345") == seed_of(seed="12345")
    assert seed_of(seed="12345") != seed_of(seed="12346")
    assert seed_of() == seed_of()
    assert seed_of() != seed_of(q1=Q1 + "# changed")
    assert 0 <= seed_of() < 2**32


def test_tests_draw_from_the_seed(grade):
    assert grade(only=["2.5"], seed=7).outcomes["2.5"].message == "seed 7"


def test_the_key_decides_what_inputs_are_drawn(seed_of, tmp_path):
    """The same key the same ones, as often as one grades; another key, or none, others."""
    for name, digit in (("mine", "a"), ("theirs", "b")):
        (tmp_path / name).write_text(64 * digit, encoding="utf-8")
    for options in ({}, {"seed": "12345"}):
        seeds = [seed_of(key=key and tmp_path / key, **options) for key in ("mine", "mine", "theirs", None)]
        assert seeds[0] == seeds[1]
        assert len(set(seeds)) == 3
    assert seed_of(key=tmp_path / "mine", seed=7) == 7


def test_students_code_cannot_read_the_key(grade, tmp_path, monkeypatch):
    key = tmp_path / "key"
    key.write_text(64 * "a", encoding="utf-8")
    watched = []

    class Watched(grading.Sandbox):
        def __init__(self, folder, **options):
            watched.extend(options["secrets"])
            super().__init__(folder, **options)

    monkeypatch.setattr(grading, "Sandbox", Watched)
    reads = f"""
    def forward(x):
        try:
            print(open({str(key)!r}).read())
        except OSError:
            return x + 1
    """
    done = grade(q1=reads, only=["1.9"], key=key)
    assert done.outcomes["1.9"].passed, done.outcomes["1.9"]
    assert key in watched, "where it can be read, staff are told"


def test_the_grader_is_bounded_as_well(grade, monkeypatch):
    """However long a test would look at an answer, and however much it would make of it."""
    monkeypatch.setattr(grading, "LOOKING", 0.5)
    start = time.monotonic()
    done = grade(only=["5.1"], deadline=4)
    assert time.monotonic() - start < 15
    assert "took too long to look at" in done.outcomes["5.1"].message
    done = grade(only=["5.2"])
    assert "MemoryError" in done.outcomes["5.2"].message


def test_a_fault_below_costs_nothing_above(grade):
    """q2 is right; on the student's own wrong layers it fails, on the reference's it passes."""
    done = grade(q1=Q1.replace("np.maximum(x, 0)", "x"), only=["4"])
    assert done.grade.total == 10
    assert "forward is wrong" in done.outcomes["4.1"].message
    assert "the reference in place of your own `q1` it passes" in done.outcomes["4.1"].message


def test_a_fault_above_is_not_hidden(grade):
    done = grade(q2=Q2.replace("float(y)", "float(y) + 1"), only=["4"])
    assert done.grade.total == 0
    message = done.outcomes["4.1"].message
    assert message.count("forward is wrong") == 1
    assert "fails in the same way with the reference in place of your own `q1`" in message


def test_both_faults_are_told(grade):
    done = grade(
        q1=Q1.replace("np.maximum(x, 0)", "x[5]"), q2=Q2.replace("float(y)", "float(y) + 1"), only=["4"]
    )
    own, reference = done.outcomes["4.1"].message.split(
        "With the reference in place of your own `q1` it fails, too:"
    )
    assert own.startswith("On your own `q1`:")
    assert "IndexError" in own
    assert "forward is wrong" in reference


def test_an_import_that_takes_long_is_told_what_belongs_elsewhere(grade):
    done = grade(q1=Q1 + "    while True: pass\n", only=["1"], deadline=3)
    assert any('belongs under `if __name__ == "__main__":`' in note for note in done.grade.notes)
    assert 'belongs under `if __name__ == "__main__":`' in done.outcomes["1.9"].message


def test_a_module_that_cannot_be_imported(grade):
    """Costs its own tests, says so in each and once for all, and costs nothing above it."""
    done = grade(q1="def forward(x:\n    pass", only=["1", "4"])
    assert done.grade.total == 10
    for number in ("1.9", "1.10", "1.11"):
        assert "`q1.py` can't be imported" in done.outcomes[number].message
        assert "SyntaxError" in done.outcomes[number].message
    assert any("`q1.py` can't be imported" in note for note in done.grade.notes)


def test_a_missing_file(grade):
    done = grade(q2=None, only=["1.9", "4"])
    assert done.grade.total == 1.5
    assert "`q2.py` is missing" in done.outcomes["4.1"].message
    assert any("`q2.py` is missing" in note for note in done.grade.notes)


def test_deadline(grade):
    """An item that hangs takes its share of the time; those after it are still graded."""
    start = time.monotonic()
    done = grade(q1=Q1.replace("return x + 1", "\n        while True: pass"), only=["1", "4"], deadline=9)
    assert time.monotonic() - start < 20
    assert not done.outcomes["1.9"].passed
    assert "no time left" in done.outcomes["1.10"].message + done.outcomes["1.11"].message
    assert done.outcomes["4.1"].passed


def test_an_import_that_hangs_is_tried_once(grade, monkeypatch):
    monkeypatch.setattr(grading, "IMPORT_LIMIT", 3)
    reports = []
    done = grade(q1="while True: pass", only=["1", "4"], report=lambda grade: reports.append(grade.seconds))
    assert done.grade.total == 10
    assert reports[1] > 3  # in the first test
    assert reports[-1] < 6


def test_a_grader_that_is_killed_leaves_a_valid_document(tmp_path):
    """The real tests and the real command, killed somewhere in the middle."""
    results = tmp_path / "results.json"
    for name in ASSIGNMENT.files:
        shutil.copy(REPOSITORY / name, tmp_path)
    command = [sys.executable, "-m", "autograder", "grade", tmp_path, "--results", results]
    running = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)

    def read():
        document = json.loads(results.read_text(encoding="utf-8"))
        jsonschema.validate(document, SCHEMA)
        assert sum(test["max_score"] for test in document["tests"]) == MAXIMUM
        return document

    while not results.exists() or read()["score"] < 5:
        assert running.poll() is None
        time.sleep(0.05)
    running.kill()
    running.wait()
    assert 5 <= read()["score"] < MAXIMUM
    assert "The autograder was ended before all tests had run" in read()["output"]
    assert "the autograder was ended before it" in read()["tests"][-1]["output"]


@pytest.mark.parametrize("path", ["nowhere", "file.txt"])
def test_no_submission(tmp_path, path):
    (tmp_path / "file.txt").write_text("text", encoding="utf-8")
    with pytest.raises(
        BadSubmissionError, match=r"expected a folder or a zip .* (does not exist|can't be read as a zip)"
    ):
        grading.grade(tmp_path / path, ASSIGNMENT)


def test_modules_are_put_back(grade, monkeypatch):
    """Grading leaves the process as it was: whoever has imported a q1 still has that."""
    own = object()
    monkeypatch.setitem(sys.modules, "q1", own)
    monkeypatch.delitem(sys.modules, "test_q1", raising=False)
    grade(only=["1.9"])
    assert sys.modules["q1"] is own
    assert "test_q1" not in sys.modules
