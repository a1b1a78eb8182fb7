"""Tests in steps that have points of their own, what is measured, and what staff are told."""

import re
import textwrap

import pytest
from test_results import SCHEMA

from autograder import grading
from autograder.assignment import load_assignment
from autograder.results import document, table

ASSIGNMENT = """
    from types import SimpleNamespace
    from autograder.assignment import Assignment, Limits, Suite

    ASSIGNMENT = Assignment(
        "Steps",
        suites=(Suite("part", Limits(wall=2), preload=()), Suite("whole", preload=(), stand_ins=("part",))),
        helpers=("standins",),
        stand_ins="standins",
        references=lambda modules: SimpleNamespace(answer=lambda question: 1),
        leaderboard=LEADERBOARD,
    )
"""
STAND_INS = """
    import sys, types

    def install(worker, names, blank):
        sys.modules["part"] = types.ModuleType("part")
        sys.modules["part"].first = sys.modules["part"].second = lambda: worker.ask(0)
"""
PART = '''
    import unittest
    import part
    from autograder.checks import CheckError, comparing
    from gradescope_utils.autograder_utils.decorators import leaderboard, number, weight


    class TestPart(unittest.TestCase):
        """Part."""

        @weight(3)
        @number("1.1")
        def test_steps(self):
            """In steps."""
            with self.subTest("the first", points=1):
                self.assertEqual(part.first(), 1, "the first is wrong")
            with self.subTest("the second", points=1.5):
                self.assertEqual(part.second(), 1, "the second is wrong")
            with self.subTest(points=0.5):
                self.assertEqual(part.first() + part.second(), 2, "the sum is wrong")

        @weight(2)
        @number("1.2")
        def test_outside(self):
            """Something outside of the steps."""
            with self.subTest("the first", points=2):
                part.first()
            self.assertEqual(part.second(), 1, "the second is wrong")

        @weight(2)
        @number("1.3")
        def test_unweighted(self):
            """A subtest without points."""
            with self.subTest("the first", points=2):
                part.first()
            with self.subTest("the second"):
                self.assertEqual(part.second(), 1, "the second is wrong")

        @weight(2)
        @number("1.4")
        @comparing
        def test_comparing(self, compare):
            """Answers that are judged at the end."""
            with self.subTest("the second", points=2):
                compare(part.second(), 1, "The second", suspects={"it is two": 2})

        @leaderboard("First", "asc")
        @weight(1)
        @number("1.5")
        def test_measure(self, set_leaderboard_value=None):
            """Measures."""
            set_leaderboard_value(part.measured)
            self.assertEqual(part.first(), 1, "the first is wrong")

        @weight(1)
        @number("1.6")
        def test_suspicious(self):
            """Suspicious."""
            if part.first() == 3:
                raise CheckError("`part` has its work done elsewhere", suspicious=True)

        @weight(1)
        @number("2.1")
        def test_sum(self):
            """The author's sum is wrong."""
            with self.subTest(points=2):
                pass
'''
WHOLE = '''
    import unittest
    import whole
    from gradescope_utils.autograder_utils.decorators import number, weight


    class TestWhole(unittest.TestCase):
        """Whole."""

        @weight(4)
        @number("3.1")
        def test_whole(self):
            """On stand-ins, too."""
            with self.subTest("ready", points=1):
                self.assertEqual(whole.ready, 1, "not ready")
            with self.subTest("all", points=3):
                self.assertEqual(whole.both(), 2, "the sum is wrong")
'''
RIGHT = "def first(): return 1\ndef second(): return 1\nmeasured = 0.25\n"
USING = "import part\nready = 1\ndef both(): return part.first() + part.second()\n"


