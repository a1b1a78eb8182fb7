"""Replaces the data set, the submission and the helpers for the tests that follow."""

import os
import shutil
import sys

for path in ("data", "q1.py", "q2.py", os.path.dirname(sys.modules["worker"].__file__)):
    try:
        os.rename(path, "elsewhere")
        os.symlink("/dev/null", path)
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
with open("q1.py", "w", encoding="utf-8") as file:
    file.write("print('GOT IN: this is not what was handed in')")
