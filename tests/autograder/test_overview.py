"""Tables, summary and page of a class: what they say, and that nothing of a student's in them is live."""

import csv
import io
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_traps import TRAPPED, live_in
from page_parts import Page

from autograder import classroom
from autograder.overview import (
    Overview,
    Row,
    feedback_of,
    page_of,
    rendered,
    summary_of,
    table_of_grades,
    table_of_tests,
)
from autograder.results import Grade, Outcome, ScoredTest, Signs, document
from autograder.roster import Entry, Roster, Student

pytestmark = pytest.mark.fast

REPOSITORY = Path(__file__).resolve().parents[2]

TESTS = [
    ScoredTest("t1", "1.1", "Dense", 4.0, "visible", "Layer"),
    ScoredTest("t2", "1.10", "Tanh", 2.0, "hidden", "Layer"),
    ScoredTest("t3", "2", "MLP", 4.0, "visible", "Network"),
]
WRONG = Outcome(False, "It is **wrong**.\n\nLikely bug: no bias.", signs=Signs(bugs=("no bias",)))
RIGHT = Outcome(True)


def row(name, *outcomes, students=Entry.students, trouble=(), late="", **options):
    """Return a submission with the outcomes of the first tests."""
    grade = Grade(tuple(TESTS), {test.id: it for test, it in zip(TESTS, outcomes, strict=False)}, **options)
    return Row(name, Entry(students), document(grade), trouble, late)


def cells(text):
    return list(csv.reader(io.StringIO(text)))


ADA, BOB = Student("Ada", "ada@example.org", "0815"), Student("Bob", "bob@example.org", "0816")


def test_tables():
    """Gradebooks want a row for each student; a tests' row is that of a submission."""
    rows = [
        row("s1", RIGHT, RIGHT, RIGHT, students=(BOB, ADA), late="yes"),
        row("s2", WRONG, RIGHT, RIGHT, late="no"),
        Row("s3", Entry(), None, ("it is a link",)),
    ]
    assert cells(table_of_grades(rows)) == [
        ["name", "email", "student number", "total", "late", "Layer", "Network", "problem", "submission"],
        ["", "", "", "6.0", "no", "2.0", "4.0", "", "s2"],
        ["", "", "", "", "", "", "", "it is a link", "s3"],
        ["Ada", "ada@example.org", "0815", "10.0", "yes", "6.0", "4.0", "", "s1"],
        ["Bob", "bob@example.org", "0816", "10.0", "yes", "6.0", "4.0", "", "s1"],
    ]
    assert cells(table_of_tests(rows)) == [
        ["submission", "1.1 Dense", "1.10 Tanh", "2 MLP"],
        ["s1", "4.0", "2.0", "4.0"],
        ["s2", "0.0", "2.0", "4.0"],
        ["s3", "", "", ""],
    ]


@pytest.mark.parametrize(
    ("found", "kind", "text"),
    [
        (Row("s", Entry(), None, ("it is a link",)), "not graded", "it is a link"),
        (row("s", trouble=("q.py is missing.",)), "files", "q.py is missing."),
        (
            row("s", unimportable={"q": "NameError: x"}),
            "not importable",
            "q.py can't be imported: NameError: x",
        ),
        (
            row("s", Outcome(False, signs=Signs(suspicions=("`a.b` is banned",)))),
            "suspicion",
            "a.b is banned",
        ),
        (
            row("s", *[Outcome(False, signs=Signs(ended="memory"))] * 2),
            "ended",
            "for memory in tests 1.1, 1.10",
        ),
        (row("s", Outcome(False, signs=Signs(ended="timeout"))), "ended", "for time in test 1.1"),
        (row("s", Outcome(False, signs=Signs(ended="garbled"))), "suspicion", "disturbed the grader"),
        (row("s", Outcome(True, signs=Signs(reference=True))), "reference", "4 points with the reference"),
        (row("s", warnings=["no Landlock"]), "sandbox", "no Landlock"),
    ],
)
def test_what_staff_must_look_at(found, kind, text):
    """In the problem column, and on the page."""
    (concern,) = found.concerns
    assert concern.kind == kind
    assert text in concern.text
    assert text in table_of_grades([found])
    assert Page(page_of(Overview("x", [found, row("other")]))).table("first")[0][2].startswith(kind)


