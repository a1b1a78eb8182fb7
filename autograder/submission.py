"""The files of a submission, read from a folder or a zip without trusting either.

Students hand in the files that an assignment asks for; what arrives is those, or some of them, perhaps a
folder down, beside whatever else their computer added. Links are never followed, sizes are checked before
memory is taken for them, and nothing is unpacked to disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath

from .results import quoted

LARGEST = 1_000_000  # bytes of one file
LARGEST_ZIP = 100_000_000
LARGEST_READ = 4_000_000  # bytes of a zip that are read in one go: what it says of all files in it, above all
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # of others zipfile can't unpack a part alone
MOST_ENTRIES = 10_000
DEEPEST = 20  # folders in one another
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz")
HANDED_OUT = ("check.py",)  # to students, who may well hand it in with their own files
IGNORED_FOLDERS = {"__MACOSX", "__pycache__", "site-packages", "node_modules"}


class BadSubmissionError(Exception):
    """There is no submission where one was expected, or none that can be used; the message says why."""


@dataclass(frozen=True)
class Submission:
    """What was handed in.

    Attributes:
        files: the contents of those of the files that are there, by name.
        problems: a sentence about each file that is missing or was left out.
    """

    files: dict[str, bytes]
    problems: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """A hexadecimal SHA-256 of names and contents."""
        digest = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            digest.update(f"{name} {len(content)}\n".encode() + content)
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Write the files into a folder."""
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


@dataclass(frozen=True)
class Entry:
    """A file in a folder or a zip.

    Attributes:
        path: inside the folder or the zip.
        read: returns the contents, or raises a ValueError that says why not.
    """

    path: PurePosixPath
    read: Callable[[], bytes]


def load(path: Path, files: Sequence[str]) -> Submission:
    """Read the submission in a folder or a zip.

    The folder inside that has most of the expected files counts, the outermost of several. A folder
    that has none of them but one zip is read as that zip.

    Raises:
        BadSubmissionError: ``path`` is neither a folder nor a zip.
    """
    if path.is_dir():
        entries = list(islice(folder_entries(path), MOST_ENTRIES))
        zips = [path / entry.path for entry in entries if entry.path.suffix == ".zip"]
        if len(zips) == 1 and not any(entry.path.name in files for entry in entries):
            try:
                return load_zip(zips[0], files)
            except BadSubmissionError as error:
                return Submission({}, (f"{quoted(zips[0].name)} {error}.",))
        return choose(entries, files)
    try:
        return load_zip(path, files)
    except BadSubmissionError as error:
        raise BadSubmissionError(
            f"expected a folder or a zip with {', '.join(files)}: {path} {error}"
        ) from error


def load_zip(path: Path, files: Sequence[str]) -> Submission:
    """Read the submission in a zip.

    Raises:
        BadSubmissionError: it is none, or too large.
    """
    if not path.exists():
        raise BadSubmissionError("does not exist")
    if path.is_symlink() or not path.is_file():
        raise BadSubmissionError("is a link or no regular file")
    if path.stat().st_size > LARGEST_ZIP:
        raise BadSubmissionError(f"has more than {LARGEST_ZIP:,} bytes")
    try:
        with BoundedFile(path) as file, zipfile.ZipFile(file) as archive:
            return read_archive(archive, files)
    except Exception as error:  # a made-up zip can have the standard library raise anything
        raise BadSubmissionError(f"can't be read as a zip: {error}") from error


def read_archive(archive: zipfile.ZipFile, files: Sequence[str], is_inner: bool = False) -> Submission:
    """Read the submission in an open zip; one that has none of the files but one zip is read as that one."""
    entries = list(islice(zip_entries(archive), MOST_ENTRIES))
    inner = [entry for entry in entries if entry.path.suffix.lower() == ".zip"]
    if is_inner or len(inner) != 1 or any(entry.path.name in files for entry in entries):
        return choose(entries, files)
    name = inner[0].path.name
    try:
        content = inner[0].read()
    except ValueError as problem:
        return Submission({}, (f"{quoted(name)} {problem}.",))
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as inside:
            found = read_archive(inside, files, is_inner=True)
    except Exception as error:  # as above
        return Submission({}, (f"{quoted(name)} can't be read as a zip: {quoted(str(error))}.",))
    return replace(
        found, problems=(f"Of a zip in the zip, {quoted(name)}, the files were graded.", *found.problems)
    )


