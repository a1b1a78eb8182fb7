"""What course staff see of a class: the tables for gradebooks, a summary for a message, and ``class.html``.

All are made of a ``Row`` for each submission. Whatever students choose in it, their names, their code's
messages, does nothing: no cell of a table is a formula, no line of Markdown and no part of the page is live.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jinja2
import numpy as np
from markdown_it import MarkdownIt
from markupsafe import Markup
from tabulate import tabulate

from .results import defused_line, one_line
from .roster import Entry

PAGE = Path(__file__).resolve().parent / "page"
FORMULAS = tuple("=+-@＝＋－＠")  # begin one, in a spreadsheet
BINS = 10  # of points, in which submissions are counted
SHOWN = 6  # numbers of tests in a sentence

Document: TypeAlias = dict[str, Any]
"""What ``results.json`` holds; see ``results.document``."""

KINDS = {
    "not graded": "has no grade",
    "suspicion": "uses what is banned or hides what it uses, has the work done by something else, or disturbs"
    " the grader",
    "not importable": "a module can't be imported",
    "files": "files are missing, or lie elsewhere",
    "ended": "came to the end of its time, its memory or the like",
    "reference": "has points only with the reference in place of own modules",
    "sandbox": "a warning of the sandbox",
}
"""What staff must look at, by how soon, and what it means."""

ENDED = {
    "timeout": "time",
    "memory": "memory",
    "processes": "the number of its processes",
    "disk": "what it wrote to disk",
    "size": "the size of what it returned",
    "exit": "ending Python",
    "signal": "a crash",
    "deadline": "the deadline of the whole grading",
    "sandbox": "a fault of the sandbox",
}
"""What for, by ``Signs.ended``."""


class Concern(NamedTuple):
    """Something that staff must look at: one of ``KINDS``, and a sentence in plain text."""

    kind: str
    text: str


@dataclass(frozen=True)
class Row:
    """A submission of the class.

    Attributes:
        name: of its folder or zip.
        entry: who handed it in, and when.
        document: its grade; None if there is none.
        trouble: what was wrong with it before it was graded, or why it has no grade.
        late: "yes", "no", or empty where that is not known.
    """

    name: str
    entry: Entry
    document: Document | None
    trouble: Sequence[str] = ()
    late: str = ""

    @property
    def tests(self) -> list[Document]:
        """The graded tests."""
        return self.document["tests"] if self.document else []

    @property
    def score(self) -> float | None:
        """The points; None without a grade."""
        return self.document["score"] if self.document else None

    @cached_property
    def items(self) -> dict[str, float]:
        """The points of each item."""
        return sums(self.tests, "score")

    @property
    def who(self) -> str:
        """The names of its students; the submission's where they are not known."""
        return ", ".join(filter(None, (student.name for student in self.entry.students))) or self.name

    @cached_property
    def bugs(self) -> dict[str, list[str]]:
        """The likely bugs, and the numbers of the tests that name them."""
        found: dict[str, list[str]] = {}
        for test in self.tests:
            for bug in test["extra_data"].get("bugs", ()):
                found.setdefault(bug, []).append(test["number"])
        return found

    @cached_property
    def concerns(self) -> list[Concern]:
        """What staff must look at, the most urgent first."""
        found = [Concern("files" if self.document else "not graded", text) for text in self.trouble]
        extra = (self.document or {}).get("extra_data", {})
        for module, why in extra.get("unimportable", {}).items():
            found.append(Concern("not importable", f"{module}.py can't be imported: {why}"))
        suspicions: dict[str, None] = {}
        ended: dict[str, list[str]] = {}
        points = 0.0
        for test in self.tests:
            signs = test["extra_data"]
            suspicions |= dict.fromkeys(signs.get("suspicions", ()))
            if "ended" in signs:
                ended.setdefault(signs["ended"], []).append(test["number"])
            points += test["score"] if signs.get("reference") else 0
        found += [Concern("suspicion", text.replace("`", "")) for text in suspicions]
        for reason, numbers in ended.items():
            tests = f"test{'s' * (len(numbers) > 1)} {named(numbers)}"
            if reason == "garbled":
                found.append(Concern("suspicion", f"disturbed the grader's messages in {tests}"))
            else:
                found.append(Concern("ended", f"ended for {ENDED.get(reason, reason)} in {tests}"))
        if points:
            text = f"{points:g} points with the reference in place of own modules"
            found.append(Concern("reference", text))
        found += [Concern("sandbox", f"sandbox: {text}") for text in extra.get("warnings", ())]
        return sorted(found, key=lambda concern: list(KINDS).index(concern.kind))

    @property
    def problem(self) -> str:
        """What staff must look at, as one text."""
        return " | ".join(concern.text for concern in self.concerns)


def named(numbers: Sequence[str]) -> str:
    """Return the numbers of tests, as a part of a sentence: the first of many."""
    more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
    return f"{', '.join(numbers[:SHOWN])}{more}"


