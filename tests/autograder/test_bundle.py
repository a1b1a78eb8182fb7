"""The autograder's zip: the same bytes each time, and its scripts in the layout that Gradescope has."""

import json
import os
import re
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
        run.told = done.stderr
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
    assert "ended" not in results["output"]
    assert "run_autograder:" not in container.told
    assert "--unsafe" not in (tmp_path / "calls").read_text(encoding="utf-8")
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


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("kill -KILL $$", "it was killed, as happens when memory runs out"),
        ("exit 124", "it hung"),
        ("exit 1", "above"),
    ],
)
def test_run_autograder_whose_grader_is_ended(container, end, why):
    """The page says so to students, what is printed to staff."""
    container.python.write_text(
        f'#!/bin/sh\ncase "$*" in *grade*) {end};; *) echo 1;; esac\n', encoding="utf-8"
    )
    results = container()
    assert re.search(r"The autograder was ended before all tests had run: 0 of \d+ had", results["output"])
    assert "tell the course staff" in results["output"]
    assert why in container.told


def test_run_autograder_on_nothing(container, tmp_path):
    """The bundle is one that was built to grade unsafely."""
    bundle.build(ASSIGNMENT, tmp_path / "unsafe.zip", KEY, unsafe=True)
    with zipfile.ZipFile(tmp_path / "unsafe.zip") as archive:
        archive.extract("unsafe", container.root / "source")
    (container.root / "submission_metadata.json").unlink()
    results = container()
    assert results["score"] == 0
    assert "--unsafe" in (tmp_path / "calls").read_text(encoding="utf-8")
    assert all("is missing" in test["output"] for test in results["tests"])


def make_wheel(folder, name, version):
    """Write a wheel that holds nothing and needs nothing."""
    info = f"{name}-{version}.dist-info"
    texts = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for file, text in texts.items():
            wheel.writestr(f"{info}/{file}", text)


@pytest.fixture
def set_up(container, tmp_path):
    """Return how to run setup.sh where pip finds the wheels of a folder, and those of no index."""
    programs, wheels = tmp_path / "programs", tmp_path / "wheels"
    programs.mkdir()
    wheels.mkdir()
    fakes = {
        "apt-get": "#!/bin/sh\n",
        # The environment's Python is this one, and what it is to install it but looks for.
        "python3": f'#!/bin/sh\nmkdir -p "$3/bin"\nln -s "{sys.executable}" "$3/bin/python"\n',
    }
    for name, text in fakes.items():
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    for path in (container.root / "source").rglob("requirements.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if found := re.match(r"([\w-]+)==([\w.]+)", line):
                make_wheel(wheels, found[1].replace("-", "_"), found[2])

    def run():
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        environment |= {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "AUTOGRADER_ENVIRONMENT": str(tmp_path / "installed"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DRY_RUN": "1",
            "PIP_IGNORE_INSTALLED": "1",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels),
        }
        script = container.root / "source" / "setup.sh"
        return subprocess.run(["bash", script], env=environment, capture_output=True, encoding="utf-8")

    run.wheels = wheels
    return run


def test_setup_takes_no_build_for_cuda(set_up):
    """PyPI's build of PyTorch is there, its build for the CPU alone is not."""
    done = set_up()
    assert done.returncode == 1
    assert "torch==2.13.0+cpu" in done.stderr
    assert "setup.sh: there is no autograder" in done.stderr
    assert "Would install" not in done.stdout


def test_setup_takes_the_build_for_the_cpu_from_elsewhere(set_up):
    make_wheel(set_up.wheels, "torch", "2.13.0+cpu")
    done = set_up()
    assert done.returncode == 0, done.stderr
    assert "torch-2.13.0+cpu" in done.stdout
    assert "setup.sh:" not in done.stderr
