"""results.json: valid whatever the submission prints or says, whenever the writer is stopped."""

import json
import os
import re
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_traps import HOSTILE, RENDERER, TRAPPED, TRAPS, live_in

from autograder import results
from autograder.results import Grade, Outcome, ScoredTest, clean, defused, document, fenced, quoted, shorten

REPOSITORY = Path(__file__).resolve().parents[2]
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((REPOSITORY / "autograder" / "results.schema.json").read_text(encoding="utf-8"))
)
TESTS = tuple(
    ScoredTest(f"test_q1.Test.test_{place}", f"1.{place}", f"Layer {place}: forward", points, "visible", item)
    for place, (points, item) in enumerate([(0.1, "Dense"), (0.2, "Dense"), (10.0, "Softmax")])
)


def grade_with(message="", printed="", passed=False):
    return Grade(TESTS, {TESTS[0].id: Outcome(passed, message, printed, 0.5)}, notes=[message])


def check(document):
    """Check a document as Gradescope would read it, and return it."""
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text) == document
    SCHEMA.validate(document)
    for test in document["tests"]:
        assert 0 <= test["score"] <= test["max_score"]
    return document


def test_nothing_has_run_yet():
    written = check(document(Grade(TESTS)))
    assert [test["max_score"] for test in written["tests"]] == [0.1, 0.2, 10.0]
    assert [test["score"] for test in written["tests"]] == [0.0, 0.0, 0.0]
    assert written["score"] == 0
    assert "ended before all tests had run: 0 of 3 had" in written["output"]
    assert all("the autograder was ended before it" in test["output"] for test in written["tests"])


def test_says_that_it_was_ended_until_the_last_test_has_run():
    """Whoever kills the writer leaves no chance to say so afterwards."""
    grade = Grade(TESTS)
    for done, test in enumerate(TESTS):
        assert f"{done} of 3 had.** What follows is not the whole grade" in document(grade)["output"]
        grade.outcomes[test.id] = Outcome(passed=True)
    assert "ended" not in json.dumps(document(grade))


def test_points():
    grade = Grade(TESTS, {test.id: Outcome(passed=True) for test in TESTS[:2]})
    assert grade.items() == {"Dense": (0.3, 0.3), "Softmax": (0.0, 10.0)}
    written = check(document(grade))
    assert written["score"] == 0.3  # not 0.30000000000000004
    assert [test["status"] for test in written["tests"]] == ["passed", "passed", "failed"]
    assert re.search(r"Dense +\| 0\.3 / 0\.3", written["output"])


@settings(derandomize=True, deadline=None, database=None, max_examples=200)
@given(HOSTILE, HOSTILE, st.booleans())
def test_valid_whatever_is_said_or_printed(message, printed, passed):
    check(document(grade_with(message, printed, passed)))


@pytest.mark.parametrize("text", ["x" * 5_000_000, "`" * 100_000, "a\n" * 100_000, "```\n" * 50_000])
def test_long_texts_are_shortened(text):
    many = tuple(ScoredTest(f"t{n}", str(n), "name", 1.0, "visible", "item") for n in range(80))
    grade = Grade(many, {test.id: Outcome(False, text, text) for test in many}, notes=[text])
    written = check(document(grade))
    assert len(json.dumps(written)) < 200_000
    assert sum(len(test["output"]) for test in written["tests"]) < 100_000


def test_shorten_keeps_both_ends():
    text = "first" + "x" * 10_000 + "last"
    short = shorten(text, 500)
    assert len(short) <= 500
    assert short.startswith("first")
    assert short.endswith("last")
    assert "10,009 characters" in short
    assert shorten("short", 5) == "short"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("a\0b\x08c\x7fd", "abcd"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("windows\r\nlines", "windows\nlines"),
        ("10%\r50%\r100%\r\ndone", "100%\ndone"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        ("\u202ebackwards\u2066\u061c\u200b\ufeff", "backwards"),
        ("`" * 20, "`" * 9),
        ("größer, 中文, 🙂", "größer, 中文, 🙂"),
    ],
)
def test_clean(text, cleaned):
    assert clean(text) == cleaned


def inside_fence(block):
    """Return what is in a code block, after checking that it ends at the last line, by CommonMark's rules."""
    first, *lines, last = block.split("\n")
    fence = re.match("`+", first)[0]
    assert last == fence
    for line in lines:
        assert not re.match(rf" {{0,3}}{fence}`*\s*$", line), f"{line!r} closes the block"
    return "\n".join(lines)


