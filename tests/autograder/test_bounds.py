"""Whatever a submission sends, hands in or says, the grader takes little memory and little time for it."""

import bz2
import contextlib
import io
import itertools
import json
import math
import os
import random
import socket
import struct
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from reference import References

from autograder import policy, submission
from autograder.bounds import bounded
from autograder.remote import RemoteObject, Session, SubmissionError
from autograder.results import Grade, Outcome, ScoredTest, document
from autograder.sandbox import WorkerFailure
from autograder.submission import BadSubmissionError

MIB = 2**20
SIZE = struct.Struct("!I")
GIVEN_UP = (SubmissionError, WorkerFailure)


def status(name):
    """Return an entry of this process's status, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


@contextlib.contextmanager
def at_most(mib, seconds=5):
    """Check that the process computes for no longer, and never has more memory than it has now, and this."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak is now what it is now
    before, start = status("VmRSS"), time.thread_time()
    yield
    assert status("VmHWM") - before < mib
    assert time.thread_time() - start < seconds


class Sender:
    """A worker that sends some bytes again and again, whatever it is asked."""

    def __init__(self, *answers, forever=False):
        self.socket, self.other = socket.socketpair()
        self.answers = itertools.chain(answers, itertools.repeat(answers[-1])) if forever else answers
        self.thread = threading.Thread(target=self.send)
        self.thread.start()

    def send(self):
        with contextlib.suppress(OSError):
            for answer in self.answers:
                self.other.sendall(answer)
            self.other.shutdown(socket.SHUT_WR)

    def check(self):
        """Have no limits."""

    def failure(self):
        return WorkerFailure("exit", "ended")

    def close(self):
        self.socket.close()
        self.thread.join()
        self.other.close()


@contextlib.contextmanager
def session_with(*answers, forever=False, references=None):
    worker = Sender(*answers, forever=forever)
    try:
        session = Session(worker, references and references.answer)
        session.channel.send = lambda header, arrays: None  # nobody listens
        yield session
    finally:
        worker.close()


def overdue():
    return TimeoutError()


def frame(header, *files):
    parts = [header if isinstance(header, bytes) else json.dumps(header).encode(), *files]
    data = b"".join(SIZE.pack(len(part)) + part for part in parts)
    return SIZE.pack(len(data)) + data


