"""What students start from: gaps, the page, the sanity checks, and systems where there is no sandbox."""

import json
import re
import zipfile
from pathlib import Path

import pytest
from elsewhere import elsewhere
from sanity_checks import run_check

from autograder import bundle, starter
from autograder.__main__ import main
from autograder.assignment import BadAssignmentError, load_assignment
from autograder.starter import gaps_in, with_gaps
from autograder.student.sanity.interface import Interface

pytestmark = pytest.mark.fast

REPOSITORY = Path(__file__).resolve().parents[2]
SOLUTION = '''"""Heaps."""

import numpy as np


class Heap:
    """A heap."""

    def push(self, x, times=1):
        """Add x."""
        # BEGIN SOLUTION
        self.items = [*self.items, x]
        # END SOLUTION

    def size(self):
        """Return how many there are."""
        if self is None:
            # BEGIN SOLUTION
            return 0
            # END SOLUTION
        return 1


def mean(x):
    """Return the mean."""
    # BEGIN SOLUTION
    return np.sum(x) / len(x)
    # END SOLUTION
'''
PARTS = """from sanity.expect import expect_array, expect_number, expect_one_of

ASKED = {"The mean": "the mean of numbers"}


def mean(heaps):
    expect_number(heaps.mean([1.0, 2.0]), "The mean")


CHECKS = {"The mean": mean}
"""
TESTS = '''import heaps
from gradescope_utils.autograder_utils.decorators import number, weight

from autograder.checks import GradedTest, assert_close


class TestMean(GradedTest):
    """The mean, 3 points."""

    module = heaps
    tested = "mean"
    banned_functions = ("mean", "average")

    @weight(3)
    @number("1.1")
    def test_mean(self):
        """The mean is right."""
        with self.subTest("one number", points=1):
            assert_close(heaps.mean([2.0]), 2.0, "The mean of one number")
        with self.subTest("two numbers", points=2):
            assert_close(heaps.mean([1.0, 2.0]), 1.5, "The mean")
'''
ASSIGNMENT = """from autograder.assignment import Assignment, Limits, Suite

ASSIGNMENT = Assignment("Heaps", suites=(Suite("heaps", Limits(wall=0.2)),))
"""


