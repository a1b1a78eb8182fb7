"""Crashes the interpreter."""

import ctypes


def answer(x):
    ctypes.string_at(0)