@settings(derandomize=True, deadline=None, database=None)
@given(st.lists(st.sampled_from(["`", "```", "````\n", "\n", " ", "~~~", "<b>"]), max_size=30).map("".join))
def test_a_code_block_cannot_be_closed_from_inside(text):
    assert inside_fence(fenced(text)) == clean(text).strip("\n")


MESSAGES = ("{}", "**{}**", "`{}` is missing.\n\n- got {}\n- {}", "got {}: `{}`", "```\n{}\n```\n{}")


@settings(derandomize=True, deadline=None, database=None, max_examples=400)
@given(TRAPPED, st.sampled_from(MESSAGES))
@example("``` a|b\n-|-", "{}")
def test_nothing_of_a_student_s_is_live(text, message):
    """Whatever it is, wherever in a message it stands, and whether or not the message quotes it."""
    shown = document(grade_with(message.replace("{}", text), text))
    for output in (defused(message.replace("{}", text)), fenced(text), shown["tests"][0]["output"]):
        assert live_in(output) == [], output
        assert not any(unicodedata.category(char) in ("Cc", "Cf") for char in output if char not in "\t\n")
    assert [kind for kind, *_ in live_in(shown["output"])] == ["table_open"], "the table of points, no other"
    block = RENDERER.parse(quoted(text))
    assert [token.type for token in block[1].children] == ["code_inline"]


@pytest.mark.parametrize("text", TRAPS)
def test_what_would_be_live_is_code(text):
    shown = defused(f"expected 3, got {text} and more")
    assert re.sub(r"\W", "", clean(text)) in re.sub(r"\W", "", shown)  # no word is lost
    assert shown.startswith("expected 3, got") or text == "\r"
    assert live_in(shown) == []


def test_what_messages_are_made_of_stays():
    message = "**It is wrong.**\n\n```\nq1.py, line 3\n    x = y | z\n```\n\n- at [3, 4]: got 2.5\n- `a|b`"
    assert defused(message) == message


def test_an_open_code_block_is_closed():
    assert defused("got:\n```\nx = 1") == "got:\n```\nx = 1\n```"
    assert defused("````\n```\nx\n````") == "````\n```\nx\n````"
    assert defused("- a\n  ```\n# x") == "- a\n```\n# x\n```"  # not in the item, with which it would end
    long = defused("```\n" + "x\n" * 9_000 + "```")
    assert long.endswith("...\n```")


def test_what_was_printed_is_shown():
    output = document(grade_with("wrong shape", "debugging 1 2 3"))["tests"][0]["output"]
    assert output.index("wrong shape") < output.index("debugging 1 2 3")
    assert "debugging" not in document(grade_with("wrong shape"))["tests"][0]["output"]


def test_writing_leaves_nothing_beside(tmp_path):
    path = tmp_path / "results" / "results.json"
    results.write(path, Grade(TESTS))
    results.write(path, grade_with(passed=True))
    check(json.loads(path.read_text(encoding="utf-8")))
    assert json.loads(path.read_text(encoding="utf-8"))["score"] == 0.1
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


WRITER = """
import sys
import unicodedata
from pathlib import Path
from autograder.results import Grade, ScoredTest, Outcome, write

test = ScoredTest("t", "1", "name", 1.0, "visible", "item")
path = Path(sys.argv[1])
write(path, Grade((test,)))
print("written", flush=True)
while True:
    write(path, Grade((test,), {"t": Outcome(True, "x" * 100_000)}))
    write(path, Grade((test,)))
"""


def test_a_writer_that_is_killed_leaves_a_valid_document(tmp_path):
    path = tmp_path / "results.json"
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path], cwd=REPOSITORY, stdout=subprocess.PIPE
        )
        writer.stdout.readline()
        for _ in range(50):
            check(json.loads(path.read_text(encoding="utf-8")))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        check(json.loads(path.read_text(encoding="utf-8")))


def test_table():
    failing = Grade(
        TESTS,
        {
            TESTS[0].id: Outcome(True),
            TESTS[1].id: Outcome(False, "the bias is wrong"),
            TESTS[2].id: Outcome(True),
        },
        notes=["`q2.py` is missing."],
    )
    shown = results.table(failing)
    assert re.search(r"1\.1 +Layer 1: forward +0 +0\.2 +failed", shown)
    assert re.search(r"DENSE +0\.1 +0\.3", shown)
    assert re.search(r"TOTAL +10\.1 +10\.3", shown)
    assert "    the bias is wrong" in shown
    assert "`q2.py` is missing." in shown


def test_shown_to_somebody_who_has_had_enough(monkeypatch):
    """As ``| head`` does, who reads may hang up: what is left is lost, and nothing is raised."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        results.show("a table")
        results.show("more of it")