def lateness(created_at: datetime | None, due: datetime | None) -> str:
    """Say whether something is late: "yes" or "no", and nothing where that is not known."""
    if created_at is None or due is None:
        return ""
    return "yes" if created_at > due else "no"


def sums(tests: Iterable[Document], what: str) -> dict[str, float]:
    """Return the sum of the tests' scores, or of their maxima, for each item."""
    found: dict[str, float] = {}
    for test in tests:
        item = test["extra_data"]["item"]
        found[item] = round(found.get(item, 0) + test[what], 6)
    return found


# ---------------------------------------------------------------------------------------------------
# Tables
# ---------------------------------------------------------------------------------------------------


def table_of_grades(rows: Sequence[Row]) -> str:
    """Return ``grades.csv``: a row for each student, as gradebooks take it, with items and problem."""
    items = list(dict.fromkeys(item for row in rows for item in row.items))
    header = ["name", "email", "student number", "total", "late", *items, "problem", "submission"]
    lines: list[list[Any]] = []
    for row in rows:
        points = [row.items.get(item, "") for item in items]
        for student in row.entry.students:
            total = "" if row.score is None else row.score
            who = student.name, student.email, student.number
            lines.append([*who, total, row.late, *points, row.problem, row.name])
    return csv_of([header, *sorted(lines, key=lambda line: (line[0].casefold(), line[-1]))])


def table_of_tests(rows: Sequence[Row]) -> str:
    """Return ``tests.csv``: a row for each submission with the points of each test."""
    points = [{f"{test['number']} {test['name']}": test["score"] for test in row.tests} for row in rows]
    tests = list(dict.fromkeys(test for scores in points for test in scores))
    lines = [
        [row.name, *(scores.get(test, "") for test in tests)]
        for row, scores in zip(rows, points, strict=True)
    ]
    return csv_of([["submission", *tests], *sorted(lines, key=lambda line: line[0])])