def npy(shape, dtype="<f8", size=None):
    """Return a file of zeros, or one that says so, with as many bytes of them as are given."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    full = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=object))
    return file.getvalue() + bytes(full if size is None else size)


VALUE = {"value": {"array": 0}}
FULL = 60 * MIB
REPLIES = {
    "nothing but parts": lambda: SIZE.pack(FULL) + bytes(FULL),
    "very many arrays": lambda: frame(VALUE, *[npy((1,))] * 100_000),
    "very many rows of nothing": lambda: frame(VALUE, npy((2**31 - 1, 0))),
    "rows of nothing on both sides": lambda: frame(VALUE, npy((10**6, 0, 10**6))),
    "many rows of nothing, often": lambda: frame(VALUE, *[npy((10**6, 0))] * 1000),
    "millions of small images": lambda: frame(VALUE, npy((20 * MIB, 1, 1), "|b1")),
    "lists in a list": lambda: frame(b'{"value": {"list": [' + b'{"list":[]},' * 70_000 + b"1]}}"),
    "dicts in a list": lambda: frame(b'{"value": [' + b"{}," * 340_000 + b"1]}"),
    "many numbers": lambda: frame(b'{"value": [' + b"0," * 500_000 + b"1]}"),
    "a long text": lambda: frame({"value": "x" * FULL}),
    "a long text of wide letters": lambda: frame('{"value": "\U0001f600'.encode() + b"x" * 1_000_000 + b'"}'),
    "a long number": lambda: frame(b'{"value": 1' + b"0" * 1_000_000 + b"}"),
    "many dimensions": lambda: frame(VALUE, npy((1,) * 2000)),
    "more than it says": lambda: frame(VALUE, npy((MIB,), size=0)),
    "frames of a traceback": lambda: frame({"error": 3, "frames": [["q1.py", 1, "x"]] * 20_000}),
}


@pytest.mark.parametrize("kind", REPLIES)
def test_a_reply(kind):
    data = REPLIES[kind]()
    with session_with(data) as session, at_most(180):
        with contextlib.suppress(*GIVEN_UP):
            value = session.request("get", None, "x")
            assert math.prod(max(size, 1) for size in np.shape(value)) < 10 * MIB
        del data


def test_replies_of_all_sizes():
    """Frames whose parts have been drawn from what is nothing, usual, just allowed and far too much."""
    source = random.Random(0)
    sizes = [0, 0, 1, 3, 1000, 10**6, 2**31 - 1]
    with at_most(300, seconds=20):
        for _ in range(150):
            shapes = [tuple(source.choices(sizes, k=source.randrange(4))) for _ in range(source.randrange(3))]
            files = [npy(shape, "|u1", min(np.prod(shape, dtype=object), 10**6)) for shape in shapes]
            kind = source.choice(["array", "tensor", "scalar", "list", "dict", "tuple"])
            content = source.choice([0, [], [{"array": 0}] * source.choice(sizes[:5]), [["a", 0]] * 1000])
            header = {
                source.choice(["value", "ask"]): {kind: content},
                "padding": "x" * source.choice(sizes[:6]),
            }
            data = frame(header, *files * source.choice([0, 1, 1, 5000 if sum(map(len, files)) < 500 else 1]))
            with session_with(data) as session, contextlib.suppress(*GIVEN_UP):
                session.request("get", None, "x")


@pytest.mark.parametrize(
    "values",
    [
        lambda: frame({"value": {"list": [{"array": 0}]}}, npy((MIB // 2,))),
        lambda: frame({"value": {"list": [{"array": 0}]}}, npy((4 * MIB,), "|b1")),
        lambda: frame({"value": {"list": [{"object": 1}] * 200}}),
        lambda: frame({"value": {"list": [{"list": []}] * 20_000}}),
        lambda: frame({"value": {"list": ["x" * 500_000]}}),
    ],
    ids=["arrays", "small numbers", "objects", "lists", "texts"],
)
def test_an_iterator_without_end(values):
    """A test that wants all parameters of a model, which yields new ones again and again."""
    with session_with(frame({"value": {"object": 0}}), values(), forever=True) as session, at_most(180):
        session.channel.budget /= 8  # or else this takes as long
        model = RemoteObject(session, 0, "object")
        with pytest.raises(WorkerFailure, match="more than the autograder takes"):
            kept = []
            for value in model:
                kept.append(value)
                assert not isinstance(value, np.ndarray) or 8 * len(kept) * value.size <= 160 * MIB
        with pytest.raises(WorkerFailure):
            model.more  # noqa: B018


def test_memory_that_is_not_there_ends_a_conversation():
    answer = frame({"value": {"list": [{"array": 0}]}}, npy((4 * MIB,)))
    with (
        session_with(frame({"value": {"object": 0}}), answer, forever=True) as session,
        at_most(180),
        bounded(60, overdue, memory=128 * MIB),
        pytest.raises(WorkerFailure, match="memory for"),
    ):
        [*iter(RemoteObject(session, 0, "object"))]


def question(verb, *details):
    return {"ask": {"list": [verb, *details]}}


def make(kind, *args, **kwargs):
    return question(0, kind, {"tuple": list(args)}, {"dict": [list(pair) for pair in kwargs.items()]})


def run(method, *args, values=()):
    return question(1, 0, method, {"tuple": list(args)}, {"tuple": list(values)})


WIDE = make(0, 1, 1_000_000)
QUESTIONS = {
    "a wide layer for many rows": [frame(WIDE), frame(run(1, {"array": 0}), npy((MIB, 1)))],
    "a deep layer for many rows": [
        frame(make(0, 1_000_000, 1)),
        frame(run(1, {"array": 0}), npy((1, 1_000_000))),
        frame(run(2, {"array": 0}), npy((MIB, 1))),
    ],
    "many wide layers": [frame(WIDE)] * 50,
    "a text for a size": [frame(make(0, "x" * 500_000, 10**6))],
    "a list for a size": [frame(make(0, {"list": [1] * 10_000}, 10**6))],
    "arrays for sizes": [frame(make(0, {"array": 0}, {"array": 1}), npy((MIB, 1)), npy((1, MIB)))],
    "steps of many sizes": [
        frame(make(0, 1, 1000)),
        frame(run(1, {"array": 0}), npy((2, 1))),
        frame(run(2, {"array": 0}), npy((2, 1000))),
        frame(run(3, {"array": 0}), npy((MIB, 1, 1))),
    ],
    "a softmax of very much": [frame(make(3)), frame(run(1, {"array": 0}), npy((7 * MIB,)))],
    "one label for very many": [
        frame(make(4)),
        frame(run(1, {"array": 0}, {"array": 1}), npy((3 * MIB, 1)), npy((3 * MIB,), "<i8")),
    ],
    "the same again and again": [frame(make(1)), *[frame(run(1, {"array": 0}), npy((2 * MIB,)))] * 20],
}


@pytest.mark.parametrize("kind", QUESTIONS)
def test_a_question_of_a_stand_in(kind):
    with (
        session_with(*QUESTIONS[kind], references=References(["q1"])) as session,
        at_most(420),
        bounded(60, overdue),
        contextlib.suppress(*GIVEN_UP),
    ):
        session.request("get", None, "x")


def test_what_a_test_makes_of_it_is_bounded_too():
    with at_most(300):
        with pytest.raises(MemoryError), bounded(60, overdue, memory=256 * MIB):
            np.ones((20_000, 1)) + np.ones(20_000)
        with pytest.raises(TimeoutError), bounded(0.2, overdue):
            for _ in iter(int, 1):
                pass
        assert np.ones(64 * MIB, np.uint8).all(), "afterwards all is as it was"
        time.sleep(0.3)


# What is handed in.


def listing(count, name=b"a"):
    """Return a zip that lists so many files and has none."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", *[0] * 11, len(name), *[0] * 6) + name
    size = count * len(entry)
    return entry * count + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, size, 0, 0)


