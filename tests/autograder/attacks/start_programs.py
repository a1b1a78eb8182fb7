"""Starts other programs, which no filter of Python's would see."""

import os
import subprocess
import sys
from contextlib import suppress

for start in (
    lambda: subprocess.run([sys.executable, "-c", "print('GOT IN: Python')"], check=False),
    lambda: subprocess.run("echo GOT IN: sh", shell=True, check=False),
    lambda: os.system("echo GOT IN: sh"),
    lambda: os.posix_spawn("/bin/sh", ["sh", "-c", "echo GOT IN: sh"], {}),
    lambda: os.execv("/bin/echo", ["echo", "GOT IN: echo"]),
):
    with suppress(OSError):
        start()