def csv_of(lines: Iterable[Iterable[Any]]) -> str:
    """Return a table as CSV; what is text does nothing in a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([cell_of(cell) if isinstance(cell, str) else cell for cell in line] for line in lines)
    return text.getvalue()


def cell_of(text: str) -> str:
    """Return a text as a cell that no spreadsheet takes for a formula or, with a ; in it, for two."""
    line = one_line(text).replace(";", ",")
    return f"'{line}" if line.startswith(FORMULAS) else line


# ---------------------------------------------------------------------------------------------------
# The class as a whole
# ---------------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """How the points for a part of the assignment are distributed over those who were graded.

    Attributes:
        name: of the part.
        maximum: the points that it has.
        points: of each submission.
    """

    name: str
    maximum: float
    points: list[float]

    @property
    def mean(self) -> float:
        """The mean of the points."""
        return float(np.mean(self.points))

    @property
    def quartiles(self) -> list[float]:
        """The points that a quarter, a half and three quarters of the submissions have at most."""
        return [float(value) for value in np.percentile(self.points, (25, 50, 75))]

    @property
    def full(self) -> int:
        """How many have all points."""
        return int(np.isclose(self.points, self.maximum).sum())

    @property
    def counts(self) -> list[int]:
        """How many have about so many points, from none to all; full marks are in the last count."""
        return [int(n) for n in np.histogram(self.points, bins=BINS, range=(0, self.maximum))[0]]


class TestResult(NamedTuple):
    """How many failed a test; ``place`` is that of the test among all."""

    place: int
    number: str
    name: str
    item: str
    maximum: float
    failed: int
    mean: float


class Bug(NamedTuple):
    """A likely bug, the numbers of the tests that name it, those that do most often first, and who has it."""

    text: str
    tests: list[str]
    rows: list[Row]

    @property
    def students(self) -> int:
        """How many students have it: a submission may be that of several."""
        return sum(len(row.entry.students) for row in self.rows)


@dataclass(frozen=True)
class Overview:
    """A class.

    Attributes:
        title: of the assignment.
        rows: the submissions.
        notes: what concerns all of them, in plain text.
        seconds: of computing that each submission took that was graded now and here; None without such.
    """

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    seconds: float | None = None

    @cached_property
    def graded(self) -> list[Row]:
        """The submissions that have a grade."""
        return [row for row in self.rows if row.document]

    @property
    def students(self) -> int:
        """How many students there are."""
        return sum(len(row.entry.students) for row in self.rows)

    @cached_property
    def total(self) -> Part:
        """All points together."""
        maximum = round(sum(sums(self.graded[0].tests, "max_score").values()), 6)
        return Part("Total", maximum, [row.document["score"] for row in self.graded if row.document])

    @cached_property
    def items(self) -> list[Part]:
        """The items, in the order of the tests."""
        if not self.graded:
            return []
        most = sums(self.graded[0].tests, "max_score")
        return [Part(item, most[item], [row.items.get(item, 0) for row in self.graded]) for item in most]

    @cached_property
    def tests(self) -> list[TestResult]:
        """The tests, first those that most have failed."""
        results = []
        for place, test in enumerate(self.graded[0].tests if self.graded else []):
            scores = [row.tests[place]["score"] for row in self.graded]
            failed = sum(row.tests[place]["status"] == "failed" for row in self.graded)
            item, most = test["extra_data"]["item"], test["max_score"]
            results.append(
                TestResult(place, test["number"], test["name"], item, most, failed, float(np.mean(scores)))
            )
        return sorted(results, key=lambda result: -result.failed)

    @cached_property
    def bugs(self) -> list[Bug]:
        """The likely bugs, first those that most students have."""
        having: dict[str, list[Row]] = {}
        tests: dict[str, Counter[str]] = {}
        for row in self.rows:
            for text, numbers in row.bugs.items():
                having.setdefault(text, []).append(row)
                tests.setdefault(text, Counter()).update(numbers)
        bugs = [
            Bug(text, [number for number, _ in tests[text].most_common()], rows)
            for text, rows in having.items()
        ]
        return sorted(bugs, key=lambda bug: -bug.students)

    @cached_property
    def first(self) -> list[Row]:
        """The submissions that staff must look at, the most urgent first, of these those with few points."""
        shared = {concern for row in self.graded[:1] for concern in row.concerns if concern.kind == "sandbox"}
        for row in self.graded:
            shared &= set(row.concerns)  # what is said of all is no reason to look at one
        looked_at = [row for row in self.rows if set(row.concerns) - shared]
        return sorted(looked_at, key=lambda row: (list(KINDS).index(row.concerns[0].kind), row.score or 0))

    @cached_property
    def kinds(self) -> dict[str, int]:
        """How many submissions staff must look at, by why."""
        count = Counter(kind for row in self.rows for kind in {concern.kind for concern in row.concerns})
        return {kind: count[kind] for kind in KINDS if kind in count}


def summary_of(overview: Overview) -> str:
    """Return ``summary.md``, which fits a message: the items, the commonest bugs, what to look at."""
    lines = [f"# {len(overview.graded)} submissions graded"]
    lines += [defused_line(one_line(note)) for note in overview.notes]
    if overview.graded:
        parts = [overview.total, *overview.items]
        table = [
            (
                defused_line(part.name),
                f"{part.mean:.1f} of {part.maximum:g}",
                f"{part.full / len(part.points):.0%}",
            )
            for part in parts
        ]
        headers = ["", "Mean", "Full marks"]
        lines.append(tabulate(table, headers=headers, tablefmt="github", disable_numparse=True))
    if overview.bugs:
        told = [f"- {bug.students}: {defused_line(bug.text)}" for bug in overview.bugs[:5]]
        lines.append("\n".join(["Likely bugs, and how many students have them:\n", *told]))
    if overview.kinds:
        told = [f"- {count}: {kind}" for kind, count in overview.kinds.items()]
        lines.append("\n".join(["To look at (class.html says at whom first):\n", *told]))
    return "\n\n".join(lines) + "\n"


# ---------------------------------------------------------------------------------------------------
# The page
# ---------------------------------------------------------------------------------------------------

# Of Markdown this renders what feedback is made of; no tags, links or images.
RENDERER = MarkdownIt("zero").enable(
    ["fence", "code", "list", "emphasis", "backticks", "table", "escape", "newline"]
)


@cache
def rendered(markdown: str) -> str:
    """Return feedback as HTML, as Gradescope shows it."""
    return str(RENDERER.render(markdown))


def feedback_of(row: Row) -> Document:
    """Return what the page shows of a submission, as its student saw it; all have the tests in one order."""
    document = row.document or {"output": ""}
    return {
        "output": rendered(document["output"]),
        "problem": row.problem,
        "tests": [[test["score"], rendered(test["output"]) if test["output"] else ""] for test in row.tests],
    }


@cache
def template() -> jinja2.Template:
    """Return the page's template, which escapes all that is put into it."""
    loader = jinja2.FileSystemLoader(PAGE)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(named=named, inline=lambda text: Markup(RENDERER.renderInline(text)))
    return environment.get_template("class.html")


def page_of(overview: Overview) -> str:
    """Return ``class.html``, which needs nothing but a browser."""
    script, style = ((PAGE / name).read_text(encoding="utf-8") for name in ("class.js", "class.css"))
    tests = [
        [test["number"], test["name"], test["max_score"], test["extra_data"]["item"], test["visibility"]]
        for test in (overview.graded[0].tests if overview.graded else [])
    ]
    return template().render(
        overview=overview,
        places={row.name: place for place, row in enumerate(overview.rows)},
        feedback=map(feedback_of, overview.rows),
        tests=tests,
        kinds=KINDS,
        script=Markup(script),
        style=Markup(style),
        script_hash=hash_of(script),
    )


def hash_of(text: str) -> str:
    """Return what a page's Content-Security-Policy says of the one script that it lets run."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
