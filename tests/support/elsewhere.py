"""Runs Python as if on a system where there is nothing that only Linux has."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TAKE_AWAY = """
import os, shutil, signal, socket, sys
import ctypes, logging, multiprocessing.util, subprocess, tempfile, unittest  # these know which system it is

import numpy, psutil, tqdm

if PYTORCH:
    import matplotlib.pyplot, torch
    import torchvision_operators

gone = {"fcntl", "grp", "pty", "pwd", "resource", "spwd", "syslog", "termios", "tty"}


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in gone:
            raise ImportError(f"{name} is not on this system")


for name in gone:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Refuse())
for module, names in (
    (os, "fork getuid geteuid setsid sched_getaffinity O_NOFOLLOW O_NONBLOCK O_DIRECTORY memfd_create"),
    (signal, "SIGALRM setitimer SIGKILL SIGSTOP pthread_sigmask"),
    (socket, "AF_UNIX socketpair"),
):
    for name in names.split():
        vars(module).pop(name, None)
shutil._use_fd_functions = False  # as where there is no O_NONBLOCK
ctypes.CDLL = None
sys.platform = "darwin"
"""


def elsewhere(code, *arguments, pytorch=False):
    """Run some code with arguments, and return the ended process; PyTorch has to be imported before that."""
    paths = [str(REPOSITORY), *([str(REPOSITORY / "tests")] if pytorch else [])]
    before = f"import sys\nsys.path[:0] = {paths}\n{TAKE_AWAY.replace('PYTORCH', str(pytorch))}"
    command = [sys.executable, "-c", before + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
