"""A submission's grade, and ``results.json`` as Gradescope reads it.

The document is written before the first test, with every test at 0 points, and again after each test. Until
the last one has run it says that the autograder was ended before that. So a writer that is killed at any
moment leaves a valid document with the same maximum, which says so.
Everything in it that the submission can influence is cleaned, shortened, and fenced in.
"""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tabulate import tabulate

TEXT_LIMIT = 60_000  # characters of all outputs together; Gradescope cuts at 100,000
TEST_LIMIT = 4_000  # characters of one test's output
ENDED = (
    "**The autograder was ended before all tests had run: {done} of {all} had.** What follows is not the"
    " whole grade. Please tell the course staff."
)

WIDEST = 140  # columns of a terminal that are used
OTHER_COLUMNS = 38  # of the table than those of the tests' names

QUOTE_LIMIT = 200  # characters of a name in the middle of a sentence

ESCAPE_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
# Unicode's categories of what shows nothing: control characters, marks that join letters or change the
# direction of the text around them, lone surrogates, private ones, those not assigned, line separators.
UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
LONG_FENCES = re.compile("(`{9}|~{9})[`~]+")

FENCE = re.compile(r" {0,3}(`{3,})([^`]*)")
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
MARKERS = re.compile(r"\s*(?:(?:[-*+]|\d{1,9}[.)])(?:\s+|$))*")  # of lists, at the beginning of a line
RULE = re.compile(r"[-=:*_+|\s]+")  # makes a heading of the line above, or a table, or a rule
LIVE_AT_START = re.compile(r"[#>]|\[(?![^][\\]*](?!:))")  # headings, quotations, definitions of links
LIVE = re.compile(
    r"<[A-Za-z/!?]|]\(|//\S|\S@\S"  # tags, links and images, addresses
    r"|[^\s.]\.[^\W\d_]{2}"  # names of hosts, which some renderers take for links
    r"|&[#\w]|\\[!-/:-@[-`{-~]"  # what is another character once it is rendered
    r"|__|~~|\$\$|\|"
)


@dataclass(frozen=True)
class ScoredTest:
    """One test that carries points.

    Attributes:
        id: module, class and method, as unittest names them.
        number: where Gradescope sorts it, such as "1.1.2".
        name: the first line of the test's docstring.
        points: what it is worth.
        visibility: when students see it, in Gradescope's words.
        item: what it belongs to: the first line of its class's docstring.
    """

    id: str
    number: str
    name: str
    points: float
    visibility: str
    item: str


@dataclass(frozen=True)
class Signs:
    """What course staff want to know of a test, and Gradescope does not show to students.

    Attributes:
        bugs: the likely ones, in the words of the tests.
        suspicions: what is banned, out of sight, or done by something else, in the words of the tests.
        ended: why the student's code was ended, as ``WorkerFailure.reason`` has it, or "deadline" where no
            time was left; else empty.
        reference: whether points are there only because stand-ins took the place of the student's modules.
    """

    bugs: tuple[str, ...] = ()
    suspicions: tuple[str, ...] = ()
    ended: str = ""
    reference: bool = False


@dataclass(frozen=True)
class Measure:
    """A row of Gradescope's leaderboard.

    Attributes:
        name: of the column.
        value: a finite number.
        order: "desc" where more is better, "asc" where less is.
    """

    name: str
    value: float
    order: str


@dataclass(frozen=True)
class Outcome:
    """What came of one test.

    Attributes:
        passed: whether it earns all of its points.
        message: Markdown for the student.
        printed: what the submission printed meanwhile, as it came.
        seconds: how long the test took.
        earned: points for those of its steps that are right, where it has not passed.
        signs: what course staff want to know of it.
    """

    passed: bool
    message: str = ""
    printed: str = ""
    seconds: float = 0.0
    earned: float = 0.0
    signs: Signs = field(default_factory=Signs)


@dataclass
class Grade:
    """All graded tests, and the outcomes of those that have run.

    Attributes:
        tests: in the order in which they run.
        outcomes: by the test's id; a test without one has no points yet.
        notes: Markdown about the submission as a whole, for the student.
        warnings: plain text for course staff, never shown to students.
        unimportable: why a module can't be imported, in plain text for course staff, by the module's name.
        leaderboard: what is measured of the submission, where the assignment wants that shown.
        seconds: how long the grading has taken so far.
    """

    tests: tuple[ScoredTest, ...]
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unimportable: dict[str, str] = field(default_factory=dict)
    leaderboard: list[Measure] = field(default_factory=list)
    seconds: float = 0.0

    def score(self, test: ScoredTest) -> float:
        """Return a test's points: all, none, or those of the steps that are right."""
        outcome = self.outcomes.get(test.id)
        if outcome is None:
            return 0.0
        return test.points if outcome.passed else outcome.earned

    @property
    def total(self) -> float:
        """The points of all tests together."""
        return exact_sum(map(self.score, self.tests))

    @property
    def maximum(self) -> float:
        """The points that a perfect submission gets."""
        return exact_sum(test.points for test in self.tests)

    def items(self) -> dict[str, tuple[float, float]]:
        """Return the points and the maximum of each item, in the order of the tests."""
        grouped: dict[str, list[ScoredTest]] = {}
        for test in self.tests:
            grouped.setdefault(test.item, []).append(test)
        return {
            item: (exact_sum(map(self.score, tests)), exact_sum(test.points for test in tests))
            for item, tests in grouped.items()
        }


