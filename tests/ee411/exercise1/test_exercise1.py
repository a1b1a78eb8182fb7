"""The graded tests of exercise 1: right solutions lose nothing, wrong ones what they should."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))  # where in_place.py is

from backprop_mutants import MUTANTS
from in_place import EXERCISE, POINTS, REFERENCE, ROOT, SOLUTIONS, failures, graded_tests, points

from autograder import bundle
from autograder.assignment import load_assignment
from autograder.checks import grading
from autograder.grading import grade, load_tests

ASSIGNMENT = load_assignment(EXERCISE)
EMPTY = "def {0}(*arguments):\n    pass\n\n\n"


def grade_isolated(folder):
    """Return the points of each function of the submission in a folder, graded in isolation."""
    result = grade(folder, ASSIGNMENT, seed=2)
    assert not result.notes
    return {item: earned for item, (earned, _) in result.items().items()}


def keep_function(name):
    """Return the reference with ``pass`` in all its graded functions but one."""
    tree = ast.parse(REFERENCE.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in POINTS and node.name != name:
            node.body = [ast.Pass()]
    return ast.unparse(tree)


# Right solutions.


@pytest.mark.parametrize("name", SOLUTIONS)
def test_right_solutions(name):
    assert failures(SOLUTIONS[name], range(2)) == [{}, {}]


@pytest.mark.parametrize("name", ["classes", "labels_in_a_column", "scipy_special"])
def test_right_solutions_isolated(name):
    """Those that hand over, or import, what others don't."""
    assert grade_isolated(SOLUTIONS[name].parent) == POINTS


def test_reference(tmp_path):
    """By the command, as course staff run it."""
    (tmp_path / "backprop.py").write_bytes(REFERENCE.read_bytes())
    command = [sys.executable, "-m", "autograder", "grade", tmp_path, "--assignment", EXERCISE]
    results = tmp_path / "results.json"
    subprocess.run([*command, "--results", results], cwd=ROOT, check=True, capture_output=True)
    assert json.loads(results.read_text(encoding="utf-8"))["score"] == 100


@pytest.mark.parametrize("command", ["pytest -q -p no:cacheprovider", "unittest discover"])
def test_reference_in_place(command):
    environment = {**os.environ, "PYTHONPATH": str(REFERENCE.parent) if "unittest" in command else ""}
    run = [sys.executable, "-B", "-m", *command.split(), "ee411/exercise1"]
    subprocess.run(run, cwd=ROOT, env=environment, check=True, capture_output=True)


@pytest.mark.parametrize("name", POINTS)
def test_each_function_earns_its_own_points(name, tmp_path):
    file = tmp_path / "backprop.py"
    file.write_text(keep_function(name), encoding="utf-8")
    assert points(file) == {**dict.fromkeys(POINTS, 0), name: POINTS[name]}


# Wrong ones.


@pytest.mark.parametrize(
    "source",
    [
        "",
        "".join(map(EMPTY.format, POINTS)),
        "".join(map(EMPTY.format, POINTS)).replace("pass", "return 0.0"),
    ],
)
def test_templates_earn_nothing(source, tmp_path):
    file = tmp_path / "backprop.py"
    file.write_text(source, encoding="utf-8")
    assert points(file) == dict.fromkeys(POINTS, 0)


def test_template_isolated(tmp_path):
    (tmp_path / "backprop.py").write_text("".join(map(EMPTY.format, POINTS)), encoding="utf-8")
    assert grade_isolated(tmp_path) == dict.fromkeys(POINTS, 0)


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_mutant(mutant, tmp_path):
    """It loses points where the bug is, and nowhere else, and the bug has its name in the feedback."""
    file = tmp_path / "backprop.py"
    file.write_text(mutant.source(), encoding="utf-8")
    (messages,) = failures(file)
    assert messages, "no test fails"
    assert " ".join(sorted({number.rpartition(".")[0] for number in messages})) == mutant.items
    feedback = "\n\n".join(messages.values())
    if mutant.bug:
        assert mutant.bug in feedback, feedback
    else:
        assert "Likely bug" not in feedback, feedback


def test_mutant_isolated(tmp_path):
    """What is written into the arguments is seen in the process that has them."""
    (mutant,) = [mutant for mutant in MUTANTS if mutant.bug == "W in place"]
    (tmp_path / "backprop.py").write_text(mutant.source(), encoding="utf-8")
    result = grade(tmp_path, ASSIGNMENT, seed=2)
    lost = {test.number: result.outcomes[test.id].message for test in result.tests if not result.score(test)}
    assert list(lost) == ["1.5.7"]
    assert mutant.bug in lost["1.5.7"]


def test_there_are_enough():
    assert len(SOLUTIONS) >= 5
    assert len(MUTANTS) >= 25
    assert sum(bool(mutant.bug) for mutant in MUTANTS) >= 0.8 * len(MUTANTS)


# The tests themselves.


def test_points():
    with graded_tests(REFERENCE) as cases:
        for case in cases:
            name = case.tested
            assert type(case).__doc__ == f"{name}, {POINTS[name]} points."
            assert case.shortDescription().startswith(f"{name}: ")
    assert sum(POINTS.values()) == 100
    assert points(REFERENCE) == POINTS


def test_right_answers():
    """They are those that numeric differentiation of the loss gives, in extended precision."""
    with graded_tests(REFERENCE), grading(1):
        from answers import Network

        network = Network.draw(4)
    X, y = network.X.astype(np.longdouble), network.y.astype(np.longdouble)

    def loss(W):
        z_2 = 1 / (1 + np.exp(-X @ W["w_1"])) @ W["w_2"]
        return np.mean(np.log(1 + np.exp((1 - 2 * y) * z_2)))

    W = {name: value.astype(np.longdouble) for name, value in network.W.items()}
    for name, right in network.gradient().items():
        for place in np.ndindex(right.shape):
            step = np.zeros_like(W[name])
            step[place] = 1e-5
            difference = loss(W | {name: W[name] + step}) - loss(W | {name: W[name] - step})
            assert abs(difference / 2e-5 - right[place]) < 1e-9


# The bundle.


def test_bundle(tmp_path):
    """It holds the assignment's files and the solution, and grades in the layout that Gradescope has."""
    archive = tmp_path / "autograder.zip"
    bundle.build(ASSIGNMENT, archive, key=bytes(32))
    source, submission = tmp_path / "root" / "source", tmp_path / "root" / "submission"
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(source)
        names = set(opened.namelist())
    own = {f"assignment/exercise1/{path.name}" for path in EXERCISE.glob("*.*")}
    assert own | {"assignment/backprop.py", "run_autograder"} <= names
    assert not [name for name in names if "torch" in name or "/q1" in name]
    submission.mkdir()
    (submission / "backprop.py").write_bytes(REFERENCE.read_bytes())
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    environment = {
        **os.environ,
        "AUTOGRADER_ROOT": str(tmp_path / "root"),
        "AUTOGRADER_ENVIRONMENT": str(python.parents[1]),
    }
    run = ["bash", source / "run_autograder"]
    subprocess.run(run, cwd=tmp_path, env=environment, check=True, capture_output=True)
    results = json.loads((tmp_path / "root" / "results" / "results.json").read_text(encoding="utf-8"))
    assert results["score"] == 100
    assert len(results["tests"]) == len(load_tests(ASSIGNMENT).cases)
