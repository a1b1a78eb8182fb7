"""Hides from who measures its memory: it forbids to look at its processes, and ends their first threads."""

import ctypes
import os
import threading
import time

LIBC = ctypes.CDLL(None)


def hold():
    memory = bytearray(os.urandom(2**20)) * 100
    time.sleep(100)
    del memory


if LIBC.prctl(4, 0, 0, 0, 0) == 0:
    print("GOT IN: nobody can look at it")
for _ in range(8):
    if os.fork() == 0:
        threading.Thread(target=hold).start()
        LIBC.syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)