@pytest.fixture
def homework(tmp_path, monkeypatch):
    """Return the folder of an assignment with a starter; the current folder is an empty one."""
    folder = tmp_path / "homework"
    for name, text in {
        "assignment.py": ASSIGNMENT,
        "test_heaps.py": TESTS,
        "starter/heaps.py": SOLUTION,
        "starter/parts.py": PARTS,
        "starter/README.md": "All about heaps.\n",
        "starter/numbers.csv": "1,2\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


# Gaps.


def test_gaps():
    assert gaps_in(SOLUTION) == ["Heap.push", "Heap.size", "mean"]
    text = with_gaps(SOLUTION)
    assert "SOLUTION" not in text
    assert "np.sum" not in text
    assert '        raise NotImplementedError("not implemented yet: Heap.push")\n\n    def size' in text
    assert '            raise NotImplementedError("not implemented yet: Heap.size")\n        return 1' in text
    assert re.findall(r"# TODO", text) == ["# TODO"] * 3


def test_filled():
    """With all gaps filled it is the solution, without its marks."""
    unmarked = re.sub(r" *# (BEGIN|END) SOLUTION\n", "", SOLUTION)
    assert with_gaps(SOLUTION, gaps_in(SOLUTION)) == unmarked
    text = with_gaps(SOLUTION, ["mean"])
    assert "np.sum(x) / len(x)" in text
    assert gaps_in(text) == ["Heap.push", "Heap.size"]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("# BEGIN SOLUTION\nx = 1\n# END SOLUTION\n", "line 1: expected '# BEGIN SOLUTION' in a function"),
        ("def f():\n    # BEGIN SOLUTION\n    pass\n", "expected '# END SOLUTION' in f"),
        ("def f():\n    pass\n    # END SOLUTION\n", "line 3: expected '# BEGIN SOLUTION' before"),
        (
            "def f():\n    # BEGIN SOLUTION\n    # BEGIN SOLUTION\n    pass\n    # END SOLUTION\n",
            "line 3: expected '# END SOLUTION' before",
        ),
    ],
)
def test_wrong_marks(homework, source, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        with_gaps(source)
    (homework / "starter" / "heaps.py").write_text(source, encoding="utf-8")
    with pytest.raises(BadAssignmentError, match=re.escape(told)):
        starter.contents_of(load_assignment(homework))


# The zip.


def test_zip(homework, capsys):
    """The page has points and files; nothing of the solution or the graded tests is in the zip."""
    assert main(["starter", "--assignment", str(homework)]) == 0
    assert "dist/starter.zip is ready to hand out" in capsys.readouterr().out
    with zipfile.ZipFile("dist/starter.zip") as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    own = {"README.md", "heaps.py", "numbers.csv", "check.py"}
    of_checks = ("__init__.py", "expect.py", "interface.py", "parts.json", "parts.py", "policy.py")
    assert files.keys() == own | {f"sanity/{name}" for name in of_checks}
    page = files["README.md"]
    assert page.startswith("# Heaps\n\nAll about heaps.\n")
    assert re.search(r"\| The mean +\| `heaps.py`, `mean` +\| the mean of numbers +\| +3 \|", page)
    assert re.search(r"\| \*\*Total\*\* +\|.*\*\*3\*\* \|", page)
    assert "python -m zipfile -c submission.zip heaps.py" in page
    assert not [name for name, text in files.items() if "np.sum(x)" in text or "assert_close" in text]
    first = Path("dist/starter.zip").read_bytes()
    assert main(["starter", "--assignment", str(homework)]) == 0
    assert Path("dist/starter.zip").read_bytes() == first


@pytest.mark.parametrize("name", ["heaps.py", "parts.py", "README.md"])
def test_something_is_missing(homework, name, capsys):
    (homework / "starter" / name).unlink()
    assert main(["starter", "--assignment", str(homework)]) == 2
    assert f"expected {name} in {homework}" in capsys.readouterr().err
    assert list(Path().iterdir()) == []


# The sanity checks.


@pytest.fixture
def student(homework, monkeypatch, capsys):
    """Return a function that runs check.py on a student's heaps.py, and returns exit status and output."""
    for name, content in starter.contents_of(load_assignment(homework)).items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(content)

    def check(source, *arguments):
        if source is not None:
            Path("heaps.py").write_text(source, encoding="utf-8")
        status, output = run_check(monkeypatch, capsys, *arguments)
        return status, re.sub(r"\s+", " ", output)

    return check


FILLED = with_gaps(SOLUTION, gaps_in(SOLUTION))
RETURN = "return np.sum(x) / len(x)"


@pytest.mark.parametrize(
    ("source", "status", "told"),
    [
        (None, 0, "The mean not yet: mean"),
        (FILLED, 0, "The mean done 1 done."),
        (FILLED.replace("/ len(x)", ""), 0, "The mean done"),  # of right and wrong it says nothing
        (FILLED.replace(RETURN, "pass"), 1, "The mean is None, where a number is expected"),
        (
            FILLED.replace("/ len(x)", "+ np.array(x)"),
            1,
            "should be one number, and is an array of shape (2,)",
        ),
        (
            FILLED.replace(RETURN, "return np.mean(x)"),
            1,
            "heaps.py, line 22: numpy.mean is not allowed in mean",
        ),
        (FILLED.replace(RETURN, "return getattr(np, x)(x)"), 1, "hides what mean uses"),
        (FILLED.replace(RETURN, "return 1 / 0"), 1, "heaps.py, line 22: ZeroDivisionError"),
        (FILLED.replace(RETURN, "raise SystemExit"), 1, "heaps.py, line 22: SystemExit"),
        (FILLED.replace(RETURN, "__import__('time').sleep(3)"), 1, "takes more than 0.2 seconds"),
        (FILLED.replace("def mean(x)", "def average(x)"), 1, "the function mean is missing"),
        (FILLED.replace("def mean(x)", "def mean(x, y)"), 1, "mean should take 1 argument, and takes 2"),
        (FILLED.replace("class Heap", "class Heaps"), 1, "the class Heap is missing"),
        (FILLED.replace("def size", "def length"), 1, "the method Heap.size is missing"),
        (FILLED.replace("def push(self, x, times=1)", "def push(self, x)"), 0, "The mean done"),
        (f"{FILLED}\ninput()\n", 1, "it can't be imported: heaps.py, line 24: EOFError"),
        (f"{FILLED}\nimport no_such_module\n", 1, "No module named 'no_such_module'"),
        (f"{FILLED}\n)\n", 1, "it is no Python: line 24"),
        (f"{FILLED}\nprint('hello')\n", 0, "heaps.py The mean done 1 done"),
    ],
)
def test_check(student, source, status, told):
    found, output = student(source)
    assert told in output
    assert found == status


def test_check_without_the_file(student):
    Path("heaps.py").unlink()
    status, output = student(None)
    assert status == 1
    assert "it can't be read: No such file or directory The mean not checked" in output


def test_check_with_a_file_that_is_not_handed_in(student):
    """It is found here, and would not be by the grader."""
    Path("helper.py").write_text("x = 1\n", encoding="utf-8")
    for line in ("import helper", "from helper import x", "from sanity.expect import expect_number"):
        status, output = student(f"{line}\n{FILLED}")
        assert re.search(
            "it imports (helper|sanity), which is not handed in: the grader takes heaps alone", output
        )
        assert status == 1


def test_check_without_a_package(student):
    """What is not installed is no fault of the student's."""
    path = Path("sanity/parts.json")
    described = json.loads(path.read_text(encoding="utf-8"))
    assert described[0]["packages"] == ["numpy"]
    described[0]["packages"].append("no_such_package")
    path.write_text(json.dumps(described), encoding="utf-8")
    assert student(FILLED)[0] == 0
    assert "not checked: no_such_package is not installed" in student(FILLED)[1]


def test_check_of_one_file(student):
    assert student(FILLED, "heaps")[0] == 0
    status, output = student(FILLED, "stacks")
    assert status == 2
    assert "expected names of heaps, got stacks" in output


def test_interface():
    """Names may be inherited, imported, or made in other ways; then they are there."""
    text = (
        "from other import a\nb = c = 1\ndef d(x, *, y): pass\n@a\ndef e(x): pass\n"
        "class F:\n    def g(self, x, *rest): pass\n    h = g\nclass I(F): pass\nclass J(a): pass\n"
        "def k(x, y=1, /, *, z=2): pass\n"
    )
    found = Interface(text)
    wanted = {"a": (1, 1), "b": (0, 0), "e": (7, 7), "F": None, "F.g": (3, 3), "F.h": (1, 1), "k": (1, 2)}
    inherited = {"I.g": (1, 1), "J.anything": (1, 1), "I.__init__": (2, 2), "J": None}
    assert found.lacks(wanted | inherited) == {}
    problems = found.lacks(
        {"d": (1, 1), "F.i": (0, 0), "G": None, "G.h": (1, 1), "I.i": (0, 0), "F.g": (0, 0)}
    )
    assert problems.keys() == {"d", "F.i", "G", "I.i", "F.g"}
    assert "takes 1 or more arguments" in problems["F.g"]
    assert found.described()["k"] == (1, 2)


# Systems where there is no sandbox.


@pytest.mark.parametrize(
    ("source", "status", "points"),
    [(FILLED.replace("/ len(x)", ""), 0, "1 of 3"), ("import nothing\n", 1, "")],
)
def test_submit_elsewhere(homework, source, status, points):
    """It is graded in place, and the student is told so."""
    Path("heaps.py").write_text(source, encoding="utf-8")
    Path("check.py").write_text("", encoding="utf-8")
    code = "from autograder.__main__ import main; sys.exit(main(sys.argv[1:]))"
    done = elsewhere(code, "submit", "--assignment", homework)
    assert done.returncode == status, done.stderr
    assert Path("dist/submission.zip").exists() == (status == 0)
    if status:
        assert "can't be imported" in done.stderr
        return
    assert f"ready to hand in: {points} points" in done.stdout
    assert "This test has 1 of its 3 points, for what is right in it: one number." in done.stdout
    assert "there is no sandbox on darwin" in done.stderr
    with zipfile.ZipFile("dist/submission.zip") as archive:
        assert archive.namelist() == ["heaps.py"]


def test_check_elsewhere(student):
    """check.py imports nothing that only Linux has."""
    code = "import runpy; sys.argv = ['check.py']; runpy.run_path('check.py', run_name='__main__')"
    Path("heaps.py").write_text(FILLED, encoding="utf-8")
    done = elsewhere(code)
    assert "The mean                  done" in done.stdout
    assert done.returncode == 0, done.stderr


def test_links_are_no_files_elsewhere(homework, monkeypatch):
    """Where the system can't refuse to follow a link, we do."""
    monkeypatch.delattr(bundle.os, "O_NOFOLLOW")
    Path("heaps.py").symlink_to(homework / "starter" / "heaps.py")
    with pytest.raises(bundle.BadSubmissionError, match="it is a link"):
        bundle.submit(Path(), load_assignment(homework), Path("submission.zip"), print)
