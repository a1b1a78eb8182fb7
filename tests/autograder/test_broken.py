"""Every broken submission gets a valid results.json with the usual maximum, and a message that helps.

The files in ``broken/`` are each a ``q1.py``, and say in their docstring what the student should be told.
What can't be such a file, for its bytes or its place, is made here.
"""

import io
import json
import re
import zipfile
from pathlib import Path

import jsonschema
import pytest
from default_assignment import ASSIGNMENT, MAXIMUM

from autograder.grading import grade
from autograder.results import document
from autograder.submission import BadSubmissionError

HERE = Path(__file__).resolve().parent
SCHEMA = json.loads((HERE.parents[1] / "autograder" / "results.schema.json").read_text(encoding="utf-8"))
BROKEN = sorted((HERE / "broken").glob("*.py"))
NEVER_ENDING = {"endless_import", "message_that_hangs"}
RELU = ("1.2c.1", "1.2c.2", "1.2c.6")  # the tests that are run
FULL = "full marks"
RIGHT = """
import numpy as np


class ReLULayer:
    def forward(self, x):
        self.mask = x > 0
        return np.where(self.mask, x, 0)

    def backward(self, output_grad):
        return np.where(self.mask, output_grad, 0)
"""


@pytest.fixture(scope="module")
def maximum(tmp_path_factory):
    folder = tmp_path_factory.mktemp("right")
    (folder / "q1.py").write_text(RIGHT, encoding="utf-8")
    result = grade(folder, ASSIGNMENT, seed=1, only=RELU)
    assert result.total == result.maximum > 0
    return result.maximum


def check(path, expected, maximum, deadline=10):
    """Grade a submission, and return what the student is told."""
    result = grade(path, ASSIGNMENT, seed=1, only=RELU, deadline=deadline)
    results = document(result)
    text = json.dumps(results, allow_nan=False)
    jsonschema.validate(json.loads(text), SCHEMA)
    text.encode()
    assert result.maximum == sum(test["max_score"] for test in results["tests"]) == maximum
    assert len(result.outcomes) == len(result.tests)
    assert len(text) < 100_000
    told = results["output"] + "\n".join(test["output"] for test in results["tests"])
    assert "Traceback" not in told
    if expected == FULL:
        assert results["score"] == maximum, told
    else:
        assert results["score"] < maximum
        assert re.search(expected, told, re.IGNORECASE), told
        assert all(test["output"] for test in results["tests"] if test["status"] == "failed")
    return told


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_broken(path, tmp_path, maximum):
    source = path.read_text(encoding="utf-8")
    (tmp_path / "q1.py").write_text(source, encoding="utf-8")
    expected = re.search(r"^Expect: (.+)$", source, re.MULTILINE)[1]
    check(tmp_path, expected, maximum, deadline=2 if path.stem in NEVER_ENDING else 10)