def packed(method, content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("q1.py", content)
    return file.getvalue()


def bzip2_bomb():
    """Return a zip with a file that is many times as large once it is unpacked."""
    once = bz2.compress(bytes(45 * MIB))
    content = once * 12  # streams may follow one another
    data = bytearray(packed(zipfile.ZIP_STORED, content))
    for signature, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        start = data.index(signature) + place
        data[start : start + 2] = struct.pack("<H", zipfile.ZIP_BZIP2)
    return bytes(data)


ZIPS = {
    "files without number": lambda: listing(1_200_000),
    "as many as are listed": lambda: listing(60_000),
    "names of great length": lambda: listing(60, b"a" * 65_000),
    "names of many folders": lambda: listing(60, b"a/" * 32_000),
    "a bzip2 bomb": bzip2_bomb,
    "a deflate bomb": lambda: packed(zipfile.ZIP_DEFLATED, bytes(300 * MIB)),
    "lzma": lambda: packed(zipfile.ZIP_LZMA, b"x"),
}


@pytest.mark.parametrize("kind", ZIPS)
def test_a_zip(kind, tmp_path):
    path = tmp_path / "submission.zip"
    path.write_bytes(ZIPS[kind]())
    with at_most(120):
        try:
            found = submission.load(path, ["q1.py"])
        except BadSubmissionError as error:
            assert kind == "files without number"
            assert "lists too many files" in str(error)
        else:
            assert found.files == {}
            assert "`q1.py`" in found.problems[0]
            assert sum(map(len, found.problems)) < 1000


def test_a_folder_of_very_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(submission, "MOST_ENTRIES", 50)
    seen = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: seen.append(folder) or scandir(folder))
    for place in range(200):
        (tmp_path / f"folder{place}" / "deeper").mkdir(parents=True)
    (tmp_path / "folder0" / "q1.py").touch()
    assert submission.load(tmp_path, ["q1.py"]).files in ({}, {"q1.py": b""})
    assert len(seen) <= 50
    other = tmp_path / "other"
    other.mkdir()
    for place in range(200):
        (other / f"{place}.txt").touch()
    assert any("only 50 were looked at" in problem for problem in submission.load(other, ["q1.py"]).problems)


SOURCES = {
    "names of names": lambda: "import numpy as a0\n" + "".join(f"a{n + 1}=a{n}.x\n" for n in range(12_000)),
    "a line of attributes": lambda: "import numpy as np\nnp" + ".a" * 50_000,
    "statements": lambda: "0;" * 500_000,
    "fields of a text": lambda: "f'" + "{a}" * 300_000 + "'",
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_text_that_is_looked_through_for_bans(kind):
    source = SOURCES[kind]()
    with at_most(180):
        policy.violations((("q1", source.encode()),), "q1", "C", ("tanh",), ("numpy",))


def test_what_is_said():
    test = ScoredTest("t", "1", "name", 1.0, "visible", "item")
    for text in (
        "`x|" * 3_000_000,
        "\x1b]" * 3_000_000,
        "[" * 5_000_000,
        "\r" * 5_000_000,
        "é\n" * 3_000_000,
    ):
        with at_most(60):
            shown = document(Grade((test,), {"t": Outcome(False, text, text[:64_000])}, notes=[text]))
        assert len(json.dumps(shown)) < 100_000