def exact_sum(points: Iterable[float]) -> float:
    """Return a sum in which hundredths of a point don't gather rounding errors."""
    return round(math.fsum(points), 6)


# ---------------------------------------------------------------------------------------------------
# Text that the submission can influence
# ---------------------------------------------------------------------------------------------------


def clean(text: str) -> str:
    """Return text without escape sequences and characters that can't be seen.

    As in a terminal, a carriage return starts its line again, so only the last state of a progress bar
    is kept. Of a run of backticks or tildes nine are kept, lest what fences it in be longer than the text.
    """
    text = ESCAPE_SEQUENCES.sub("", text).replace("\r\n", "\n")
    text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    text = "".join(char for char in text if char in "\t\n" or unicodedata.category(char) not in UNPRINTABLE)
    return LONG_FENCES.sub(r"\1", text)


def shorten(text: str, limit: int) -> str:
    """Return text of at most ``limit`` characters: its beginning, its end and how much is left out."""
    if len(text) <= limit:
        return text
    gap = f"\n... {len(text):,} characters, most of them left out ...\n"
    kept = max(limit - len(gap), 0)
    head = kept * 2 // 3
    return (text[:head] + gap + text[len(text) - (kept - head) :])[:limit]


def fenced(text: str, limit: int = TEST_LIMIT) -> str:
    """Return a Markdown code block of at most about ``limit`` characters that its text can't close."""
    text = clean(shorten(text, limit)).strip("\n")
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def quoted(text: str, limit: int = QUOTE_LIMIT) -> str:
    """Return Markdown that shows a text as code, on one line and of at most about ``limit`` characters."""
    line = " ".join(clean(shorten(text, limit)).split()).replace("`", "'")
    return f"`{line or ' '}`"


def one_line(text: str) -> str:
    """Return a text without line breaks and characters that can't be shown; lone surrogates become a ?."""
    return " ".join(clean(text.encode("utf-8", "replace").decode()).split())


def defused(markdown: str, limit: int = TEST_LIMIT) -> str:
    """Return Markdown of not much more than ``limit`` characters in which nothing is live.

    A message of the tests may quote the submission in the middle of a sentence, so nobody can tell any more
    which part of it is whose. Of all Markdown it keeps what messages are made of: paragraphs, items of lists,
    emphasis, code and code blocks. Whatever a renderer could take for a link, an image, a tag, a heading or a
    table is turned into code. A code block that is still open at the end is closed.
    """
    if len(markdown) > limit:
        markdown = markdown[:limit] + " ..."
    lines: list[str] = []
    size, fence = 0, ""
    for line in clean(markdown).strip().split("\n"):
        found = FENCE.fullmatch(line)
        if fence:
            if found and found[1].startswith(fence) and not found[2].strip():
                line, fence = fence, ""
        elif found:
            fence, word = found[1], found[2].strip()
            # Not indented, or the block could end with the item of a list; nothing beside it, or it could be
            # the first row of a table.
            line = f"{fence}{word}" if re.fullmatch(r"\w*", word) else f"{fence}\n{word}"
        else:
            line = defused_line(line)
        size += len(line) + 1
        if size > 1.3 * limit:  # most of it had to be turned into code
            lines.append("..." if lines else quoted(line, limit))
            break
        lines.append(line)
    return "\n".join([*lines, fence] if fence else lines)


def defused_line(line: str) -> str:
    """Return a line outside of code blocks, with all that could be live in it as code.

    Each run of backticks in it has its partner in it, so that no other line has a part in what is code.
    """
    line = re.sub(r"\\+(?=`)", "", line)  # a backslash would part such a pair
    if line.strip() and RULE.fullmatch(line):
        return f"`{line.strip()}`"
    marks = MARKERS.match(line)[0]  # type: ignore[index]
    rest = line[len(marks) :]
    parts = [marks]

    def add(part: str) -> None:
        parts.append(f" {part}" if parts[-1].endswith("`") and part.startswith("`") else part)

    place, live = 0, LIVE_AT_START.match(rest)
    for span in [*CODE_SPAN.finditer(rest), None]:
        for word in re.findall(r"\s+|\S+", rest[place : span.start() if span else len(rest)]):
            word = word.replace("`", "'")
            add(f"`{word}`" if live or LIVE.search(word) else word)
            live = None
        if span:
            add(span[0])
            place, live = span.end(), None
    return "".join(parts)


# ---------------------------------------------------------------------------------------------------
# The document
# ---------------------------------------------------------------------------------------------------


