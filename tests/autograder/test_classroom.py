"""grade-all: a row for each submission, whatever becomes of it; what is done is kept; a cluster, too."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from autograder import classroom
from autograder.__main__ import main
from autograder.assignment import load_assignment
from autograder.submission import BadSubmissionError

REPOSITORY = Path(__file__).resolve().parents[2]
KEY = bytes(range(32))
ASSIGNMENT = load_assignment(REPOSITORY / "ee411" / "exercise1")  # which is graded quickly
OPTIONS = ["--assignment", str(ASSIGNMENT.folder)]
ONLY = ["1.1.1", "1.1.2"]  # two tests of predict


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Let the key be made in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path):
    """Return a folder with three submissions: one right, one wrong in predict, one that is no zip."""
    folder = tmp_path / "class"
    for name in ("right", "wrong"):
        (folder / name).mkdir(parents=True)
        shutil.copy(REPOSITORY / "ee411" / "backprop.py", folder / name)
    with (folder / "wrong" / "backprop.py").open("a", encoding="utf-8") as file:
        file.write("\n\npredict = lambda X, W: (X, X, X)\n")
    (folder / "broken.zip").write_text("no zip", encoding="utf-8")
    (folder / "notes.txt").write_text("not a submission", encoding="utf-8")
    (folder / ".DS_Store").mkdir()
    return folder


def rows_of(target):
    """Return the rows of grades.csv by submission."""
    with (target / "grades.csv").open(encoding="utf-8") as file:
        return {row["submission"]: row for row in csv.DictReader(file)}


def fake_document(score):
    """Return the document of a grading of one test."""
    test = {
        "number": "1.1",
        "name": "Dense",
        "score": score,
        "max_score": 4.0,
        "status": "passed" if score == 4.0 else "failed",
        "visibility": "visible",
        "output": "",
        "extra_data": {"item": "Layer"},
    }
    return {"score": score, "output": "", "tests": [test]}


@pytest.fixture
def graded(monkeypatch):
    """Put something quick in the place of grading, and return the list of what it has graded."""
    calls = []

    def grade_one(submission, id, assignment, only, key, unsafe):
        calls.append(submission)
        if b"fail" in submission.files["backprop.py"]:
            raise RuntimeError("out of memory")
        return fake_document(4.0 if b"predict = lambda" not in submission.files["backprop.py"] else 1.0)

    monkeypatch.setattr(classroom, "grade_one", grade_one)
    return calls


def test_command(folder, tmp_path, capsys):
    """Really graded, each in a process of its own."""
    target = tmp_path / "out"
    assert (
        main(["grade-all", str(folder), *OPTIONS, "--results", str(target), "--jobs", "2", "--only", *ONLY])
        == 0
    )
    rows = rows_of(target)
    assert list(rows) == ["broken.zip", "right", "wrong"]
    assert float(rows["right"]["total"]) == float(rows["right"]["predict"]) > float(rows["wrong"]["total"])
    assert rows["broken.zip"]["total"] == ""
    assert "can't be read as a zip" in rows["broken.zip"]["problem"]
    tests = (target / "tests.csv").read_text(encoding="utf-8").splitlines()
    assert all(f"{number} " in tests[0] for number in ONLY)
    assert len(tests) == 4
    kept = json.loads((target / "right.json").read_text(encoding="utf-8"))
    assert kept["score"] == float(rows["right"]["total"])
    summary = (target / "summary.md").read_text(encoding="utf-8")
    assert "# 2 submissions graded" in summary
    assert "- 1: not graded" in summary
    assert sorted(path.name for path in target.iterdir()) == [
        "class.html",
        "grades.csv",
        "right.json",
        "summary.md",
        "tests.csv",
        "wrong.json",
    ]
    assert re.search(r"was graded took \d+\.\d s of computing", capsys.readouterr().out)


def test_what_is_graded_stays_graded(folder, tmp_path, graded, monkeypatch):
    """Until the submission changes, or the tests, or somebody wants it all again."""
    target = tmp_path / "out"

    def count(**options):
        graded.clear()
        classroom.grade_all(folder, ASSIGNMENT, target, **{"key": KEY, "jobs": 1, **options})
        assert list(rows_of(target)) == ["broken.zip", "right", "wrong"]
        return len(graded)

    assert count() == 2
    assert count() == 0
    assert count(again=True) == 2
    assert count(only=["1"]) == 2
    assert count() == 2
    with (folder / "right" / "backprop.py").open("a", encoding="utf-8") as file:
        file.write("# another line\n")
    assert count() == 1
    (target / "wrong.json").write_text("{", encoding="utf-8")
    assert count() == 1
    monkeypatch.setattr(classroom, "sources", lambda assignment: {"tests/test_q1.py": b"another test"})
    assert count() == 2
    assert count(key=bytes(32)) == 2


def test_one_that_cannot_be_graded_costs_no_other_anything(folder, tmp_path, graded):
    (folder / "right" / "backprop.py").write_text("# fail", encoding="utf-8")
    target = tmp_path / "out"
    for _ in range(2):  # it is tried again each time
        graded.clear()
        classroom.grade_all(folder, ASSIGNMENT, target, key=KEY, jobs=2)
        assert b"# fail" in [submission.files["backprop.py"] for submission in graded]
    rows = rows_of(target)
    assert rows["right"]["problem"] == "out of memory"
    assert rows["right"]["total"] == ""
    assert rows["wrong"]["total"] == "1.0"


def corrupt(path, method):
    """Write a zip of which a byte in the middle of the compressed backprop.py is another."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("backprop.py", os.urandom(2000).hex())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def nest(folder, depth=1500):
    """Make folders in one another, deeper than a path can be long."""
    folder.mkdir()
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder)
        for _ in range(depth):
            os.mkdir("a")
            os.chdir("a")
    finally:
        os.fchdir(before)
        os.close(before)


