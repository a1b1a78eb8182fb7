"""Tests of the proxies and of the channel under them, with a worker that has no sandbox around it."""

from __future__ import annotations

import inspect
import io
import json
import random
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from reference import References

from autograder.inside import wire
from autograder.remote import RemoteModule, Session, SubmissionError
from autograder.sandbox import WorkerFailure

ROOT = Path(__file__).resolve().parents[2]
INSIDE = ROOT / "autograder" / "inside"
SERVE = """
import json, socket, sys
sys.path[:0] = sys.argv[1:3]
import worker
worker.serve(socket.socket(fileno=int(sys.argv[3])), json.loads(sys.argv[4]))
"""

ODDITIES = """
import sys
import numpy as np
import torch


class Own(Exception):
    pass


class Box:
    def __init__(self, content=None, *, label="box"):
        self.content = content
        self.label = label

    def __len__(self):
        return 3

    def __getitem__(self, key):
        return {"key": key}

    def count(self):
        yield from range(1000)

    def itself(self):
        return self


class Sub(np.ndarray):
    def __eq__(self, other):
        return True

    def __array_ufunc__(self, *args, **kwargs):
        return True


fetched = []


def loader():
    for number in range(10):
        fetched.append(number)
        yield torch.full((2, 3), float(number)), torch.tensor([number, number])


def subclass(x):
    return x.view(Sub)


def double_in_place(x):
    x *= 2
    return x


def own_error():
    raise Own("my own\\udcff")


def deep():
    return deep()


def leave():
    sys.exit(3)


def objects():
    return np.array([Own, None])


def nested():
    inner = []
    inner.append(inner)
    return inner


def values():
    return [None, True, 3, 2.5, "text", (1, [2]), {"a": np.float32(1.5)}, float("nan"), torch.nn.Linear(2, 1)]


def mean(namespace):
    return float(np.mean([images.mean().item() for images, _ in namespace.train_loader]))
"""


class Child:
    """A worker without a sandbox."""

    def __init__(self, folder: Path, **config: object) -> None:
        self.socket, theirs = socket.socketpair()
        command = [sys.executable, "-c", SERVE, str(INSIDE), str(ROOT / "tests"), str(theirs.fileno())]
        command.append(json.dumps({"installer": "standins", **config}))
        self.process = subprocess.Popen(command, cwd=folder, pass_fds=[theirs.fileno()])
        theirs.close()

    def check(self) -> None:
        """Have no limits."""

    def failure(self) -> WorkerFailure:
        return WorkerFailure("exit", "ended")

    def close(self) -> None:
        self.socket.close()
        self.process.wait(10)


