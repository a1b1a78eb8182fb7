"""Tests of assignments as folders: the staff page's example, and folders that are none."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from homework import write_homework

from autograder.__main__ import main
from autograder.assignment import BadAssignmentError, load_assignment

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def homework(tmp_path):
    """Return the folder of the staff page's example, made of what the page shows."""
    return write_homework(tmp_path)


def autograder(*arguments, folder):
    command = [sys.executable, "-m", "autograder", *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, encoding="utf-8"
    )


def grade(submission, homework):
    """Grade a submission by the command line, and return its score and each test's feedback."""
    results = homework.parent / "results.json"
    arguments = ("grade", submission, "--assignment", homework, "--results", results)
    done = autograder(*arguments, folder=homework.parent)
    assert done.returncode == 0, done.stderr
    document = json.loads(results.read_text(encoding="utf-8"))
    return document["score"], {test["number"]: test["output"] for test in document["tests"]}


def test_the_pages_example(homework):
    """Full marks for the solution; a wrong one is told what it did; a banned function costs everything."""
    assert grade(homework / "solution", homework)[0] == 3
    submission = homework.parent / "submission"
    submission.mkdir()
    for source, score, number, told in [
        ("def mean(x):\n    return sum(x) / (len(x) - 1) if len(x) > 1 else x[0]\n", 1, "1.1", "n - 1"),
        ("def mean(x):\n    return sum(x)\n", 1, "1.1", "the sum is not divided"),
        (
            "import numpy as np\ndef mean(x):\n    return np.mean(x)\n",
            0,
            "1.2",
            "`numpy.mean` is not allowed",
        ),
        ("def mean(x):\n    pass\n", 0, "1.2", "None"),
        ("", 0, "1.1", "mean"),
    ]:
        (submission / "stats.py").write_text(source, encoding="utf-8")
        found, feedback = grade(submission, homework)
        assert found == score, feedback
        assert told in feedback[number]


def test_its_bundle(homework):
    """Everything is in the zip, and what grades there is what was put in."""
    done = autograder("build", "--assignment", homework, folder=homework.parent)
    assert done.returncode == 0, done.stderr
    root = homework.parent / "source"
    with zipfile.ZipFile(homework.parent / "dist" / "autograder.zip") as archive:
        archive.extractall(root)
    own = {path.relative_to(root).as_posix() for path in (root / "assignment").rglob("*.py")}
    assert own == {"assignment/assignment.py", "assignment/test_stats.py", "assignment/solution/stats.py"}
    assert (root / "requirements.txt").read_text(encoding="utf-8") == "-r autograder/requirements.txt\n"
    folder = (root / "folder.txt").read_text(encoding="utf-8").strip()
    manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    assert sum(test["max_score"] for test in manifest["tests"]) == 3
    assert grade(homework / "solution", root / folder)[0] == 3


def test_a_class(homework):
    for name in ("right", "wrong"):
        folder = homework.parent / "class" / name
        folder.mkdir(parents=True)
        source = (homework / "solution" / "stats.py").read_text(encoding="utf-8")
        (folder / "stats.py").write_text(source if name == "right" else "mean = sum\n", encoding="utf-8")
    arguments = ("grade-all", "class", "--assignment", homework, "--results", "out", "--jobs", "1")
    done = autograder(*arguments, folder=homework.parent)
    assert done.returncode == 0, done.stderr
    rows = (homework.parent / "out" / "grades.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "name,email,student number,total,late,The mean,problem,submission"
    assert rows[1:] == [",,,3.0,,3.0,,right", ",,,1.0,,1.0,,wrong"]


def test_handing_in(homework):
    done = autograder("submit", homework / "solution", "--assignment", homework, folder=homework.parent)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(homework.parent / "dist" / "submission.zip") as archive:
        assert archive.namelist() == ["stats.py"]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (None, "expected a folder with an assignment.py, got"),
        ("ASSIGNMENT = 1", "expected ASSIGNMENT to be an Assignment, got 1"),
        ("", "AttributeError"),
        ("ASSIGNMENT = ", "SyntaxError"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        (
            "from autograder.assignment import *\nASSIGNMENT = Assignment('x', (Suite('y'),))",
            "expected test_y.py beside it",
        ),
    ],
)
def test_folders_that_are_no_assignment(tmp_path, monkeypatch, capsys, source, told):
    monkeypatch.chdir(tmp_path)
    if source is not None:
        (tmp_path / "assignment.py").write_text(source, encoding="utf-8")
    with pytest.raises(BadAssignmentError, match=re.escape(told)):
        load_assignment(tmp_path)
    done = autograder("grade", tmp_path, "--assignment", tmp_path, folder=tmp_path.parent)
    answers = [(done.returncode, done.stderr)]
    for command in (["grade-all", str(tmp_path)], ["build"], ["submit", str(tmp_path)]):
        answers.append((main([*command, "--assignment", str(tmp_path)]), capsys.readouterr().err))
    for status, stderr in answers:
        assert status == 2
        assert told in stderr
        assert stderr.count("\n") == 1


def test_two_assignments_do_not_mix(homework):
    """Modules of the same names, loaded one after the other, stay each with its own."""
    from default_assignment import ASSIGNMENT

    other = load_assignment(homework)
    assert other.modules == ("stats",)
    assert ASSIGNMENT.modules == ("q1", "q2", "fashion_mnist")
    assert other.folder == homework
    assert "assignment" not in sys.modules


def test_the_engine_knows_no_homework():
    """Its code names no module and no class of a homework; a page for staff may."""
    for path in (REPOSITORY / "autograder").rglob("*"):
        if path.suffix in (".py", ".sh", ".txt", ".json") or path.name == "run_autograder":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\bq1\b|\bq2\b|fashion.?mnist|\bDense\b|backprop", text, re.IGNORECASE), (
                path
            )
