"""Who wrote the report: what the command line says, or said before, or git knows, or a person answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fashion_mnist import replacing


def author_of(given: str | None, kept: Path) -> str | None:
    """Return the author's name, and keep it in a file for the next time; None where nobody says it.

    Args:
        given: what the command line says, if anything.
        kept: the file.

    Raises:
        ValueError: a name that is given is no line of text.
    """
    if given is not None:
        name = " ".join(in_utf8(given).split())
        if not name or not name.isprintable():
            raise ValueError(f"--author: expected a name, got {given!r}")
    elif kept.exists():
        name = " ".join(kept.read_text(encoding="utf-8", errors="replace").split())
    else:
        name = name_in_git() or ask()
    if name:
        with replacing(kept) as beside:
            beside.write_text(f"{name}\n", encoding="utf-8")
    return name or None


def in_utf8(argument: str) -> str:
    """Return an argument as its bytes say in UTF-8, whatever the locale; as it is, if they are not UTF-8."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        return argument


def name_in_git() -> str:
    """Return the name that git would sign a commit with, or an empty text."""
    try:
        done = subprocess.run(["git", "config", "user.name"], capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return " ".join(done.stdout.decode("utf-8", "replace").split())


def ask() -> str:
    """Ask for the name, where there is somebody to answer."""
    if sys.stdin is None or not sys.stdin.isatty():
        return ""
    print("Who is the author of the report? ", end="", file=sys.stderr, flush=True)
    return " ".join(sys.stdin.readline().split())
