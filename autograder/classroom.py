"""Grades a class: every submission in a folder, several at a time, each by a process of its own.

What has been graded is kept, a JSON each, and not graded again as long as neither the submission nor the
tests change. So a run that was stopped, or that new submissions came after, goes on where it was.
"""

from __future__ import annotations

import hmac
import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeAlias

from tqdm import tqdm

from .assignment import Assignment
from .bundle import ENGINE, sources
from .grading import DEADLINE
from .inside.scratch import scratch_folder
from .key import FILE, write_key
from .overview import Document, Overview, Row, lateness, page_of, summary_of, table_of_grades, table_of_tests
from .results import clean, one_line, shorten, write_text
from .roster import Entry, Roster, read_roster
from .submission import BadSubmissionError, Submission, ignored, load

ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz")
LONGEST = 2 * DEADLINE  # seconds that one grading may take, whatever happens to its grader
FOLDER = re.compile(r"submission_(\d+)")  # of the submission with this id, in Gradescope's export


class Job(NamedTuple):
    """A submission that is to be graded.

    Attributes:
        name: of its folder or zip.
        submission: its files.
        id: the platform's; None where there is none.
        made_from: what its grade depends on.
    """

    name: str
    submission: Submission
    id: str | None
    made_from: str


Graders: TypeAlias = Callable[[Sequence[Job]], Iterable[tuple[Job, Callable[[], Document]]]]
"""Grades submissions, and yields each that is done with what returns its grade or raises why not."""


def grade_all(
    folder: Path,
    assignment: Assignment,
    target: Path,
    *,
    jobs: int,
    key: bytes,
    scheduler: str | None = None,
    again: bool = False,
    only: Sequence[str] = (),
    unsafe: bool = False,
    due: datetime | None = None,
) -> Overview:
    """Grade every submission in a folder: each subfolder and each zip is one.

    Args:
        folder: such as Gradescope's export.
        assignment: what was to be handed in.
        target: where the tables, ``class.html``, ``summary.md`` and each submission's JSON go.
        jobs: how many are graded at a time, on this machine.
        key: the staff's, which goes into what the tests' inputs are drawn from.
        scheduler: the address of a dask.distributed scheduler, whose workers do the grading instead.
            They need this repository, importable, and its requirements.
        again: also grade what has been graded before.
        only: beginnings of the numbers of the tests to run; by default all are run.
        unsafe: whether to go on where students' code can't be kept from other files.
        due: what is handed in after this is late.

    Returns:
        What has become of the class.

    Raises:
        BadSubmissionError: there is no such folder, there is no submission in it, or there is no dask.
    """
    paths = find_submissions(folder, target)
    where = assignment.folder
    if where.is_relative_to(ENGINE.parent):  # a cluster's workers may have this repository elsewhere
        where = where.relative_to(ENGINE.parent)
    tests = hmac.new(
        key, repr((sorted(sources(assignment).items()), list(only))).encode(), "sha256"
    ).hexdigest()
    before = computed()
    documents: dict[str, Document] = {}
    trouble: dict[str, tuple[str, ...]] = {}
    roster = read_roster(folder)

    def overview(seconds: float | None = None) -> Overview:
        rows = rows_of(trouble, documents, roster, due)
        return Overview(assignment.title, rows, [roster.problem] if roster.problem else [], seconds)

    with graders(jobs, scheduler, (where, only, key, unsafe)) as graded:
        try:
            waiting = []
            for path in paths:
                try:
                    submission = load(path, assignment.files)
                except Exception as error:  # whatever is wrong with one, the others are graded
                    trouble[path.name] = (f"{error}" or type(error).__name__,)
                    continue
                trouble[path.name] = tuple(text.replace("`", "") for text in submission.problems)
                number = FOLDER.fullmatch(path.stem)
                job = Job(path.name, submission, number and number[1], f"{submission.digest} {tests}")
                if job.id is not None:
                    job = job._replace(made_from=f"{job.made_from} {job.id}")
                kept = None if again else read_kept(target / f"{path.name}.json", job.made_from)
                if kept is not None:
                    documents[path.name] = kept
                else:
                    waiting.append(job)
            for job, result in tqdm(graded(waiting), total=len(waiting), desc="Grading", disable=None):
                try:
                    document = result()
                    document["extra_data"] = {**document.get("extra_data", {}), "made_from": job.made_from}
                except Exception as error:
                    trouble[job.name] = (str(error),)
                else:
                    documents[job.name] = document
                    write_text(target / f"{job.name}.json", json.dumps(document, indent=1))
        finally:
            write_tables(target, overview())
    return overview((computed() - before) / len(waiting) if waiting and scheduler is None else None)


