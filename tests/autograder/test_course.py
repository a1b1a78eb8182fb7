"""A class of 30 by the command that staff use: what was planted in it is what its page shows."""

import csv
import json
import re

import pytest
from browser import PROGRAM, Browser
from homework import write_homework
from page_parts import Page

from autograder import classroom
from autograder.__main__ import main
from autograder.assignment import load_assignment
from autograder.key import seed_of
from autograder.overview import Overview, Row, page_of
from autograder.roster import Entry, Student

RIGHT = "def mean(x):\n    return sum(x) / len(x)\n"
ALERT = "<script>alert(1)</script>"
PLANTED = {  # how many have it, and what their stats.py is
    "nothing": (11, RIGHT),
    "the sum is divided by n - 1": (6, RIGHT.replace("len(x)", "(len(x) - 1 or 1)")),
    "the sum is not divided": (4, "mean = sum\n"),
    "suspicion": (3, "import numpy as np\n\n\ndef mean(x):\n    return np.mean(x)\n"),
    "not importable": (2, "import statistic\n"),
    "ended": (2, "import os\n\n\ndef mean(x):\n    os._exit(3)\n"),
    "files": (1, None),
    "an error": (1, f"def mean(x):\n    raise ValueError('{ALERT}')\n"),
}
DUE = "2026-11-20 12:00Z".replace("Z", "+00:00")
LATE = 4


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Return the folder with the results of the class, and the number of the first of each kind."""
    parent = tmp_path_factory.mktemp("course")
    homework, export = write_homework(parent), parent / "export"
    number, metadata, first = 1000, [], {}
    for kind, (count, source) in PLANTED.items():
        first[kind] = number
        for _ in range(count):
            folder = export / f"submission_{number}"
            folder.mkdir(parents=True)
            if source is not None:
                (folder / "stats.py").write_text(source, encoding="utf-8")
            name = ALERT if kind == "an error" else f"Student {number}"
            day = 21 if number < 1000 + LATE else 19
            metadata += [
                f"submission_{number}:",
                "  :submitters:",
                f"  - :name: '{name}'\n    :sid: '00{number}'\n    :email: s{number}@example.org",
                f"  :created_at: 2026-11-{day} 20:54:16.284080000 Z",
                "  :results:\n    :tests: []",
            ]
            number += 1
    (export / "submission_metadata.yml").write_text("\n".join(metadata), encoding="utf-8")

    done = {}
    original = classroom.grade_one

    def grade_one(submission, *arguments):
        """Grade each kind once: what the grader does is tested elsewhere, and 30 gradings take long."""
        if submission.digest not in done:
            done[submission.digest] = original(submission, *arguments)
        return json.loads(json.dumps(done[submission.digest]))

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(parent)
        patch.setattr(classroom, "grade_one", grade_one)
        command = ["grade-all", "export", "--assignment", str(homework), "--jobs", "1", "--due", DUE]
        assert main([*command, "--results", "out"]) == 0
    assert len(done) == len(PLANTED)
    return parent / "out", first


def test_gradebook(planted):
    target, _ = planted
    with (target / "grades.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:6] == ["name", "email", "student number", "total", "late", "The mean"]
    assert len(rows) == 30
    by_number = {row["student number"]: row for row in rows}
    assert by_number["001000"]["email"] == "s1000@example.org"
    assert [row["late"] for row in rows].count("yes") == LATE
    for kind, (count, _) in PLANTED.items():
        totals = {"nothing": "3.0", "the sum is divided by n - 1": "1.0", "the sum is not divided": "1.0"}
        having = [by_number[f"00{planted[1][kind] + place}"] for place in range(count)]
        assert {row["total"] for row in having} == {totals.get(kind, "0.0")}
    problems = {kind: by_number[f"00{number}"]["problem"] for kind, number in planted[1].items()}
    assert problems["suspicion"] == "stats.py, line 5: numpy.mean is not allowed in mean"
    assert problems["not importable"].startswith("stats.py can't be imported: ModuleNotFoundError: ")
    assert problems["ended"] == "ended for ending Python in tests 1.1, 1.2"
    assert problems["files"] == "stats.py is missing."
    assert {problem for kind, problem in problems.items() if kind.startswith("the sum")} == {""}


def test_page_counts_what_was_planted(planted):
    """The bugs by how many have them, whom to look at and why, how many failed which test."""
    target, first = planted
    page = Page((target / "class.html").read_text(encoding="utf-8"))
    bugs = {row[1].split("Student")[0]: int(row[0]) for row in page.table("bugs")}
    assert bugs == {kind: count for kind, (count, _) in PLANTED.items() if kind.startswith("the sum")}
    assert list(bugs.values()) == sorted(bugs.values(), reverse=True)
    kinds = {kind: PLANTED[kind][0] for kind in ("suspicion", "not importable", "files", "ended")}
    assert len(page.table("first")) == sum(kinds.values())
    for kind, count in kinds.items():
        assert sum(row[2].startswith(kind) for row in page.table("first")) == count
    order = [row[2].split(" stats")[0].split(" ended ")[0] for row in page.table("first")]
    assert list(dict.fromkeys(order)) == list(kinds)
    wrong = 30 - PLANTED["nothing"][0]
    assert [(row[0], row[1]) for row in page.table("tests")] == [
        (str(wrong), "1.1"),
        (str(wrong - 10), "1.2"),
    ]
    assert len(page.table("students")) == 30
    summary = (target / "summary.md").read_text(encoding="utf-8")
    assert "- 6: the sum is divided by n - 1" in summary
    assert len(summary) < 2000
    assert f"s{first['an error'] - 1000}" in page.scripts


def test_inputs_are_those_of_the_platform(tmp_path, monkeypatch):
    """The number in a folder's name is the submission's id there, which ``run_autograder`` hands over."""
    homework = write_homework(tmp_path)
    test = homework / "test_stats.py"
    telling = 'raise AssertionError(f"seed {__import__("autograder.checks").checks.submission_seed}")'
    source = test.read_text(encoding="utf-8").replace("x = generator(0).normal(size=10)", telling)
    test.write_text(source.replace('f"seed', "f'seed").replace('seed}")', "seed}')"), encoding="utf-8")
    key = bytes(range(32))
    for name in ("submission_42", "Ada"):
        (tmp_path / "class" / name).mkdir(parents=True)
        (tmp_path / "class" / name / "stats.py").write_text(RIGHT, encoding="utf-8")
    options = {"jobs": 2, "key": key, "only": ["1.1"]}
    overview = classroom.grade_all(tmp_path / "class", load_assignment(homework), tmp_path / "out", **options)
    told = {row.name: row.tests[0]["output"] for row in overview.rows}
    digest = classroom.load(tmp_path / "class" / "Ada", ["stats.py"]).digest
    assert told == {"submission_42": f"seed {seed_of('42', key)}", "Ada": f"seed {seed_of(digest, key)}"}


# In a browser.

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def rows_shown(section):
    """Return JavaScript for the texts of those rows of a section's table that can be seen."""
    rows = f"[...document.querySelectorAll('#{section} tbody tr')]"
    return f"{rows}.filter(row => row.checkVisibility()).map(row => row.innerText)"


