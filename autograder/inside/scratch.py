"""Folders for the time being, which go even if who made them was killed: then who comes next removes them."""

from __future__ import annotations

import errno
import itertools
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

with suppress(ImportError):  # on Windows, where nothing locks folders
    import fcntl

PREFIX = "grading-"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Provide an empty folder for as long as the context lasts.

    A lock is held on it. The system drops that when this process ends, however it ends, and so the folder is
    known to be nobody's any more.
    """
    remove_abandoned()
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        with suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():  # who removes what is nobody's may have come before the lock
                break
            os.close(lock)
    try:
        yield path
    finally:
        remove_tree(path)
        os.close(lock)


def remove_abandoned() -> None:
    """Remove the folders of processes that were killed."""
    for entry in os.scandir(tempfile.gettempdir()):
        with suppress(OSError):
            if entry.name.startswith(PREFIX) and entry.stat(follow_symlinks=False).st_uid == os.getuid():
                lock = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove_tree(Path(entry.path))
                finally:
                    os.close(lock)


def remove_tree(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, if it is there; others may be doing the same.

    Folders in folders are moved to its top first, so that none lies too deep to be reached.
    """
    while os.path.lexists(path):
        try:
            if path.is_dir() and not path.is_symlink():
                _remove_folder(path)
            else:
                path.unlink()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise


def _remove_folder(path: Path) -> None:
    folders, moved, numbers = [path], secrets.token_hex(8), itertools.count()
    while folders:
        folder = folders.pop()
        folder.chmod(0o700)
        for entry in list(os.scandir(folder)):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
            elif folder == path:
                folders.append(Path(entry.path))
            else:
                os.chmod(entry.path, 0o700)
                folders.append(Path(entry.path).rename(path / f"{moved}-{next(numbers)}"))
        if folder != path:
            folder.rmdir()
    path.rmdir()


def remove_files_of(user: int, folders: Iterable[str]) -> None:
    """Remove what belongs to a user in some folders."""
    for folder in filter(os.path.isdir, folders):
        for entry in os.scandir(folder):
            with suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_uid == user:
                    remove_tree(Path(entry.path))
