"""What the project's own tests share.

Every test begins in an empty folder of its own, without network, screen or data set. Where a test starts
``fashion_mnist.py`` as a program of its own, that is on synthetic data and on one thread.
"""
# ruff: noqa: E402  (the environment has to be set before the libraries are imported)

import fcntl
import functools
import os
import socket
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
USUAL_FOLDERS = (
    os.environ.get("FASHION_MNIST_DIR"),
    REPOSITORY / "data",
    "/usr/share/datasets/fashion-mnist",
)
# On such small networks several threads only get in each other's way. The libraries read this when imported.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
os.environ.update(ONE_THREAD)

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest
import torch
from threadpoolctl import threadpool_limits

import fashion_mnist

torch.set_num_threads(1)

# The same where NumPy was there before this file, as with a plain "pytest": exact numbers are compared.
threadpool_limits(1, user_api="blas")

drawn = functools.cache(fashion_mnist.make_synthetic_images)


def make_synthetic_images(train_size=2_000, test_size=500):
    """Draw the synthetic set once for all tests, which takes a tenth of a second each time."""
    return [array.copy() for array in drawn(train_size, test_size)]


fashion_mnist.make_synthetic_images = make_synthetic_images

EVERYTHING = ("all", "--dataset", "synthetic", "--epochs", "2", "--batch-size", "100")
"""A command with which nothing is left out and little is trained: 24 networks in a few seconds."""


def pytest_make_parametrize_id(val):
    """Call the variants of a test after their arguments, if these are short."""
    text = " ".join(val) if isinstance(val, (list, tuple)) and all(isinstance(v, str) for v in val) else None
    return text if text is not None and len(text) < 60 else None


@pytest.fixture(autouse=True)
def nothing_around(monkeypatch, tmp_path):
    """Let a test begin in an empty folder, without network, screen, data set or open figures."""

    def refuse(*_):
        raise OSError("a test tried to reach the network")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "debian")
    for name in ("FASHION_MNIST_DIR", "DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND"):
        monkeypatch.delenv(name, raising=False)
    fashion_mnist.load_images.cache_clear()
    yield
    fashion_mnist.load_images.cache_clear()
    plt.close("all")


@pytest.fixture
def real_set():
    """Return the folder of the real Fashion-MNIST, where one of the usual ones has it."""
    for folder in USUAL_FOLDERS:
        if folder and fashion_mnist.find_idx_files(Path(folder)):
            return Path(folder)
    return pytest.skip("the real Fashion-MNIST is in none of $FASHION_MNIST_DIR, ./data and Debian's folder")


def make_environment(**variables):
    """Return the environment for a child process: as here, without screen and data set, and ``variables``."""
    hidden = ("FASHION_MNIST_DIR", "DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND", "PYTHONPATH")
    return {key: value for key, value in os.environ.items() if key not in hidden} | ONE_THREAD | variables


def start_child(*arguments, cwd, script=REPOSITORY / "fashion_mnist.py", variables=None, **options):
    """Start ``python fashion_mnist.py ARGUMENTS`` in a folder, with stdout and stderr as pipes.

    Args:
        arguments: of the program.
        cwd: the folder.
        script: the program; as a rule fashion_mnist.py.
        variables: what the program's environment has besides.
        options: of ``subprocess.Popen``.
    """
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, str(script), *arguments]
    options = {**pipes, "encoding": "utf-8", **options}
    return subprocess.Popen(command, cwd=cwd, env=make_environment(**variables or {}), **options)


def finish(child):
    """Wait for a child process to end, and return it with its whole stdout and stderr."""
    stdout, stderr = child.communicate(timeout=300)
    return subprocess.CompletedProcess(child.args, child.returncode, stdout, stderr)


@pytest.fixture(scope="session")
def command():
    """Return a function that runs ``python fashion_mnist.py ARGUMENTS`` and waits for it."""
    return lambda *arguments, **options: finish(start_child(*arguments, **options))


@pytest.fixture(scope="session")
def start():
    """Return a function that starts ``python fashion_mnist.py ARGUMENTS``."""
    return start_child


@pytest.fixture(scope="session")
def environment():
    """Return a function that returns the environment for a child process (see ``make_environment``)."""
    return make_environment


@pytest.fixture(scope="session")
def repository():
    """Return the repository's folder."""
    return REPOSITORY


@pytest.fixture(scope="session")
def everything():
    """Return the arguments of a command that makes every figure and table."""
    return EVERYTHING


@pytest.fixture(scope="session")
def all_results(tmp_path_factory):
    """Return the folder with the results of ``everything``, run without interruption.

    Run once, whichever of the processes that share out the tests (pytest-xdist) needs it first.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with open(folder / "everything.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "everything").exists():
            done = finish(start_child(*EVERYTHING, "--results-dir", "everything-begun", cwd=folder))
            assert done.returncode == 0, done.stderr
            (folder / "everything-begun").rename(folder / "everything")
    return folder / "everything"


@pytest.fixture
def main(capsys):
    """Return a function that calls ``fashion_mnist.main``, and returns exit status, stdout and stderr."""

    def call(*arguments):
        capsys.readouterr()
        try:
            status = fashion_mnist.main(list(arguments))
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return call


def check_one_line(text, *words):
    """Check that a program's stderr is one line, no traceback, and has these words in it."""
    assert text.endswith("\n"), text
    assert len(text.splitlines()) == 1, f"expected one line, got:\n{text}"
    assert "Traceback" not in text
    for word in words:
        assert word in text, f"expected {word!r} in the message, got: {text}"


@pytest.fixture(scope="session")
def one_line():
    """Return a function that checks a message of one line."""
    return check_one_line