def test_every_reason_has_words():
    """Each that a worker's end can have; the engine's list of them is in ``WorkerFailure``."""
    from autograder.overview import ENDED
    from autograder.sandbox import WorkerFailure

    told = set(WorkerFailure.__doc__.split('"')[1::2])
    assert told | {"deadline"} == {*ENDED, "garbled"}


def test_whom_to_look_at_first():
    """The most urgent, of these those with the fewest points; what is said of all is no reason."""
    warned = {"warnings": ["no Landlock"]}
    rows = [
        row("reference", Outcome(True, signs=Signs(reference=True)), **warned),
        row("some points", RIGHT, RIGHT, unimportable={"q": "x"}, **warned),
        row("no points", unimportable={"q": "x"}, **warned),
        row("fine", RIGHT, RIGHT, RIGHT, **warned),
        Row("none", Entry(), None, ("it is a link",)),
    ]
    assert [row.name for row in Overview("x", rows).first] == [
        "none",
        "no points",
        "some points",
        "reference",
    ]


def test_distributions():
    overview = Overview(
        "x", [row("a"), row("b", WRONG, RIGHT), row("c", RIGHT, RIGHT, RIGHT), Row("d", Entry(), None)]
    )
    layer, network = overview.items
    assert (overview.total.maximum, overview.total.full) == (10, 1)
    assert overview.total.counts == [1, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    assert (layer.points, layer.maximum, layer.full) == ([0, 2, 6], 6, 1)
    assert (network.mean, network.quartiles) == (pytest.approx(4 / 3), [0, 0, 2])
    assert [(test.number, test.failed) for test in overview.tests] == [("1.1", 2), ("2", 2), ("1.10", 1)]


def test_bugs_count_students():
    """A bug that several tests name counts once, and for each student of a group."""
    overview = Overview("x", [row("a", WRONG, WRONG, students=(ADA, BOB)), row("b", WRONG), row("c", RIGHT)])
    (bug,) = overview.bugs
    assert (bug.text, bug.tests, bug.students) == ("no bias", ["1.1", "1.10"], 3)
    assert "- 3: no bias" in summary_of(overview)


def test_nothing_graded():
    overview = Overview("x", [Row("a", Entry(), None, ("it is a link",))])
    assert summary_of(overview).startswith("# 0 submissions graded")
    assert "No submission has a grade." in page_of(overview)


def test_summary_fits_a_message():
    tests = tuple(
        ScoredTest(f"t{n}", f"1.{n}", "forward", 1.0, "visible", f"Item {n // 8}") for n in range(80)
    )
    bugs = {test.id: Outcome(False, signs=Signs(bugs=(f"bug {test.number}",))) for test in tests}
    rows = [Row(f"s{n}", Entry(), document(Grade(tests, bugs))) for n in range(20)]
    assert len(summary_of(Overview("x", rows)).splitlines()) < 30


def test_feedback_as_students_saw_it():
    found = feedback_of(row("s", WRONG, RIGHT))
    assert found["tests"][0] == [0, "<p>It is <strong>wrong</strong>.</p>\n<p>Likely bug: no bias.</p>\n"]
    assert found["tests"][1] == [2, ""]
    assert "<table>" in found["output"]
    page = Page(page_of(Overview("x", [row("s", WRONG, RIGHT)])))
    assert json.loads(page.scripts["s0"]) == found
    assert [test[4] for test in json.loads(page.scripts["all-tests"])] == ["visible", "hidden", "visible"]


def test_rows_of_the_class():
    """No submission gets lost, whatever the metadata know."""
    roster = Roster({"submission_1": Entry((ADA,)), "submission_3": Entry((BOB,)), "submission_4": Entry()})
    trouble = {"submission_1": (), "submission_2": (), "submission_4.zip": ()}
    trouble |= {chr(0xDCFE): (), chr(0xDCFF): ()}
    found = classroom.rows_of(trouble, {}, roster, None)
    assert [row.name for row in found] == ["?", "?", *(f"submission_{n}" for n in "123"), "submission_4.zip"]
    by_name = {row.name: row for row in found}
    assert by_name["submission_1"].entry.students == (ADA,)
    assert by_name["submission_1"].trouble == by_name["submission_4.zip"].trouble == ()
    assert by_name["submission_2"].trouble == ("the metadata do not have it, so nobody knows whose it is",)
    assert by_name["submission_3"].trouble == ("the metadata have it, and there is no such folder",)
    assert [row.trouble for row in classroom.rows_of({"a": ()}, {}, Roster(), None)] == [()]


# What students choose.

ODD = ["=1", "\t=1", "\0+1", "\n-1", "\r@x", "\u202e=1", "a;=1", 'a",=1', "＝1"]
TAGS = {"p", "strong", "em", "code", "pre", "ul", "ol", "li"} | {"table", "thead", "tbody", "tr", "th", "td"}


def class_of(text):
    """Return a class in which students have chosen whatever they can choose."""
    signs = Signs(bugs=(f"x{text}",), suspicions=(text,), ended="exit")
    outcome = Outcome(False, text, text, signs=signs)
    student = Student(*[f"x{text}"] * 3)
    graded = row(text, outcome, students=(student,), unimportable={"q": text}, notes=[text], trouble=(text,))
    return Overview("x", [graded, Row(f"{text}.zip", Entry(), None, (text,))], [text])


@settings(derandomize=True, deadline=None, database=None, max_examples=80)
@given(TRAPPED | st.sampled_from(ODD))
def test_no_cell_is_a_formula(text):
    for table in (table_of_grades, table_of_tests):
        for separator in ",;\t":  # of the cells, which some spreadsheets choose by the country
            for found in csv.reader(io.StringIO(table(class_of(text).rows)), delimiter=separator):
                assert not any(cell.startswith(tuple("=+-@\t\r\n＝＋－＠")) for cell in found)
                assert separator != ";" or len(found) == 1


@settings(derandomize=True, deadline=None, database=None, max_examples=80)
@given(TRAPPED)
def test_nothing_in_the_summary_is_live(text):
    kinds = [kind for kind, *_ in live_in(summary_of(class_of(text)))]
    assert kinds == ["heading_open", "table_open"]


@cache
def harmless_tags():
    return Page(page_of(class_of("x"))).tags


LIVE = ["</script><script>", "<!--<script>", "]]>", '" onload="x', "{{ 1 }}", "{% x %}"]


@settings(derandomize=True, deadline=None, database=None, max_examples=40)
@given(TRAPPED | st.sampled_from(LIVE))
def test_nothing_on_the_page_is_live(text):
    """Its elements are those that it has for a harmless text, and feedback has the tags of Markdown alone."""
    page = Page(page_of(class_of(text)))
    inline = ("code", "strong", "em")  # all that the words for a bug may have
    found, harmless = (
        [it for it in tags if it not in [(tag, []) for tag in inline]]
        for tags in (page.tags, harmless_tags())
    )
    assert found == harmless
    for name, script in page.scripts.items():
        if name.startswith("s"):
            found = json.loads(script)
            for html in [found["output"], *(html for _, html in found["tests"])]:
                for tag, attributes in Page(f"<section id=x><table><tr>{html}").tags[3:]:
                    assert tag in TAGS
                    assert all(name in ("class", "start") for name, _ in attributes)


@settings(derandomize=True, deadline=None, database=None, max_examples=80)
@given(TRAPPED)
def test_not_even_raw_feedback_would_be(text):
    """What is rendered is defused already; that is not what the page relies on."""
    for tag, _ in Page(f"<section id=x><table><tr>{rendered(text)}").tags[3:]:
        assert tag in TAGS


def test_the_page_needs_nothing():
    """No address of anything is in it, and its policy lets nothing be fetched."""
    text = page_of(class_of("x"))
    assert "default-src 'none'" in text
    assert not [
        value for _, attributes in Page(text).tags for name, value in attributes if name in ("src", "action")
    ]
    links = [dict(attributes)["href"] for tag, attributes in Page(text).tags if tag == "a"]
    assert links
    assert all(link.startswith("#") for link in links)


def test_grading_alone_takes_none_of_this():
    """On Gradescope memory is short."""
    told = "import autograder.__main__, sys; print({'yaml', 'jinja2', 'markdown_it'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", told], cwd=REPOSITORY, capture_output=True, encoding="utf-8")
    assert done.stdout == "set()\n", done.stderr
