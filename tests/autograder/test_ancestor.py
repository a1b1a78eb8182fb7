"""The command line's grader shares its memory with students' code, but not what it knows."""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MIB = 2**20
SECRET = "canary-" + os.urandom(8).hex()
WAIT = """
import os, signal
import matplotlib.pyplot, torch, torchvision
os.kill(os.getpid(), signal.SIGSTOP)
"""


def is_stopped(process):
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_STOPPED


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Return what the processes had for themselves while students' code ran, and what came of that."""
    if os.getuid():
        pytest.skip("only root can see what the processes use")
    folder = tmp_path_factory.mktemp("submission")
    attacks = [
        (HERE / "attacks" / f"{name}.py").read_text(encoding="utf-8")
        for name in ("read_environment", "scan_memory")
    ]
    (folder / "fashion_mnist.py").write_text(
        "\n".join([WAIT, *attacks, "raise ImportError('the end')"]), encoding="utf-8"
    )
    results = folder / "results.json"
    command = [sys.executable, "-m", "autograder", "grade", folder, "--id", SECRET, "--only", "3.27"]
    environment = {**os.environ, "AUTOGRADER_TEST_SECRET": SECRET}
    with (
        tempfile.TemporaryDirectory() as temporary,
        subprocess.Popen(
            [*command, "--results", results],
            cwd=ROOT,
            env={**environment, "TMPDIR": temporary},
            stdout=subprocess.DEVNULL,
        ) as running,
    ):
        os.chmod(temporary, 0o711)
        grader, student = psutil.Process(running.pid), None
        while student is None:
            assert running.poll() is None
            time.sleep(0.05)
            family = grader.children(recursive=True)
            student = next(filter(is_stopped, family), None)
        memory = [process.memory_full_info().uss for process in (grader, *family)]
        student.resume()
        running.wait()
        left = os.listdir(temporary)
    return memory, left, json.loads(results.read_text(encoding="utf-8"))


def test_the_libraries_lie_in_memory_once(graded):
    """Grader, forkserver, supervisor and worker have less than this of their own: half of PyTorch."""
    memory, _, _ = graded
    assert len(memory) == 4
    assert sum(memory) < 64 * MIB, [f"{size / MIB:.0f} MiB" for size in memory]


def test_no_temporary_files_are_left(graded):
    _, left, _ = graded
    assert left == []


def test_what_the_grader_knows_is_not_in_the_student_s_memory(graded):
    _, _, results = graded
    output = str(results)
    assert "the end" in output
    assert "GOT IN" not in output
    assert SECRET not in output
