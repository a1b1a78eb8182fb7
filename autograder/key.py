"""The course staff's key: it goes into what tests draw their inputs from, so nobody else can compute them.

The same submission with the same key gets the same inputs each time; with another key it gets others. Whoever
has the key can do as the autograder does, so it lies in a file that its owner alone can read, never in git.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

FILE = Path("autograder.key")  # where it is kept, unless staff say otherwise


class BadKeyError(Exception):
    """There is no key where one was expected; the message says why."""


def read_key(path: Path) -> bytes:
    """Return the key in a file.

    Raises:
        BadKeyError: it can't be read, or holds something else.
    """
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise BadKeyError(f"expected a key in {path}, which can't be read: {error.strerror}") from error
    if not re.fullmatch("[0-9a-f]{64}", text):  # which is not shown: it may be another secret
        raise BadKeyError(
            f"expected 64 hexadecimal digits in {path}, got {len(text)} characters of another kind"
        )
    return bytes.fromhex(text)


def ensure_key(path: Path) -> bytes:
    """Return the key in a file, which is made if it is not there.

    Raises:
        BadKeyError: it can't be read or made.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
            write_key(beside, secrets.token_bytes(32))
            try:
                with suppress(FileExistsError):  # if somebody else was quicker, theirs counts
                    os.link(beside, path)
            finally:
                beside.unlink()
    except OSError as error:
        raise BadKeyError(f"expected to make a key in {path}: {error.strerror}") from error
    return read_key(path)


def write_key(path: Path, key: bytes) -> None:
    """Write a key into a new file, which nobody else can read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(as_text(key))


def as_text(key: bytes) -> str:
    """Return what a key's file holds."""
    return f"{key.hex()}\n"


def seed_of(text: str, key: bytes | None) -> int:
    """Return the number of 32 bits that a text, such as a submission's id, and a key give.

    It is the beginning of the text's HMAC-SHA256, and without a key that of its SHA-256.
    """
    data = text.encode()
    digest = hashlib.sha256(data).digest() if key is None else hmac.digest(key, data, "sha256")
    return int.from_bytes(digest[:4], "big")