class BoundedFile(io.FileIO):
    """A file of which only so much can be read in one go."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, or raise a ValueError if they are too many."""
        if size is None or size < 0:  # all that is left
            size = os.fstat(self.fileno()).st_size - self.tell()
        if size > LARGEST_READ:
            raise ValueError("it lists too many files")
        return super().read(size)


def choose(entries: list[Entry], expected: Sequence[str]) -> Submission:
    """Pick the expected files among all files, and say what is wrong with them."""
    found: dict[PurePosixPath, dict[str, Entry]] = {PurePosixPath("."): {}}
    for entry in entries:
        if entry.path.name in expected:
            found.setdefault(entry.path.parent, {})[entry.path.name] = entry
    folder = min(found, key=lambda folder: (-len(found[folder]), len(folder.parts), str(folder)))
    files, problems = {}, []
    for name in expected:
        try:
            if name not in found[folder]:
                raise ValueError("is missing")
            files[name] = found[folder][name].read()
        except ValueError as problem:
            problems.append(f"`{name}` {problem}.")
    if folder.parts:
        problems.append(f"The files in {quoted(str(folder))} were graded.")
    packed = [entry.path.name for entry in entries if entry.path.suffix.lower() in ARCHIVES]
    if packed and not files:
        problems.append(
            f"{quoted(packed[0])} was not unpacked: hand in the files themselves, or one zip of them."
        )
    ignored_names = [
        quoted(entry.path.name)
        for entry in entries
        if entry.path.parent == folder
        and entry.path.suffix == ".py"
        and entry.path.name not in (*expected, *HANDED_OUT)
    ]
    if ignored_names:
        shown = ", ".join(ignored_names[:5])
        own = ", ".join(f"`{name}`" for name in expected)
        problems.append(f"All code belongs in {own}; other modules are ignored: {shown}.")
    if len(entries) >= MOST_ENTRIES:
        problems.append(f"There are many files, of which only {MOST_ENTRIES:,} were looked at.")
    return Submission(files, tuple(problems))


def folder_entries(root: Path) -> Iterator[Entry]:
    """Yield everything in a folder that is no folder, in a fixed order, without following links."""
    folders = [root]
    for folder in folders:  # which grows meanwhile, so what lies far down comes last
        names: dict[str, bool] = {}
        with contextlib.suppress(OSError), os.scandir(folder) as found:
            names = {item.name: item.is_dir(follow_symlinks=False) for item in islice(found, MOST_ENTRIES)}
        deep = len(folder.relative_to(root).parts) >= DEEPEST
        for name, is_folder in sorted(names.items()):
            path = folder / name
            if not is_folder:
                yield Entry(PurePosixPath(path.relative_to(root).as_posix()), partial(read_file, path))
            elif not (deep or ignored(name)) and len(folders) < MOST_ENTRIES:
                folders.append(path)


def ignored(name: str) -> bool:
    """Say whether a folder of this name is no student's work."""
    return name.startswith(".") or name in IGNORED_FOLDERS


def read_file(path: Path) -> bytes:
    """Return what is in a regular file of a decent size; a link, a pipe or a device is not opened."""
    flags = [
        getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")
    ]  # the last is Windows's
    try:
        if path.is_symlink():
            raise ValueError("can't be read: it is a link")
        descriptor = os.open(path, os.O_RDONLY | sum(flags))
    except FileNotFoundError as error:
        raise ValueError("is missing") from error
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from error
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("can't be read: it is no regular file")
        return capped(file.read(LARGEST + 1))


def zip_entries(archive: zipfile.ZipFile) -> Iterator[Entry]:
    """Yield the files in a zip; names as Windows writes them are understood."""
    for info in archive.infolist():
        name = info.filename.replace("\\", "/")
        if name.count("/") > DEEPEST:
            continue
        path = PurePosixPath(name)
        if not info.is_dir() and not any(map(ignored, path.parent.parts)):
            yield Entry(path, partial(read_member, archive, info))


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return what is in a file in a zip."""
    if stat.S_ISLNK(info.external_attr >> 16):
        raise ValueError("can't be read: it is a link")
    if info.compress_type not in METHODS:
        raise ValueError("can't be read: make the zip with the usual compression (deflate)")
    try:
        with archive.open(info) as file:
            content = file.read(LARGEST + 1)
    except Exception as error:
        raise ValueError(f"can't be read: {error}") from error
    return capped(content)


def capped(content: bytes) -> bytes:
    """Return the beginning of a file if that is all of it."""
    if len(content) > LARGEST:
        raise ValueError(f"is left out: it has more than {LARGEST:,} bytes")
    return content
