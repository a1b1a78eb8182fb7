"""What students start from in exercise 1: it earns nothing, each gap its function, all of them all points."""

import importlib.util
import re
from pathlib import Path

import pytest
from drift import differences
from in_place import POINTS, REFERENCE, points
from sanity_checks import run_check

from autograder import starter
from autograder.assignment import load_assignment
from autograder.starter import gaps_in, with_gaps

ASSIGNMENT = load_assignment(REFERENCE.parent / "exercise1")
SOURCE = (ASSIGNMENT.folder / ASSIGNMENT.starter / "backprop.py").read_text(encoding="utf-8")


def earned(filled):
    """Return the points of each function where some gaps are filled."""
    Path("backprop.py").write_text(with_gaps(SOURCE, filled), encoding="utf-8")
    return points(Path("backprop.py").resolve())


def test_gaps():
    assert gaps_in(SOURCE) == list(POINTS)
    assert earned([]) == dict.fromkeys(POINTS, 0)
    assert earned(POINTS) == POINTS


@pytest.mark.parametrize("name", POINTS)
def test_each_gap_earns_its_points(name):
    assert earned([name]) == {**dict.fromkeys(POINTS, 0), name: POINTS[name]}


def test_documentation():
    """Names, arguments and first lines are the reference's."""
    spec = importlib.util.spec_from_file_location("reference_backprop", REFERENCE)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    assert differences(SOURCE, reference) == []


@pytest.mark.parametrize(("filled", "told"), [([], "not yet: "), (list(POINTS), "done")])
def test_sanity(filled, told, monkeypatch, capsys):
    """There is a line for each function."""
    for name, content in starter.contents_of(ASSIGNMENT).items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(content)
    Path("backprop.py").write_text(with_gaps(SOURCE, filled), encoding="utf-8")
    status, output = run_check(monkeypatch, capsys)
    assert status == 0
    lines = [line for line in output.splitlines() if line.startswith("  ")]
    assert [line.split()[0] for line in lines] == list(POINTS)
    assert all(told in line for line in lines)


def test_what_is_asked_for():
    page = starter.contents_of(ASSIGNMENT)["README.md"].decode()
    for name, number in POINTS.items():
        assert re.search(rf"\| {name} +\| `backprop.py`, `{name}` +\| 1.\d: .* +\| +{number} \|", page)
    assert list(starter.asked_in((ASSIGNMENT.folder / "starter" / "parts.py").read_bytes())) == list(POINTS)