def start_in(folder: Path, files: dict[str, str], **config: object) -> SimpleNamespace:
    """Start a worker on the files given, and return proxies for its modules."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    worker = Child(folder, modules=["q1", "q2", "fashion_mnist"], **config)
    stand_ins = config.get("stand_ins", ())
    tests = SimpleNamespace(session=Session(worker, References(stand_ins).answer if stand_ins else None))
    modules = {name: RemoteModule(name, folder / f"{name}.py", tests) for name in ("q1", "q2")}
    return SimpleNamespace(**modules, session=tests.session, worker=worker)


@pytest.fixture
def start(tmp_path):
    """Return ``start_in`` for this test's folder; what it starts is ended with the test."""
    remotes = []

    def start(files: dict[str, str], **config: object) -> SimpleNamespace:
        remotes.append(start_in(tmp_path, files, **config))
        return remotes[-1]

    yield start
    for remote in remotes:
        remote.worker.close()


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Return a proxy for a module of oddities, in a worker that the tests share: it takes long to start."""
    remote = start_in(tmp_path_factory.mktemp("odd"), {"q1": ODDITIES})
    yield remote.q1
    remote.worker.close()


def reference(name: str) -> str:
    return (ROOT / f"{name}.py").read_text(encoding="utf-8")


class TestProxies:
    def test_the_reference_trains(self, start):
        remote = start({"q1": reference("q1"), "q2": reference("q2")})
        q1, q2 = remote.q1, remote.q2
        mlp = q2.MLP([q1.Dense(5, 4), q1.ReLULayer(), q1.Dense(4, 3), q1.SoftmaxLayer()])
        criterion = q1.CrossEntropyLossLayer()
        x, labels = np.random.default_rng(0).normal(size=(8, 5)), np.arange(8) % 3
        losses = []
        for _ in range(20):
            losses.append(criterion.forward(mlp.forward(x), labels))
            mlp.backward(criterion.backward())
            mlp.update(0.5)
        assert losses[-1] < losses[0] / 1.5
        assert mlp.layers[0].dW.shape == (4, 5)
        assert isinstance(mlp, q1.Layer)
        assert not isinstance(mlp, q1.Dense)
        assert isinstance(mlp.layers[2], q1.Dense)
        assert mlp.layers[0] is mlp.layers[0]
        assert list(inspect.signature(q1.Dense).parameters) == [
            "input_size", "output_size", "dtype", "seed", "in_features", "out_features",
        ]  # fmt: skip
        with pytest.raises(ValueError, match=r"expected x of shape \(N, 5\)") as error:
            mlp.forward(x[:, :4])
        assert isinstance(error.value, SubmissionError)
        assert error.value.frames[-1][0] == "q1.py"
        with pytest.raises(RuntimeError):
            q1.Dense(2, 3).backward(np.ones((1, 3)))
        with pytest.raises(AttributeError):
            q1.Missing  # noqa: B018
        assert not hasattr(mlp, "missing")

    def test_attributes_are_copies(self, start):
        layer = start({"q1": reference("q1")}).q1.Dense(3, 2)
        layer.W = np.ones((2, 3))
        layer.W[0] = 7
        assert layer.W.tolist() == [[1, 1, 1], [1, 1, 1]]
        layer.weights = 2 * layer.weights
        assert layer.W.tolist() == [[2, 2, 2], [2, 2, 2]]

    def test_odd_values(self, odd):
        box = odd.Box((1, "two"), label="b")
        assert (box.content, box.label, len(box), box[4, "x"]) == ((1, "two"), "b", 3, {"key": (4, "x")})
        assert vars(box) == {"content": (1, "two"), "label": "b"}
        assert box.itself() is box
        assert list(box.count()) == list(range(1000))
        *values, nan, linear = odd.values()
        assert values == [None, True, 3, 2.5, "text", (1, [2]), {"a": 1.5}]
        assert np.isnan(nan)
        assert [tuple(parameter.shape) for parameter in linear.parameters()] == [(1, 2), (1,)]
        assert type(odd.subclass(np.ones(3))) is np.ndarray
        data = SimpleNamespace(train_loader=[(torch.ones(2, 2), torch.tensor([1, 2]))])
        assert odd.mean(data) == 1

    def test_iterating_fetches_little_beyond_what_is_asked(self, odd):
        before = odd.fetched
        images, labels = next(iter(odd.loader()))
        assert isinstance(images, torch.Tensor)
        assert (images.shape, labels.tolist(), odd.fetched) == ((2, 3), [0, 0], [*before, 0])

    def test_a_change_in_place_stays_there(self, odd):
        x = np.ones(3)
        assert odd.double_in_place(x).tolist() == [2, 2, 2]
        assert x.tolist() == [1, 1, 1]

    @pytest.mark.parametrize(
        ("function", "error", "words"),
        [
            ("own_error", SubmissionError, "my own"),
            ("deep", RecursionError, "recursion"),
            ("leave", SubmissionError, "3"),
            ("objects", TypeError, "array of object"),
            ("nested", TypeError, "lists within lists"),
        ],
    )
    def test_errors(self, odd, function, error, words):
        with pytest.raises(error, match=words):
            getattr(odd, function)()
        assert len(odd.Box()) == 3, "the worker goes on"

    def test_a_syntax_error_names_file_and_line(self, start):
        q1 = start({"q1": "x = 1\nif x\n    pass\n"}).q1
        with pytest.raises(SyntaxError) as error:
            q1.Dense  # noqa: B018
        assert error.value.frames[-1] == ("q1.py", 2, "if x")

    def test_a_dead_worker_fails_its_session(self, start):
        remote = start({"q1": "import os\ndef die():\n    os._exit(1)\n"})
        for _ in range(2):
            with pytest.raises(WorkerFailure):
                remote.q1.die()
        assert remote.session.failure is not None


BROKEN_Q1 = """
class Layer:
    pass


class Dense(Layer):
    def __init__(self, *sizes):
        raise ValueError
"""
SIMPLE_Q2 = """
from q1 import Layer


class MLP(Layer):
    def __init__(self, layers):
        self.layers = layers

    def init_weights(self):
        for layer in self.layers:
            layer.init_weights()

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, g):
        for layer in self.layers[::-1]:
            g = layer.backward(g)
        return g

    def update(self, lr):
        for layer in self.layers:
            if hasattr(layer, "weights"):
                layer.weights[...] -= lr * layer.weights_grad
                layer.bias -= lr * layer.bias_grad