BYTES = {
    "empty": (b"", "ReLULayer"),
    "syntax error": (b"class ReLULayer\n    pass\n", "SyntaxError"),
    "tabs and blanks": (b"if True:\n\tx = 1\n        y = 2\n", "TabError|IndentationError"),
    "unfinished": (b'text = """', "SyntaxError"),
    "conflict markers": (b"<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> main\n", "SyntaxError"),
    "UTF-16": (RIGHT.encode("utf-16"), "SyntaxError|null bytes|utf-8"),
    "Latin-1": ('x = "Übung"\n'.encode("latin-1") + RIGHT.encode(), "SyntaxError"),
    "unknown encoding": (b"# coding: klingon\n" + RIGHT.encode(), "SyntaxError"),
    "NUL": (RIGHT.encode() + b"\0", "SyntaxError|null bytes"),
    "a notebook": (b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "ReLULayer"),
    "a zip": (b"PK\x03\x04\x14\0\0\0\x08\0", "SyntaxError|null bytes"),
    "too large": (RIGHT.encode() + b"#" * 1_000_001, "1,000,000 bytes"),
    "byte order mark": (b"\xef\xbb\xbf" + RIGHT.encode(), FULL),
    "Windows line ends": (RIGHT.replace("\n", "\r\n").encode(), FULL),
    "old Mac line ends": (RIGHT.replace("\n", "\r").encode(), FULL),
    "declared Latin-1": ("# coding: latin-1\n# Übung\n".encode("latin-1") + RIGHT.encode(), FULL),
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes(name, tmp_path, maximum):
    content, expected = BYTES[name]
    (tmp_path / "q1.py").write_bytes(content)
    check(tmp_path, expected, maximum)


FILES = {
    "nothing": ({}, "`q1.py` is missing"),
    "capital letters": ({"Q1.PY": RIGHT}, "`q1.py` is missing"),
    "another ending": ({"q1.py.txt": RIGHT}, "`q1.py` is missing"),
    "a folder by that name": ({"q1.py/__init__.py": RIGHT}, "`q1.py` is missing"),
    "one folder down": ({"homework/q1.py": RIGHT}, FULL),
    "two folders down, with rubbish": ({"a/b/q1.py": RIGHT, "__MACOSX/a/b/._q1.py": "\0"}, FULL),
    "a module named numpy": ({"q1.py": RIGHT, "numpy.py": "raise SystemExit"}, FULL),
    "modules named as the autograder's": ({"q1.py": RIGHT, "worker.py": "1/0", "wire.py": "1/0"}, FULL),
    "a package of its own": (
        {"q1.py": "from layers import *", "layers/__init__.py": RIGHT},
        "No module named",
    ),
    "a compiled file": ({"__pycache__/q1.cpython-311.pyc": RIGHT}, "`q1.py` is missing"),
}


def zipped(**files):
    """Return the bytes of a zip."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return memory.getvalue()


PACKED = {
    "a zip in a zip": (zipped(homework_zip=zipped(q1_py=RIGHT)), FULL),
    "a zip in a zip in a zip": (
        zipped(a_zip=zipped(b_zip=zipped(q1_py=RIGHT))),
        "`b.zip` was not unpacked: hand in the files themselves",
    ),
    "two zips in a zip": (
        zipped(a_zip=zipped(q1_py=RIGHT), b_zip=zipped(q1_py=RIGHT)),
        "`a.zip` was not unpacked: hand in the files themselves",
    ),
    "a broken zip in a zip": (zipped(a_zip=b"PK\x03\x04 and no more"), "`a.zip` can't be read as a zip"),
    "a large zip in a zip": (
        zipped(a_zip=bytes(1_000_001)),
        "`a.zip` is left out: it has more than 1,000,000",
    ),
    "another archive in a zip": (zipped(a_7z=b"7z"), "`a.7z` was not unpacked"),
    "a zip beside the files": (zipped(q1_py=RIGHT, old_zip=b"PK"), FULL),
}


@pytest.mark.parametrize("name", PACKED)
def test_packed(name, tmp_path, maximum):
    content, expected = PACKED[name]
    path = tmp_path / "submission.zip"
    path.write_bytes(content)
    told = check(path, expected, maximum)
    if name == "a zip in a zip":
        assert "Of a zip in the zip, `homework.zip`, the files were graded." in told


ZIPS = {"nothing", "two folders down, with rubbish", "modules named as the autograder's"}


@pytest.mark.parametrize("name", FILES)
def test_files(name, tmp_path, maximum):
    files, expected = FILES[name]
    if name in ZIPS:
        path = tmp_path / "submission.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file, content in files.items():
                archive.writestr(file, content)
    else:
        path = tmp_path / "submission"
        path.mkdir()
        for file, content in files.items():
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            (path / file).write_text(content, encoding="utf-8")
    check(path, expected, maximum)


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"Rar!\x1a\x07"])
def test_what_is_no_submission_is_refused(content, tmp_path):
    path = tmp_path / "submission.zip"
    path.write_bytes(content)
    with pytest.raises(BadSubmissionError):
        grade(path, ASSIGNMENT, seed=1, only=RELU)


def test_there_are_enough():
    assert len(BROKEN) + len(BYTES) + len(FILES) >= 60


def test_the_maximum_of_all_tests_is_always_100(tmp_path):
    (tmp_path / "q1.py").write_text("import os; os._exit(1)", encoding="utf-8")
    results = document(grade(tmp_path, ASSIGNMENT, seed=1))
    jsonschema.validate(results, SCHEMA)
    assert results["score"] == 0
    assert sum(test["max_score"] for test in results["tests"]) == MAXIMUM
