"""Runs the sanity checks that students get, in this process."""

import importlib
import os
import sys
from pathlib import Path

from autograder.assignment import modules_of


def run_check(monkeypatch, capsys, *arguments):
    """Run check.py of the current folder on 80 columns, and return exit status and what it says."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in [name for name in sys.modules if name.partition(".")[0] == "sanity"]:
        del sys.modules[name]
    with modules_of(Path.cwd(), {}), open(os.devnull, encoding="utf-8") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        try:
            status = importlib.import_module("check").main(list(arguments))
        except SystemExit as end:
            status = end.code
    shown = capsys.readouterr()
    assert all(len(line) <= 80 for line in shown.out.splitlines())
    return status, shown.out + shown.err
