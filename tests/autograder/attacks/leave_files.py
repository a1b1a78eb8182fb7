"""Leaves files, links, pipes and folders that nobody may enter."""

import os
import tempfile
from contextlib import suppress

for folder in (
    ".",
    "/tmp",
    "/var/tmp",
    "/dev/shm",
    "/run/lock",
    "/run",
    "/dev/mqueue",
    "/var/crash",
    "/var/lib/php/sessions",
    os.path.expanduser("~"),
    tempfile.gettempdir(),
):
    for make in (
        lambda path: os.makedirs(path + "-folder/in/folder"),
        lambda path: os.chmod(path + "-folder", 0),
        lambda path: os.symlink("@FOLDER@", path + "-link"),
        lambda path: os.mkfifo(path + "-pipe"),
        lambda path: open(path + "-\udcff\n.txt", "w", encoding="utf-8").close(),
    ):
        with suppress(OSError):
            make(f"{folder}/left-by-an-attack")
