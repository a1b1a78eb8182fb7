"""A course from beginning to end, by its commands: starter, an answer, checks, hand-in, the class."""

import csv
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from in_place import POINTS, REFERENCE
from page_parts import Page

from autograder.__main__ import main
from autograder.assignment import load_assignment
from autograder.starter import BEGIN, END

FOLDER = REFERENCE.parent / "exercise1"
ASSIGNMENT = load_assignment(FOLDER)
OPTIONS = ["--assignment", str(FOLDER)]
WRONG = ("return -np.mean(", "return -np.sum(")
BUG = "added up, and not averaged"


def hand_in(name, change, monkeypatch, capsys):
    """Unpack what is handed out, fill it in, check it, hand it in; return the zip and what was told."""
    folder = Path(name).resolve()
    with zipfile.ZipFile("dist/starter.zip") as archive:
        archive.extractall(folder)
    check = [sys.executable, "check.py"]
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(check, cwd=folder, env=environment, capture_output=True, encoding="utf-8")
    assert done.stdout.count("not yet: ") == 4, done.stdout

    solution = (ASSIGNMENT.folder / ASSIGNMENT.starter / "backprop.py").read_text(encoding="utf-8")
    lines = [line for line in solution.splitlines(keepends=True) if line.strip() not in (BEGIN, END)]
    filled = "".join(lines)
    assert WRONG[0] in filled
    (folder / "backprop.py").write_text(filled.replace(*change), encoding="utf-8")
    done = subprocess.run(check, cwd=folder, env=environment, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout.count(" done\n")) == (0, 4), done.stdout

    monkeypatch.chdir(folder)
    capsys.readouterr()
    main(["submit", *OPTIONS])
    told = capsys.readouterr().out
    monkeypatch.chdir(folder.parent)
    return folder / "dist" / "submission.zip", told


def test_course(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["starter", *OPTIONS]) == 0
    export, metadata = Path("export"), []
    for number, change in {7: WRONG, 8: ("", "")}.items():
        archive, told = hand_in(f"student{number}", change, monkeypatch, capsys)
        assert ("Likely bug" in told) == (change == WRONG), told
        with zipfile.ZipFile(archive) as opened:
            assert opened.namelist() == ["backprop.py"]
            opened.extractall(export / f"submission_{number}")
        metadata.append(
            f"submission_{number}:\n  :submitters:\n  - :name: Student {number}\n    :sid: '{number}'\n"
        )
    (export / "submission_metadata.yml").write_text("".join(metadata), encoding="utf-8")

    assert main(["grade-all", "export", *OPTIONS, "--results", "out", "--jobs", "1"]) == 0
    with Path("out", "grades.csv").open(encoding="utf-8") as file:
        wrong, right = csv.DictReader(file)
    assert (wrong["name"], right["name"]) == ("Student 7", "Student 8")
    assert float(wrong["total"]) < float(right["total"]) == sum(POINTS.values())
    (row,) = Page(Path("out", "class.html").read_text(encoding="utf-8")).table("bugs")
    assert row[0] == "1"
    assert BUG in row[1]