def write_zip(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), "x = 1")


NASTY = {
    "lzma.zip": lambda path: corrupt(path, zipfile.ZIP_LZMA),
    "bzip2.zip": lambda path: corrupt(path, zipfile.ZIP_BZIP2),
    "deflated.zip": lambda path: corrupt(path, zipfile.ZIP_DEFLATED),
    "nul.zip": lambda path: write_zip(path, "\0backprop.py", "backprop\0.py"),
    "dots.zip": lambda path: write_zip(path, "../../backprop.py", "/backprop.py", "..", "."),
    "many.zip": lambda path: write_zip(path, *(f"{n}.txt" for n in range(20_000))),
    "empty.zip": lambda path: path.write_bytes(b""),
    "BOB.ZIP": lambda path: path.write_bytes(b"PK"),
    "carol.7z": lambda path: path.write_bytes(b"7z"),
    "link.zip": lambda path: path.symlink_to("/etc/passwd"),
    "nested": nest,
    "pipe": lambda path: (path.mkdir(), os.mkfifo(path / "backprop.py")),
    "not_utf8": lambda path: (path.mkdir(), (path / "\udcff.py").touch()),
    "na\udcffme": lambda path: path.mkdir(),
    "=1+1": lambda path: path.mkdir(),
}


def test_nothing_that_is_handed_in_stops_the_class(folder, tmp_path, graded):
    """A row with a problem for each, and the others are graded."""
    for name, make in NASTY.items():
        make(folder / name)
    target = tmp_path / "out"
    try:
        classroom.grade_all(folder, ASSIGNMENT, target, key=KEY, jobs=2)
    finally:
        subprocess.run(["rm", "-rf", folder / "nested"], check=True)  # shutil.rmtree is recursive, too
    rows = rows_of(target)
    assert len(rows) == 3 + len(NASTY)
    assert rows["right"]["total"] == "4.0"
    assert rows["wrong"]["total"] == "1.0"
    assert all(row["problem"] for name, row in rows.items() if name not in ("right", "wrong"))
    assert (target / "summary.md").exists()