"""


class TestStandIns:
    def train(self, remote):
        q1, q2 = remote.q1, remote.q2
        mlp = q2.MLP([q1.Dense(5, 4), q1.TanhLayer(), q1.Dense(4, 3), q1.SoftmaxLayer()])
        mlp.init_weights()
        criterion = q1.CrossEntropyLossLayer()
        x, labels = np.random.default_rng(0).normal(size=(8, 5)), np.arange(8) % 3
        for _ in range(5):
            loss = criterion.forward(mlp.forward(x), labels)
            mlp.backward(criterion.backward())
            mlp.update(0.5)
        assert mlp.layers[0].weights.shape == (5, 4)
        assert np.array_equal(mlp.layers[0].weights.T, mlp.layers[0].W)
        return loss

    def test_they_train_as_the_reference_does(self, start):
        files = {"q1": reference("q1"), "q2": reference("q2")}
        expected = self.train(start(files))
        assert self.train(start(files, stand_ins=["q1"])) == pytest.approx(expected, rel=1e-12)
        assert self.train(start(files, stand_ins=["q2"])) == pytest.approx(expected, rel=1e-12)
        assert self.train(start(files, stand_ins=["q1", "q2"])) == pytest.approx(expected, rel=1e-12)
        blank = start({"q1": "import os\nos._exit(1)", "q2": "]"}, stand_ins=["q1", "q2"], blank=True)
        assert self.train(blank) == pytest.approx(expected, rel=1e-12)

    def test_a_student_s_network_of_stand_ins(self, start):
        expected = self.train(start({"q1": reference("q1"), "q2": reference("q2")}))
        found = self.train(start({"q1": BROKEN_Q1, "q2": SIMPLE_Q2}, stand_ins=["q1"]))
        assert found == pytest.approx(expected, rel=1e-12)

    def test_errors_of_the_reference_are_raised_in_the_worker(self, start):
        q1 = start({"q1": BROKEN_Q1}, stand_ins=["q1"]).q1
        assert isinstance(q1.Dense(2, 3), q1.Layer)
        with pytest.raises(ValueError, match="expected x of shape"):
            q1.Dense(2, 3).forward(np.ones((4, 5)))
        with pytest.raises(ValueError, match="at most"):
            q1.Dense(10**5, 10**5)

    def test_nobody_else_may_ask_for_the_reference(self, start):
        asks = """
import sys


def ask(*question):
    frame = sys._getframe()
    while "self" not in frame.f_locals or not hasattr(frame.f_locals["self"], "ask"):
        frame = frame.f_back
    return frame.f_locals["self"].ask(*question)