def computed() -> float:
    """Return the seconds of computing of all processes that this one has started and seen end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rows_of(
    trouble: dict[str, tuple[str, ...]], documents: dict[str, Document], roster: Roster, due: datetime | None
) -> list[Row]:
    """Return what has become of each submission, by name, and of those that the metadata alone know of."""
    rows = []
    missing = dict(roster.entries)
    for name, told in trouble.items():
        shown = one_line(name)  # as the metadata have it
        known = next((key for key in (shown, Path(shown).stem) if key in roster.entries), None)
        if roster.entries and known is None:
            told = (*told, "the metadata do not have it, so nobody knows whose it is")
        entry = Entry() if known is None else roster.entries[known]
        missing.pop(known or "", None)
        rows.append(Row(shown, entry, documents.get(name), told, lateness(entry.created_at, due)))
    for name, entry in missing.items():
        told = ("the metadata have it, and there is no such folder",)
        rows.append(Row(name, entry, None, told, lateness(entry.created_at, due)))
    return sorted(rows, key=lambda row: row.name)


def write_tables(target: Path, overview: Overview) -> None:
    """Write what staff see of a class into a folder."""
    write_text(target / "grades.csv", table_of_grades(overview.rows))
    write_text(target / "tests.csv", table_of_tests(overview.rows))
    write_text(target / "summary.md", summary_of(overview))
    write_text(target / "class.html", page_of(overview))


def find_submissions(folder: Path, target: Path) -> list[Path]:
    """Return the subfolders and zips in a folder, by name, without the one that results go to.

    Archives of other kinds are among them: that they can't be read is a problem for staff to see.
    """
    if not folder.is_dir():
        raise BadSubmissionError(f"expected a folder of submissions, got {folder}")
    paths = [
        path
        for path in sorted(folder.iterdir())
        if (path.is_dir() and not ignored(path.name) and path.resolve() != target.resolve())
        or path.suffix.lower() in ARCHIVES
    ]
    if not paths:
        raise BadSubmissionError(f"expected a folder or a zip for each submission, {folder} has neither")
    return paths


@contextmanager
def graders(jobs: int, scheduler: str | None, options: tuple[Any, ...]) -> Iterator[Graders]:
    """Provide what grades several submissions at a time, here or on a cluster.

    Args:
        jobs: how many are graded at a time here.
        scheduler: of the cluster.
        options: of ``grade_one``, besides the submission and its id.
    """
    if scheduler is None:
        pool = ThreadPoolExecutor(jobs)  # each thread waits for a process

        def grade_here(waiting: Sequence[Job]) -> Iterator[tuple[Job, Callable[[], Document]]]:
            running = {pool.submit(grade_one, job.submission, job.id, *options): job for job in waiting}
            for future in as_completed(running):
                yield running[future], future.result

        try:
            yield grade_here
        finally:
            pool.shutdown(cancel_futures=True)
        return
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise BadSubmissionError("--scheduler needs dask: pip install 'dask[distributed]'") from error
    try:
        client = Client(scheduler)
    except (OSError, ValueError) as error:
        raise BadSubmissionError(f"expected a scheduler at {scheduler}: {error}") from error

    def grade_there(waiting: Sequence[Job]) -> Iterator[tuple[Job, Callable[[], Document]]]:
        fetched: SimpleQueue[tuple[Job, Callable[[], Document]]] = SimpleQueue()

        def fetch(job: Job, future: Any) -> None:
            """Take what is done and let go of it, or the scheduler has it done again when its worker dies."""
            result: Future[Document] = Future()
            try:
                result.set_result(future.result())
            except BaseException as error:
                result.set_exception(error)
            future.release()
            fetched.put((job, result.result))

        for job in waiting:
            future = client.submit(grade_one, job.submission, job.id, *options, pure=False)
            future.add_done_callback(partial(fetch, job))
        del future
        for _ in waiting:
            yield fetched.get()

    with client:
        yield grade_there


def grade_one(
    submission: Submission, id: str | None, assignment: Path, only: Sequence[str], key: bytes, unsafe: bool
) -> Document:
    """Grade a submission in a process of its own, on a machine that need not have its files.

    Args:
        submission: the files.
        id: what the inputs are drawn from, as on the platform; None for the files' contents.
        assignment: its folder.
        only: beginnings of the numbers of the tests to run.
        key: the staff's.
        unsafe: whether to go on where students' code can't be kept from other files.

    Raises:
        RuntimeError: there is no grade; the message says why.
    """
    with scratch_folder() as scratch:
        folder, results = scratch / "submission", scratch / "results.json"
        folder.mkdir()
        submission.save(folder)
        write_key(Path(scratch, FILE), key)
        command = [sys.executable, "-m", "autograder", "grade", str(folder), "--results", str(results)]
        command += ["--assignment", str(assignment), "--key", str(Path(scratch, FILE))]
        command += ["--id", id] if id is not None else []
        command += ["--only", *only] if only else []
        command += ["--unsafe"] if unsafe else []
        try:
            done = subprocess.run(
                command,
                cwd=ENGINE.parent,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=LONGEST,
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"the grader took longer than {LONGEST:g} s and was stopped") from error
        if done.returncode != 0:
            reason = clean(done.stderr).strip().rpartition("\n")[2]
            raise RuntimeError(f"the grader ended with status {done.returncode}: {shorten(reason, 300)}")
        document: Document = json.loads(results.read_text(encoding="utf-8"))
        return document


def read_kept(path: Path, made_from: str) -> Document | None:
    """Return what an earlier run made of the same submission with the same tests, if there is such."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if document.get("extra_data", {}).get("made_from") == made_from else None
