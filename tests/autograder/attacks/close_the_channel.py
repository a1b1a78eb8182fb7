"""Closes or hands on every file descriptor that it has."""

import os


def answer(x):
    os.closerange(0, 1000)
    return x
