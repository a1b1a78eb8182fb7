"""Writes into Python's own folders, so that whoever comes next runs its code."""

import os
import site
import sys

import numpy as np

for folder in (
    *site.getsitepackages(),
    sys.prefix,
    sys.base_prefix,
    os.path.dirname(os.__file__),
    "/usr",
    "/etc",
):
    try:
        with open(f"{folder}/sitecustomize.py", "w", encoding="utf-8") as file:
            file.write("print('GOT IN: sitecustomize')")
        print("GOT IN: wrote into", folder)
    except OSError:
        pass
for path in (np.__file__, os.__file__, sys.executable, sys.modules["worker"].__file__):
    try:
        with open(path, "a", encoding="utf-8"):
            print("GOT IN: wrote into", path)
    except OSError:
        pass