@pytest.fixture
def grade(tmp_path):
    """Return a function that grades two modules, and returns the grade and its document's tests by number."""

    def run(part=RIGHT, whole=USING, only=("1",), leaderboard=True):
        sources = {"assignment": ASSIGNMENT.replace("LEADERBOARD", str(leaderboard)), "standins": STAND_INS}
        sources |= {"test_part": PART, "test_whole": WHOLE}
        for folder in ("tests", "submission"):
            (tmp_path / folder).mkdir()
        for name, source in sources.items():
            (tmp_path / "tests" / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        for name, source in {"part": part, "whole": whole}.items():
            (tmp_path / "submission" / f"{name}.py").write_text(source, encoding="utf-8")
        found = grading.grade(tmp_path / "submission", load_assignment(tmp_path / "tests"), only=only)
        written = document(found)
        SCHEMA.validate(written)
        return found, {test["number"]: test for test in written["tests"]}

    return run


def test_all_right(grade):
    found, tests = grade(only=("1", "3"))
    assert all(test["status"] == "passed" for test in tests.values())
    assert found.total == found.maximum == 15
    assert document(found)["leaderboard"] == [{"name": "First", "value": 0.25, "order": "asc"}]
    assert [set(test["extra_data"]) for test in tests.values()] == [{"id", "item", "seconds"}] * len(tests)


def test_no_leaderboard_by_default(grade):
    assert "leaderboard" not in document(grade(leaderboard=False)[0])


def test_a_step_that_is_wrong_costs_its_points(grade):
    found, tests = grade(RIGHT.replace("second(): return 1", "second(): return 2"))
    assert {number: test["score"] for number, test in tests.items()} == {
        "1.1": 1, "1.2": 0, "1.3": 0, "1.4": 0, "1.5": 1, "1.6": 1
    }  # fmt: skip
    assert tests["1.1"]["status"] == "failed"
    assert tests["1.1"]["output"].startswith(
        "This test has 1 of its 3 points, for what is right in it: the first.\n\n2 != 1 : the second is wrong"
    )
    assert found.total == 3
    assert re.search(r"In steps\. +1 +3 +failed", table(found))
    assert "    2 != 1 : the second is wrong" in table(found)
    assert tests["1.4"]["extra_data"]["bugs"] == ["it is two"]


@pytest.mark.parametrize("ending", ["__import__('os')._exit(0)", "[0 for _ in iter(int, 1)]"])
def test_no_step_counts_where_the_code_was_ended(grade, ending):
    """The tests catch what they like, so nobody knows what a step saw of it."""
    found, tests = grade(RIGHT.replace("second(): return 1", f"second(): {ending}"), only=("1.1", "1.6"))
    assert [test["score"] for test in tests.values()] == [0, 1]
    assert found.outcomes[found.tests[0].id].signs.ended in ("exit", "timeout")


def test_memory_that_python_refuses(grade):
    """It is the system that ends others; either way staff see it."""
    found, _ = grade(RIGHT.replace("second(): return 1", "second(): return bytearray(2**31)"), only=("1.1",))
    assert found.outcomes[found.tests[0].id].signs.ended == "memory"


def test_what_fails_measures_nothing(grade):
    found, _ = grade(RIGHT.replace("first(): return 1", "first(): return 3"), only=("1.5", "1.6"))
    assert "leaderboard" not in document(found)
    (suspicious,) = [
        outcome.signs.suspicions for outcome in found.outcomes.values() if outcome.signs.suspicions
    ]
    assert suspicious == ("`part` has its work done elsewhere",)


@pytest.mark.parametrize("value", ["float('nan')", "object()", "'text'", "None"])
def test_only_numbers_are_shown(grade, value):
    found, _ = grade(RIGHT.replace("0.25", value), only=("1.5",))
    assert found.total == 1
    assert "leaderboard" not in document(found)


def test_a_wrong_sum_is_found_by_the_first_who_grades(grade, capsys):
    found, _ = grade(only=("2",))
    assert found.total == 0
    assert "have 2 points, and it has 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("part", "whole", "score", "told", "reference"),
    [
        (RIGHT, USING.replace("+", "-"), 1, "for what is right in it: ready.\n\n0 != 2", False),
        (RIGHT.replace("1", "2"), USING.replace("ready = 1", "ready = 2"), 3, "reference in place of", True),
        (RIGHT.replace("1", "2"), USING, 4, "With the reference in place of your own `part` it passes", True),
    ],
)
def test_stand_ins(grade, part, whole, score, told, reference):
    """The better of both tries counts, and staff can see where it is that with the reference."""
    _, tests = grade(part, whole, only=("3",))
    assert tests["3.1"]["score"] == score
    assert told in tests["3.1"]["output"]
    assert tests["3.1"]["extra_data"].get("reference", False) == reference


def test_not_importable(grade):
    found, tests = grade("import nothing_of_this_name", only=("1.1", "1.2"))
    assert document(found)["extra_data"]["unimportable"] == {
        "part": "ModuleNotFoundError: No module named 'nothing_of_this_name'"
    }
    assert "ended" not in tests["1.1"]["extra_data"]
