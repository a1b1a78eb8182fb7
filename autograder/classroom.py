"""Grades a class: every submission in a folder, several at a time, each by a process of its own.

What has been graded is kept, a JSON each, and not graded again as long as neither the submission nor the
tests change. So a run that was stopped, or that new submissions came after, goes on where it was.
"""

from __future__ import annotations

import csv
import hmac
import io
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from .assignment import Assignment
from .bundle import ENGINE, sources
from .grading import DEADLINE
from .inside.scratch import scratch_folder
from .key import FILE, write_key
from .results import clean, defused_line, quoted, shorten, write_text
from .submission import BadSubmissionError, Submission, ignored, load

ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz")
LONGEST = 2 * DEADLINE  # seconds that one grading may take, whatever happens to its grader
FORMULAS = tuple("=+-@＝＋－＠")  # begin one, in a spreadsheet
BARS = "▁▂▃▄▅▆▇█"

Document: TypeAlias = dict[str, Any]
"""What ``results.json`` holds; see ``results.document``."""


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
) -> None:
    """Grade every submission in a folder: each subfolder and each zip is one.

    Args:
        folder: such as Gradescope's export.
        assignment: what was to be handed in.
        target: where ``grades.csv``, ``summary.md`` and each submission's JSON go.
        jobs: how many are graded at a time, on this machine.
        key: the staff's, which goes into what the tests' inputs are drawn from.
        scheduler: the address of a dask.distributed scheduler, whose workers do the grading instead.
            They need this repository, importable, and its requirements.
        again: also grade what has been graded before.
        only: beginnings of the numbers of the tests to run; by default all are run.
        unsafe: whether to go on where students' code can't be kept from other files.

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
    documents: dict[str, Document] = {}
    problems: dict[str, str] = {}
    running: dict[Future[Document], tuple[str, str]] = {}
    with executor(jobs, scheduler) as pool:
        try:
            for path in paths:
                try:
                    submission = load(path, assignment.files)
                except Exception as error:  # whatever is wrong with one, the others are graded
                    problems[path.name] = f"{error}" or type(error).__name__
                    continue
                problems[path.name] = " ".join(submission.problems)
                made_from = f"{submission.digest} {tests}"
                kept = None if again else read_kept(target / f"{path.name}.json", made_from)
                if kept is not None:
                    documents[path.name] = kept
                else:
                    future = pool.submit(grade_one, submission, where, only, key, unsafe)
                    running[future] = path.name, made_from
            for future in tqdm(as_completed(running), total=len(running), desc="Grading", disable=None):
                name, made_from = running[future]
                try:
                    document = future.result()
                    document["extra_data"] = {**document.get("extra_data", {}), "made_from": made_from}
                except Exception as error:
                    problems[name] = str(error)
                else:
                    documents[name] = document
                    write_text(target / f"{name}.json", json.dumps(document, indent=1))
        finally:
            write_text(target / "grades.csv", table_of(documents, problems))
            write_text(target / "summary.md", summary_of(documents, problems))


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
def executor(jobs: int, scheduler: str | None) -> Iterator[Executor]:
    """Provide what grades several submissions at a time, here or on a cluster."""
    if scheduler is None:
        pool = ThreadPoolExecutor(jobs)  # each thread waits for a process
        try:
            yield pool
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
    with client:
        yield client.get_executor(pure=False)


def grade_one(
    submission: Submission, assignment: Path, only: Sequence[str], key: bytes, unsafe: bool
) -> Document:
    """Grade a submission in a process of its own, on a machine that need not have its files.

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


# ---------------------------------------------------------------------------------------------------
# The class as a whole
# ---------------------------------------------------------------------------------------------------


def column_of(test: Document) -> str:
    """Return how the tables call a test."""
    return f"{test['number']} {test['name']}"


def item_of(test: Document) -> str:
    """Return what a test belongs to."""
    item: str = test["extra_data"]["item"]
    return item


def points_of(document: Document) -> tuple[dict[str, float], dict[str, float]]:
    """Return the points that a submission has, and those that it could have, by item and by test."""
    points: dict[str, float] = {}
    most: dict[str, float] = {}
    for column in (item_of, column_of):
        for test in document["tests"]:
            name = column(test)
            points[name] = round(points.get(name, 0) + test["score"], 6)
            most[name] = round(most.get(name, 0) + test["max_score"], 6)
    return points, most


def table_of(documents: dict[str, Document], problems: dict[str, str]) -> str:
    """Return the CSV: a row per submission with its total, its items, its tests, and what went wrong."""
    rows = {name: points_of(document)[0] for name, document in documents.items()}
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["submission", "total", *columns, "problem"])
    for name in sorted(problems):
        row = rows.get(name, {})
        total = documents[name]["score"] if name in documents else ""
        points = (row.get(column, "") for column in columns)
        writer.writerow([cell_of(name), total, *points, cell_of(problems[name])])
    return text.getvalue()


def cell_of(text: str) -> str:
    """Return a text as a cell that no spreadsheet takes for a formula or, with a ; in it, for two."""
    line = one_line(text).replace(";", ",")
    return f"'{line}" if line.startswith(FORMULAS) else line


def one_line(text: str) -> str:
    """Return a text without line breaks and characters that can't be shown; lone surrogates become a ?."""
    return " ".join(clean(text.encode("utf-8", "replace").decode()).split())


def summary_of(documents: dict[str, Document], problems: dict[str, str]) -> str:
    """Return the Markdown summary: how totals, items and tests are distributed over the class."""
    lines = [f"# {len(documents)} submissions graded"]
    failures = [
        f"- {quoted(name)}: {defused_line(one_line(problems[name]))}"
        for name in sorted(problems.keys() - documents.keys())
    ]
    if failures:
        lines.append("\n".join([f"{len(failures)} could not be graded:\n", *failures]))
    if documents:
        grades = [points_of(document) for document in documents.values()]
        most = grades[0][1]
        totals = [document["score"] for document in documents.values()]
        test_columns = [column_of(test) for test in next(iter(documents.values()))["tests"]]
        columns = {"**Total**": (totals, sum(most[column] for column in test_columns))}
        columns |= {column: ([points[column] for points, _ in grades], most[column]) for column in most}
        lines.append(
            tabulate(
                [distribution(name, values, maximum) for name, (values, maximum) in columns.items()],
                headers=["", "Points", "Mean", "Full marks", "Quartiles", "From 0 to full marks"],
                tablefmt="github",
                disable_numparse=True,
            )
        )
    return "\n\n".join(lines) + "\n"


def distribution(name: str, values: Sequence[float], maximum: float) -> tuple[str, ...]:
    """Return one row of the summary."""
    quartiles = np.percentile(values, (25, 50, 75))
    counts = np.histogram(values, bins=10, range=(0, maximum))[0]
    bars = "".join(BARS[round((len(BARS) - 1) * count / counts.max())] if count else "·" for count in counts)
    full = np.mean(np.isclose(values, maximum))
    return (
        name,
        f"{maximum:g}",
        f"{np.mean(values):.2f}",
        f"{full:.0%}",
        " / ".join(f"{quartile:g}" for quartile in quartiles),
        bars,
    )