@needs_browser
@pytest.mark.parametrize("width", [1280, 400])
def test_page_in_a_browser(planted, browser, width):
    """It sorts, searches, shows a student's feedback; nothing of a student's runs, nothing is fetched."""
    target, first = planted
    browser.open(target / "class.html", width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert len(browser.evaluate(rows_shown("students"))) == 30

    click = "document.querySelector('#students th:nth-child(2) button').click()"
    totals = "[...document.querySelectorAll('#students tbody td:nth-child(2)')].map(cell => +cell.innerText)"
    for descending in (True, False):
        browser.evaluate(click)
        found = browser.evaluate(totals)
        assert found == sorted(found, reverse=descending)
        assert len(set(found)) > 1

    find = "const search = document.getElementById('search'); search.value = {!r};"
    find = "{{" + find + " search.dispatchEvent(new Event('input'))}}"
    browser.evaluate(find.format("student 1012"))
    (row,) = browser.evaluate(rows_shown("students"))
    assert "s1012@example.org" in row
    browser.evaluate(find.format(""))
    assert len(browser.evaluate(rows_shown("students"))) == 30

    place = first["the sum is not divided"] - 1000
    browser.evaluate(f"document.querySelector('#students a[href=\"#s{place}\"]').click()")
    shown = "document.querySelector('dialog[open]')?.innerText"
    wait = f"new Promise(done => setTimeout(() => done({shown}), 50))"
    feedback = browser.evaluate(wait)
    assert "Likely bug: the sum is not divided." in feedback
    assert "✗ 0 / 2" in feedback
    assert "✓ 1 / 1" in feedback
    browser.evaluate("document.querySelector('dialog button').click()")
    assert browser.evaluate(wait) is None

    browser.evaluate(f"location.hash = '#s{first['an error'] - 1000}'")
    assert f"ValueError: {ALERT}" in browser.evaluate(wait)
    assert browser.evaluate("document.querySelectorAll('main script, dialog script').length") == 0
    told = [method for method, _ in browser.events]
    assert "Page.javascriptDialogOpening" not in told
    assert "Runtime.exceptionThrown" not in told
    assert "Log.entryAdded" not in told, browser.events
    urls = [
        params["request"]["url"] for method, params in browser.events if method == "Network.requestWillBeSent"
    ]
    assert urls == [(target / "class.html").as_uri()]


@needs_browser
def test_colours(planted, browser):
    """Text has enough contrast by day and by night."""
    for scheme in ("light", "dark"):
        browser.open(planted[0] / "class.html", scheme=scheme)
        colours = browser.evaluate(
            "[document.body, document.querySelector('main a'), document.querySelector('td small')]"
            ".map(it => getComputedStyle(it).color).concat(getComputedStyle(document.body).backgroundColor)"
        )
        *texts, page = [luminance(colour) for colour in colours]
        assert (page > 0.5) == (scheme == "light")
        for text in texts:
            low, high = sorted((text, page))
            assert (high + 0.05) / (low + 0.05) > 4.5


def luminance(colour):
    """Return how bright a colour such as "rgb(1, 2, 3)" is, as WCAG has it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@needs_browser
def test_500_submissions(browser, tmp_path):
    """They are all there, with 80 tests each, of which 20 have failed with a long message.

    How long that takes is told, and not judged: it took half a second on a machine of 2 cores.
    """

    def test_document(place, student):
        failed = (place + student) % 4 == 0
        return {
            "number": f"1.{place}",
            "name": f"Layer {place}: forward",
            "score": 0.0 if failed else 1.25,
            "max_score": 1.25,
            "status": "failed" if failed else "passed",
            "visibility": "visible",
            "output": f"**The output {place} is wrong.**\n\n- expected 1\n\n" + "word " * 150
            if failed
            else "",
            "extra_data": {"item": f"Item {place // 8}", "bugs": [f"bug {place}"] if failed else []},
        }

    rows = []
    for student in range(500):
        tests = [test_document(place, student) for place in range(80)]
        document = {"score": 75.0, "output": "", "tests": tests, "extra_data": {}}
        entry = Entry((Student(f"Student {student}", f"s{student}@example.org", f"{student:06d}"),))
        rows.append(Row(f"submission_{student}", entry, document))
    page = tmp_path / "class.html"
    page.write_text(page_of(Overview("A large class", rows)), encoding="utf-8")
    browser.open(page)
    milliseconds = browser.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    print(f"500 submissions, {page.stat().st_size / 1e6:.1f} MB: loaded in {milliseconds / 1000:.2f} s")
    assert page.stat().st_size < 16e6
    assert browser.evaluate("document.getElementsByTagName('*').length") < 40_000
    assert browser.evaluate("document.querySelectorAll('#students tbody tr').length") == 500