"""
        for stand_ins, question in (((), (0, 1, (), {})), (("q1",), (2, 1, [], (1.0,)))):
            session = start({"q1": asks, "q2": asks}, stand_ins=list(stand_ins)).session
            with pytest.raises(WorkerFailure, match=r"asks the (grader|reference layers)"):
                session.request(
                    "call", session.request("get", session.request("module", "q2"), "ask"), question, {}
                )

    def test_the_worker_holds_no_reference(self):
        files = (ROOT / "tests" / "standins.py", INSIDE / "worker.py")
        text = "".join(path.read_text(encoding="utf-8") for path in files)
        assert not any(word in text for word in ("np.exp", "matmul", "@", "np.maximum", "np.log"))


class Deaf:
    """A worker whose answers are given; it hears nothing."""

    def __init__(self, answer: bytes) -> None:
        self.socket, self.other = socket.socketpair()
        self.other.sendall(answer)
        self.other.shutdown(socket.SHUT_WR)

    def check(self) -> None:
        """Have no limits."""

    def failure(self) -> WorkerFailure:
        return WorkerFailure("exit", "ended")

    def close(self) -> None:
        self.socket.close()
        self.other.close()


def frame(header: bytes, *arrays: bytes) -> bytes:
    parts = b"".join(struct.pack("!I", len(part)) + part for part in (header, *arrays))
    return struct.pack("!I", len(parts)) + parts


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def read_array(data: bytes) -> np.ndarray:
    return wire.read_array(memoryview(data), *wire.read_array_header(memoryview(data)))


PLACES = [0, 1, -1, 99, 10**30, "0", None, 0.0]
CONTENTS = [4, [], None, [[1, 2]], [[None, 1]], [["__class__", 3]], [["a", {"object": 1}]]]


def value(source: random.Random, depth: int = 0) -> object:
    """Return JSON that is a value, almost."""
    kind = source.choice(["plain", "array", "object", "container", "list"])
    if kind == "plain" or depth == 3:
        return source.choice([None, True, "x", "\ud800", 1, -1, 1e999, 10**400, [], {}])
    if kind == "array":
        return {source.choice(["array", "tensor", "scalar"]): source.choice(PLACES)}
    if kind == "object":
        return {"object": source.choice(PLACES), "type": source.choice(["a", 3, "\n"]), "callable": True}
    if kind == "container":
        return {source.choice(["float", "list", "dict", "namespace", "?"]): source.choice(CONTENTS)}
    return {source.choice(["list", "tuple"]): [value(source, depth + 1) for _ in range(source.randrange(4))]}


def header(source: random.Random) -> object:
    """Return the header of a reply: an answer, an error, or the question of a stand-in."""
    kind = source.choice(["answer", "error", "question", "any"])
    if kind == "answer":
        return {source.choice(["value", "values"]): value(source)}
    if kind == "error":
        frames = source.choice([[["q1.py", 1, "x"]], [[1]], None, 3, "x", [["a", "b", "c"]]])
        names = {"name": value(source), "message": value(source), "frames": frames}
        return {"error": source.choice([3, *PLACES]), **names}
    if kind == "question":
        place, verb = source.choice([0, 99, -1]), source.choice([0, 1, 2, 7])
        args: list[object] = [verb, place, {"tuple": [value(source)]}, {"dict": []}]
        return {"ask": source.choice([value(source), {"list": args}])}
    return value(source)


def reply(source: random.Random) -> bytes:
    """Return a reply as a hostile worker might send it: noise, or a frame, perhaps damaged or cut off."""
    if source.random() < 0.2:
        return source.randbytes(source.randrange(40))
    arrays = [np.arange(3.0), np.array([None], object), np.zeros(2, "i4,f8"), np.array(1.0)]
    chosen = [npy(source.choice(arrays)) for _ in range(source.randrange(3))]
    data = bytearray(frame(json.dumps(header(source)).encode(), *chosen))
    for _ in range(source.choice([0, 0, 1, 3])):
        data[source.randrange(len(data))] = source.randrange(256)
    return bytes(data[: source.choice([len(data)] * 4 + [source.randrange(len(data) + 1)])])


class TestChannel:
    def test_no_reply_of_a_worker_raises_anything_unforeseen(self):
        """10,000 replies, from noise to almost right."""
        source = random.Random(0)
        kinds = set()
        for _ in range(10_000):
            worker = Deaf(b"".join(reply(source) for _ in range(source.randrange(1, 3))))
            session = Session(worker, source.choice([(), ("q1",), ("q1", "q2")]))
            try:
                session.request("get", None, "x")
                kinds.add("value")
            except (SubmissionError, WorkerFailure) as error:
                kinds.add(type(error).__name__)
            finally:
                worker.close()
        assert {"value", "WorkerFailure", "SubmissionError"} < kinds

    @pytest.mark.parametrize(
        "array",
        [
            np.arange(6).reshape(2, 3),
            np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            np.zeros((0, 3)),
            np.array(1.5),
            np.ones(3, ">f8"),
            np.ones(2, bool),
            np.ones(4)[::2],
        ],
    )
    def test_arrays_arrive(self, array):
        here, there = (wire.Channel(end) for end in socket.socketpair())
        arrays = []
        here.send({"value": wire.encode(array, arrays, None)}, arrays)
        answer, arrays = there.receive()
        found = wire.decode(answer["value"], arrays, None)
        assert (found.shape, found.dtype) == (array.shape, array.dtype.newbyteorder("="))
        assert np.array_equal(found, array)
        found[...] = 0  # one's own
        here.connection.close()
        there.connection.close()

    @pytest.mark.parametrize(
        "data",
        [
            npy(np.array([None], object)),
            npy(np.zeros(2, "i4,f8")),
            npy(np.array(["text"])),
            npy(np.ones(3))[:-1],
            npy(np.ones(3)) + b"x",
            npy(np.ones(3)).replace(b"(3,)", b"(9,)"),
            npy(np.ones(3)).replace(b"(3,)", b"(-1)"),
            b"\x93NUMPY\x02\x00" + npy(np.ones(3))[8:],
            b"",
        ],
    )
    def test_no_other_arrays_are_read(self, data):
        with pytest.raises(wire.WireError):
            read_array(data)

    def test_frames_are_capped(self):
        for data, words in (
            (struct.pack("!I", wire.FRAME_CAP + 1), "at most"),
            (frame(b" " * (wire.HEADER_CAP + 1)), "plain data"),
            (frame(b"[" * 100_000), "JSON"),
            (frame(b"[]"), "no object"),
            (struct.pack("!I", 6) + struct.pack("!I", 9) + b"{}", "longer than its frame"),
        ):
            here, there = socket.socketpair()
            there.settimeout(5)
            thread = threading.Thread(target=here.sendall, args=(data,))
            thread.start()
            with pytest.raises(wire.WireError, match=words):
                wire.Channel(there).receive()
            thread.join()
            here.close()
            there.close()