def document(grade: Grade) -> dict[str, Any]:
    """Return what ``results.json`` holds: plain dicts, lists, strings, and finite numbers."""
    limit = min(TEST_LIMIT, TEXT_LIMIT // max(1, len(grade.tests)))
    board = {"leaderboard": [asdict(measure) for measure in grade.leaderboard]} if grade.leaderboard else {}
    unimportable = {module: one_line(why)[:QUOTE_LIMIT] for module, why in grade.unimportable.items()}
    return {
        "score": grade.total,
        "execution_time": round(grade.seconds, 2),
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "output": summary(grade),
        "output_format": "md",
        "test_output_format": "md",
        "test_name_format": "text",
        # For staff: Gradescope does not show it to students.
        "extra_data": {"warnings": grade.warnings, "unimportable": unimportable},
        "tests": [test_document(test, grade, limit) for test in grade.tests],
        **board,
    }


def summary(grade: Grade) -> str:
    """Return the page's first lines in Markdown: what concerns all tests, and the points per item."""
    rows = [(item, f"{points:g} / {maximum:g}") for item, (points, maximum) in grade.items().items()]
    rows.append(("**Total**", f"**{grade.total:g} / {grade.maximum:g}**"))
    table = tabulate(rows, headers=["Item", "Points"], tablefmt="github")
    notes = [defused(note) for note in grade.notes]
    done = sum(test.id in grade.outcomes for test in grade.tests)
    if done < len(grade.tests):
        notes.insert(0, ENDED.format(done=done, all=len(grade.tests)))
    return "\n\n".join([*notes, table])


def test_document(test: ScoredTest, grade: Grade, limit: int) -> dict[str, Any]:
    """Return one test as Gradescope wants it, with an output of about ``limit`` characters at most."""
    ended = Outcome(passed=False, message="This test has not run: the autograder was ended before it.")
    outcome = grade.outcomes.get(test.id, ended)
    output = defused(outcome.message, limit * 2 // 3)
    if outcome.printed.strip():
        output += f"\n\nYour code printed:\n\n{fenced(outcome.printed, limit // 3)}"
    return {
        "number": test.number,
        "name": test.name,
        "score": grade.score(test),
        "max_score": test.points,
        "status": "passed" if outcome.passed else "failed",
        "visibility": test.visibility,
        "output": output.strip(),
        "output_format": "md",
        "extra_data": {
            "id": test.id,
            "item": test.item,
            "seconds": round(outcome.seconds, 2),
            **signs_document(outcome.signs),
        },
    }


def signs_document(signs: Signs) -> dict[str, Any]:
    """Return those of the signs that there are, each text on one line."""
    return {
        name: [one_line(text)[:QUOTE_LIMIT] for text in value] if isinstance(value, tuple) else value
        for name, value in vars(signs).items()
        if value
    }


def write(path: Path, grade: Grade) -> None:
    """Write ``results.json`` in one step: whoever reads ``path`` finds the old document or the new one."""
    text = json.dumps(document(grade), indent=1, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file as ``replacing`` does; what is no valid Unicode becomes a ?."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8", errors="replace")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Hand out a path to write to; only when all is written does it take the place of ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def table(grade: Grade) -> str:
    """Return a grade for a terminal of this width: a row per test, the items' sums, then what went wrong."""
    width = min(shutil.get_terminal_size((WIDEST, 0)).columns, WIDEST)
    rows: list[tuple[str, ...]] = []
    for item, (points, maximum) in grade.items().items():
        for test in grade.tests:
            if test.item == item:
                mark = "" if grade.score(test) == test.points else "failed"
                rows.append((test.number, test.name, f"{grade.score(test):g}", f"{test.points:g}", mark))
        rows.append(("", item.upper(), f"{points:g}", f"{maximum:g}", ""))
    rows.append(("", "TOTAL", f"{grade.total:g}", f"{grade.maximum:g}", ""))
    headers = ["Number", "Test", "Points", "Of", ""]
    name_width = max(width - OTHER_COLUMNS, 20)
    lines = [
        tabulate(
            rows,
            headers,
            tablefmt="simple",
            disable_numparse=True,
            maxcolwidths=[None, name_width, None, None, None],
            colalign=("left", "left", "right", "right", "left"),
        )
    ]
    told: dict[str, list[ScoredTest]] = {}
    for test in grade.tests:
        output = test_document(test, grade, TEST_LIMIT)["output"]
        if output and grade.score(test) < test.points:
            told.setdefault(output, []).append(test)
    for output, tests in told.items():
        lines += ["", *(line for test in tests for line in wrapped(f"{test.number} {test.name}", width))]
        lines += wrapped(output, width, "    ")
    for note in grade.notes:
        lines += ["", *wrapped(defused(note), width)]
    return "\n".join(lines)


def wrapped(markdown: str, width: int, indent: str = "") -> list[str]:
    """Return Markdown as lines of at most so many columns, save for what is in code blocks."""
    lines: list[str] = []
    in_code = False
    for line in markdown.split("\n"):
        in_code ^= line.startswith("```")
        if in_code or not line.strip():
            lines.append(f"{indent}{line}".rstrip())
        else:
            deeper = indent + " " * len(MARKERS.match(line)[0])  # type: ignore[index]
            lines += textwrap.wrap(
                line, width, initial_indent=indent, subsequent_indent=deeper, break_on_hyphens=False
            )
    return lines


def show(text: str) -> None:
    """Print a text, unless whoever reads it has had enough."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