def test_a_grader_that_hangs_is_stopped(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(classroom, "LONGEST", 0.2)
    target = tmp_path / "out"
    classroom.grade_all(folder, ASSIGNMENT, target, key=KEY, jobs=2)
    rows = rows_of(target)
    assert "longer than 0.2 s" in rows["right"]["problem"]
    assert rows["right"]["total"] == ""


def test_names_that_cannot_be_shown(folder, tmp_path, graded, monkeypatch):
    """Neither on the terminal, nor in a file."""
    target = tmp_path / "prüfung"
    (folder / "right").rename(folder / "\udcff")
    terminal = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["grade-all", str(folder), *OPTIONS, "--results", str(target), "--jobs", "1"]) == 0
    terminal.seek(0)
    assert f"{tmp_path}/pr?fung/grades.csv is for the gradebook" in terminal.read()
    assert set(rows_of(target)) == {"broken.zip", "wrong", "?"}


def test_metadata_that_are_broken(folder, tmp_path, graded, capsys):
    """Everybody is graded all the same, and staff are told why nobody has a name."""
    (folder / "submission_metadata.yml").write_text("submission_1: [", encoding="utf-8")
    assert main(["grade-all", str(folder), *OPTIONS, "--results", str(tmp_path / "out"), "--jobs", "1"]) == 0
    assert "submission_metadata.yml can't be read, so nobody's name is known: " in capsys.readouterr().err
    rows = rows_of(tmp_path / "out")
    assert [row["total"] for row in rows.values()] == ["", "4.0", "1.0"]
    assert {row["name"] for row in rows.values()} == {""}
    assert "nobody&#39;s name is known" in (tmp_path / "out" / "class.html").read_text(encoding="utf-8")


def test_results_inside_the_folder_are_no_submission(folder, graded):
    target = folder / "results"
    for _ in range(2):
        classroom.grade_all(folder, ASSIGNMENT, target, key=KEY, jobs=1)
        assert list(rows_of(target)) == ["broken.zip", "right", "wrong"]


def test_stopping_does_not_wait_for_all(folder, tmp_path, monkeypatch):
    calls = []

    def grade_one(submission, id, assignment, only, key, unsafe):
        calls.append(submission)
        if len(calls) == 1:
            raise KeyboardInterrupt
        time.sleep(0.5)

    monkeypatch.setattr(classroom, "grade_one", grade_one)
    for place in range(8):
        shutil.copytree(folder / "right", folder / f"more-{place}")
    with pytest.raises(KeyboardInterrupt):
        classroom.grade_all(folder, ASSIGNMENT, tmp_path / "out", key=KEY, jobs=1)
    assert len(calls) < 8
    assert (tmp_path / "out" / "grades.csv").exists()


def test_stop_and_go_on(folder, tmp_path):
    """Ctrl-C keeps what is done; the same command does the rest."""
    target = tmp_path / "out"
    (folder / "wrong" / "backprop.py").write_text("while True: pass", encoding="utf-8")
    command = [sys.executable, "-m", "autograder", "grade-all", folder, *OPTIONS, "--results", target]
    command += ["--jobs", "1", "--only", *ONLY, "--key", tmp_path / "a.key"]
    running = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        start_new_session=True,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run with "&"
    )
    while not (target / "right.json").exists():
        assert running.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    os.killpg(running.pid, signal.SIGINT)
    assert "stopped" in running.communicate(timeout=60)[1]
    assert running.returncode == 130
    kept = (target / "right.json").stat().st_mtime_ns
    assert rows_of(target)["right"]["total"] != ""
    assert rows_of(target)["wrong"]["total"] == ""

    shutil.copy(REPOSITORY / "ee411" / "backprop.py", folder / "wrong")
    assert subprocess.run(command, cwd=REPOSITORY, capture_output=True).returncode == 0
    assert (target / "right.json").stat().st_mtime_ns == kept
    assert rows_of(target)["wrong"]["total"] == rows_of(target)["right"]["total"]


