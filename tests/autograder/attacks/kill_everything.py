"""Kills every process that it can."""

import os
import signal

if os.getpid() < 10 or os.getuid() in range(60600, 61000):  # never outside of a sandbox
    for number in (signal.SIGKILL, signal.SIGSTOP):
        for target in (os.getppid(), 1, *range(2, 10), -1):
            try:
                if target not in (os.getpid(), 0):
                    os.kill(target, number)
            except OSError:
                pass
