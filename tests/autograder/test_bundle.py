"""The autograder's zip: the same bytes each time, and its scripts in the layout that Gradescope has."""

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import jsonschema
import pytest
from default_assignment import ASSIGNMENT, MAXIMUM, points_of

from autograder import bundle, key

KEY = bytes(range(32))
REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = [REPOSITORY / "autograder" / "container" / name for name in ("setup.sh", "run_autograder")]
SCHEMA = json.loads((REPOSITORY / "autograder" / "results.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return the path of a bundle."""
    path = tmp_path_factory.mktemp("dist") / "autograder.zip"
    bundle.build(ASSIGNMENT, path, KEY)
    return path


def test_same_bytes_each_time(built, tmp_path):
    """In another process, another folder, another time zone, with another order of sets, and the same key."""
    key.write_key(tmp_path / "autograder.key", KEY)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-m", "autograder", "build"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, umask=0o077, capture_output=True)
    assert (tmp_path / "dist" / "autograder.zip").read_bytes() == built.read_bytes()
    assert [path.name for path in (tmp_path / "dist").iterdir()] == ["autograder.zip"]


def test_contents(built):
    with zipfile.ZipFile(built) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    needed = [
        "setup.sh",
        "run_autograder",
        "manifest.json",
        "assignment/requirements.txt",
        "autograder/requirements.txt",
        "folder.txt",
        "key",
        "requirements.txt",
    ]
    needed += [f"assignment/{file}" for file in ASSIGNMENT.files] + [
        "autograder/__main__.py",
        "autograder/inside/worker.py",
    ]
    needed += [f"assignment/tests/{name}.py" for name in ("probe", "test_q1", "test_fashion_mnist")]
    assert set(needed) - set(entries) == set()
    assert list(entries) == sorted(entries)
    assert not [name for name in entries if name.endswith(".pyc") or "tests/autograder" in name]
    for name, entry in entries.items():
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        executable = name in ("setup.sh", "run_autograder", "assignment/tests/setup.sh")
        assert entry.external_attr >> 16 == stat.S_IFREG | (0o755 if executable else 0o644)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts(script):
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], check=True)
    done = subprocess.run(
        [shutil.which("shellcheck", path=Path(sys.executable).parent), script], stdout=-1, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture
def container(built, tmp_path):
    """Lay out what Gradescope has in /autograder, and return how to run the autograder there."""
    root = tmp_path / "autograder"
    with zipfile.ZipFile(built) as archive:
        for entry in archive.infolist():
            path = Path(archive.extract(entry, root / "source"))
            path.chmod(entry.external_attr >> 16 & 0o777)
    (root / "submission").mkdir()
    (root / "results").mkdir()
    (root / "submission_metadata.json").write_text(
        '{"id": 123456, "users": [{"email": "a@b.test"}]}', encoding="utf-8"
    )
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        f'#!/bin/sh\necho "$@" >> "{tmp_path}/calls"\nexec "{sys.executable}" "$@"\n', encoding="utf-8"
    )
    python.chmod(0o755)

    def run():
        environment = {**os.environ, "AUTOGRADER_ROOT": str(root)}
        environment["AUTOGRADER_ENVIRONMENT"] = str(python.parents[1])
        done = subprocess.run(
            [root / "source" / "run_autograder"],
            cwd=root,
            env=environment,
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stderr
        results = json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))
        jsonschema.validate(results, SCHEMA)
        assert sum(test["max_score"] for test in results["tests"]) == MAXIMUM
        assert [path.name for path in (root / "results").iterdir()] == ["results.json"]
        return results

    run.root, run.python = root, python
    return run


def test_run_autograder(container, tmp_path):
    """Grades what was handed in, here a right q1 and nothing else, by the submission's id."""
    shutil.copy(REPOSITORY / "q1.py", container.root / "submission")
    results = container()
    assert results["score"] == points_of("q1")
    assert "`q2.py` is missing" in results["output"]
    assert "--key key --id 123456" in (tmp_path / "calls").read_text(encoding="utf-8")
    assert key.read_key(container.root / "source" / "key") == KEY
    for name in (
        "source",
        "submission",
        "results",
        "submission_metadata.json",
        "source/assignment/tests/test_q1.py",
        "source/key",
    ):
        assert not (container.root / name).stat().st_mode & 0o077, f"{name} can be read by others"


def test_run_autograder_without_python(container):
    """Nothing is graded, and still all tests with their points are there, and who is to be told."""
    container.python.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    results = container()
    assert results["score"] == 0
    assert "tell the course staff" in results["output"]
    assert {test["status"] for test in results["tests"]} == {"failed"}


def test_run_autograder_on_nothing(container):
    (container.root / "submission_metadata.json").unlink()
    results = container()
    assert results["score"] == 0
    assert all("is missing" in test["output"] for test in results["tests"])
