"""Gradescope's submission_metadata.yml: what is in it is read, what is broken leaves columns empty."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from markdown_traps import TRAPPED

from autograder import roster
from autograder.__main__ import main
from autograder.roster import Entry, Student, read_roster

pytestmark = pytest.mark.fast

EXPORT = """\
submission_1:
  :submitters:
  - :name: Zoë Ångström
    :sid: '0815'
    :email: zoe@example.org
  - :name: "No"
    :sid: 0017
    :email:
  :created_at: 2026-11-29 20:54:16.284080000 Z
  :score: 95.0
  :status: :processed
  :results: !ruby/hash:ActiveSupport::HashWithIndifferentAccess
    tests: &tests
    - {score: 1.0, output: "**wrong**"}
  :history: [*tests]
submission_2:
  :submitters:
  - {name: 'Ada', sid: 1e3, email: ada@example.org}
  :created_at: !ruby/object:ActiveSupport::TimeWithZone
    utc: 2026-11-29 20:54:16 Z
    zone: !ruby/object:ActiveSupport::TimeZone {name: Etc/UTC}
"""


def write(folder, text):
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    (folder / roster.FILE).write_bytes(content)
    return read_roster(folder)


def test_export(tmp_path):
    """Student numbers and names stay the texts that they are; Ruby's tags make nothing."""
    found = write(tmp_path, EXPORT)
    assert found.problem == ""
    one, two = found.entries["submission_1"], found.entries["submission_2"]
    assert one.students == (
        Student("Zoë Ångström", "zoe@example.org", "0815"),
        Student("No", "", "0017"),
    )
    assert two.students == (Student("Ada", "ada@example.org", "1e3"),)
    assert one.created_at == datetime(2026, 11, 29, 20, 54, 16, 284080, tzinfo=timezone.utc)
    assert two.created_at == datetime(2026, 11, 29, 20, 54, 16, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "- a",
        "just text",
        "a: [b",
        b"\xff\xfe\x00",
        b"a: \xff",
        "[" * 5000,
        "? [a]\n: b",
        "&a [*a]",
        "a: &a {b: *a}",
    ],
)
def test_broken(tmp_path, text):
    """Nobody's name is known then, and it is said why."""
    found = write(tmp_path, text)
    assert found.entries == {}
    assert "submission_metadata.yml can't be read, so nobody's name is known: " in found.problem
    assert "\n" not in found.problem


def test_a_folder_in_its_place(tmp_path):
    (tmp_path / roster.FILE).mkdir()
    assert "can't be read" in read_roster(tmp_path).problem


def test_none(tmp_path):
    assert read_roster(tmp_path) == roster.Roster()


@pytest.mark.parametrize(
    "text",
    [
        "s: ~", "s: text", "s: []", "s: {}", "s: {submitters: text}", "s: {submitters: []}",
        "s: {submitters: [[], text, {}]}", "s: {submitters: [{name: [a]}], created_at: [b]}",
        "s: {created_at: 2026-13-45 10:00:00}", "s: {created_at: 2026-11-29}", "s: {created_at: '['}",
    ],
)  # fmt: skip
def test_odd_entries(tmp_path, text):
    """What can't be understood is not known, and costs nobody else anything."""
    found = write(tmp_path, f"{text}\nother: {{submitters: [{{name: Ada}}]}}")
    assert set(found.entries["s"].students) == {Student()}
    assert found.entries["s"].created_at is None
    assert found.entries["other"] == Entry((Student("Ada"),))


@settings(derandomize=True, deadline=None, database=None, max_examples=100)
@given(text=TRAPPED)
def test_whatever_it_says(tmp_path_factory, text):
    write(tmp_path_factory.getbasetemp(), text)


@pytest.mark.parametrize("text", ["tomorrow", "2026-11-29", "2026-13-01 10:00", ""])
def test_no_due_date(tmp_path, capsys, text):
    with pytest.raises(SystemExit):
        main(["grade-all", str(tmp_path), "--due", text])
    assert "expected a day and a time, as in '2026-11-29 23:59', got" in capsys.readouterr().err


def test_late():
    from autograder.__main__ import moment
    from autograder.overview import lateness

    due = moment("2026-11-29 23:59+01:00")
    assert due == datetime(2026, 11, 29, 22, 59, tzinfo=timezone.utc)
    assert moment("2026-11-29 23:59").tzinfo is not None
    assert lateness(due, due) == "no"
    assert lateness(due + timedelta(seconds=1), due) == "yes"
    assert lateness(None, due) == lateness(due, None) == ""