@pytest.mark.parametrize(("name", "told"), [("nowhere", "expected a folder"), ("empty", "has neither")])
def test_no_submissions(tmp_path, capsys, name, told):
    (tmp_path / "empty").mkdir()
    assert main(["grade-all", str(tmp_path / name), "--results", str(tmp_path / "out")]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_cluster(folder, tmp_path):
    """The files travel to the workers, the documents back."""
    distributed = pytest.importorskip("distributed")
    shutil.rmtree(folder / "wrong")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        target = tmp_path / "out"
        classroom.grade_all(
            folder, ASSIGNMENT, target, key=KEY, jobs=1, scheduler=cluster.scheduler_address, only=ONLY
        )
    rows = rows_of(target)
    assert list(rows) == ["broken.zip", "right"]
    assert float(rows["right"]["total"]) > 0
    assert "can't be read as a zip" in rows["broken.zip"]["problem"]


def test_a_worker_that_dies(folder, tmp_path, monkeypatch):
    """Of two workers one is killed in the middle: nothing is lost, and what was done is not done again."""
    distributed = pytest.importorskip("distributed")
    log, count = tmp_path / "log", 16
    for place in range(count):
        (folder / f"many-{place}").mkdir()
        (folder / f"many-{place}" / "backprop.py").write_text(f"# {place}", encoding="utf-8")

    def grade_one(submission, *_):
        """Say who has begun and done what; workers get this function by value."""
        text = submission.files["backprop.py"].decode()[:10]
        for what in ("begun", "done"):
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"{os.getpid()} {what} {text}\n")
            time.sleep(0.2 * (what == "begun"))
        return json.loads(document)

    document = json.dumps(fake_document(4.0))
    monkeypatch.setattr(classroom, "grade_one", grade_one)
    written = []
    original = classroom.write_text

    def write_text(path, text):
        """Kill the worker that has done the first once two thirds of the class are done."""
        original(path, text)
        written.append(path.name)
        if len(written) == 2 * count // 3:
            os.kill(int(log.read_text(encoding="utf-8").split()[0]), signal.SIGKILL)

    monkeypatch.setattr(classroom, "write_text", write_text)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options, silence_logs=50) as cluster:
        target = tmp_path / "out"
        classroom.grade_all(folder, ASSIGNMENT, target, key=KEY, jobs=1, scheduler=cluster.scheduler_address)
    rows = rows_of(target)
    assert len(rows) == 3 + count
    assert [name for name, row in rows.items() if row["total"] != "4.0"] == ["broken.zip"]
    lines = [line.split(" ", 2) for line in log.read_text(encoding="utf-8").splitlines()]
    assert len({worker for worker, *_ in lines}) >= 2
    done = [text for _, what, text in lines if what == "done"]
    assert len(set(done)) == count + 1  # "right" and "wrong" begin alike
    assert len(done) <= count + 2 + 2  # the killed one may have done something, and nobody was told


def test_no_dask(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(BadSubmissionError, match=r"pip install 'dask\[distributed\]'"):
        classroom.grade_all(
            folder, ASSIGNMENT, tmp_path / "out", key=KEY, jobs=1, scheduler="tcp://127.0.0.1:1"
        )


def test_no_scheduler(folder, tmp_path, graded):
    """What an earlier run has written stays as it was."""
    dask = pytest.importorskip("dask")
    target = tmp_path / "out"
    classroom.grade_all(folder, ASSIGNMENT, target, key=KEY, jobs=1)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.2s"}),
        pytest.raises(BadSubmissionError, match="expected a scheduler at"),
    ):
        classroom.grade_all(folder, ASSIGNMENT, target, key=KEY, jobs=1, scheduler="tcp://127.0.0.1:1")
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
